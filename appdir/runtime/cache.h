/* One unpacked copy of each image, all but the model, kept and reused.
 *
 *   <place>/<digest>/       a complete copy: it gets this name only when all is written
 *   <place>/<digest>/AppDir the tree
 *   <place>/<digest>/.files what is in it (list.h), locked (shared) by each running program; its
 *                           access time is the time of the last start
 *   <place>/<digest>.tmp    being written, or left by a start that was killed
 *   <place>/<digest>.lock   locked (exclusive) while the copy is written or removed
 */
#ifndef TEA_CACHE_H
#define TEA_CACHE_H

#include "image.h"

/* Why places were not used, and whether that was for want of space in the user's own cache. */
struct refusals {
    char text[4 * PATH_MAX];
    size_t length;
    bool home_full;
    bool full;
};

/* Find the image's copy; put its path into `appdir` (PATH_MAX bytes). It is in use until this process
 * and those it starts have ended. 0, or TRY_NEXT. */
int cache_find(const struct image *image, char *appdir);

/* The same, making the copy in one of the places `first` … `end` - 1. TRY_NEXT with the refusals when
 * none of them will do, or a printed exit code. */
int cache_make(struct image *image, unsigned first, unsigned end, struct refusals *refusals,
               char *appdir);

/* Print why there is no copy; the exit code. */
int cache_refused(const struct refusals *refusals);

#endif
