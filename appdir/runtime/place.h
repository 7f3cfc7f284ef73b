/* Folders of the user's own for unpacked copies and for meeting, and whether they are safe to use. */
#ifndef TEA_PLACE_H
#define TEA_PLACE_H

#include <limits.h>
#include <stdbool.h>

/* Candidates in the order of choice: $XDG_CACHE_HOME (else $HOME/.cache), then, for a home that
 * is missing or read-only, $TMPDIR, /tmp, /var/tmp. */
enum { PLACES = 4 };

struct place {
    int fd; /* the folder, open */
    char path[PATH_MAX];
    bool temporary; /* below $TMPDIR, /tmp or /var/tmp */
};

/* Open the candidate `index`, and make it (0700) when `create`. A folder that is a symbolic link,
 * belongs to someone else, or that others may write to is refused. Returns true, or false with
 * `place->path` set and the reason in `*why` (NULL: there is no such candidate here). */
bool place_open(unsigned index, bool create, struct place *place, const char **why);

/* Open, and make, the user's own folder where starts of one image find each other: as safe as the
 * others, in $XDG_RUNTIME_DIR, $TMPDIR, /tmp or /var/tmp. Its number, or -1. */
int place_meeting(void);

/* Can files be made, executed and linked there? False with the reason in `*why`. */
bool place_runs(const struct place *place, const char **why);

#endif
