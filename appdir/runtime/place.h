/* Folders for unpacked copies and mount points, and whether they are safe to use: nobody but root and
 * the user can rename a folder on the way to them. */
#ifndef TEA_PLACE_H
#define TEA_PLACE_H

#include <limits.h>
#include <stdbool.h>

/* Candidates in the order of choice: $XDG_CACHE_HOME (else $HOME/.cache), then, for a home that
 * is missing or read-only, $TMPDIR, /tmp, /var/tmp. */
enum { HOME_PLACE = 0, PLACES = 4 };

struct place {
    int fd; /* the folder, open */
    char path[PATH_MAX];
    bool temporary; /* below $TMPDIR, /tmp or /var/tmp */
};

/* Open the candidate `index`, and make it (0700) when `create`. A folder that is a symbolic link,
 * belongs to someone else, or that others may write to or replace is refused. Returns true, or false with
 * `place->path` set and the reason in `*why` (NULL: there is no such candidate here). */
bool place_open(unsigned index, bool create, struct place *place, const char **why);

/* The candidate `index` for a mount point: a safe folder's real path. False when there is none. */
enum { MOUNT_PLACES = 4 };
bool place_to_mount(unsigned index, char path[PATH_MAX]);

/* Can files be made, executed and linked there? False with the reason in `*why`. */
bool place_runs(const struct place *place, const char **why);

#endif
