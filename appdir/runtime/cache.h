/* One unpacked copy of each image, kept and reused.
 *
 *   <place>/<sha256>/          a complete copy: it gets this name only when all is on the disk
 *   <place>/<sha256>/AppDir    the tree
 *   <place>/<sha256>/.complete locked (shared) by each running program; its access time is the
 *                              time of the last start
 *   <place>/<sha256>.tmp       being written, or left by a start that was killed
 *   <place>/<sha256>.lock      locked (exclusive) while the copy is written or removed
 */
#ifndef TEA_CACHE_H
#define TEA_CACHE_H

#include "image.h"

/* Find the image's copy, or make it; put its path into `appdir` (PATH_MAX bytes). The copy is in
 * use until this process and those it starts have ended. 0 or a printed exit code. */
int cache_use(struct image *image, char *appdir);

#endif
