/* The names and locks of one copy inside a cache folder. */
#ifndef TEA_ENTRY_H
#define TEA_ENTRY_H

#include <stdbool.h>

#include "payload.h"

#define ENTRY_TREE "AppDir"
#define ENTRY_LIST ".files"

struct entry {
    int place; /* the cache folder */
    char name[DIGEST_TEXT];
    char part[DIGEST_TEXT + 4]; /* name.tmp */
    char lock[DIGEST_TEXT + 5]; /* name.lock */
};

void entry_name(struct entry *entry, int place, const char *name);

/* Lock the making and removing of this copy. Waits for another process when `wait`. The open
 * lock, or -1 with errno: EWOULDBLOCK when someone else has it, EINTR on a signal. */
int entry_lock(const struct entry *entry, bool wait);

/* Open the list of a complete copy and lock it for use (shared). The open list, or -1. */
int entry_list(const struct entry *entry);

/* Remove the copy, unless a program runs from it. The caller has entry_lock. 0 or an errno value:
 * EBUSY when it is in use. */
int entry_remove(const struct entry *entry);

/* Remove what is not needed any more from the folder `place`: parts that killed starts have left,
 * copies that no start has used for 30 days, and those of older runtimes, which hold the model. Those
 * in use, and `keep`, stay. */
void entries_prune(int place, const char *keep);

#endif
