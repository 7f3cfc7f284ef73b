/* The --appimage-… options that look at the image instead of running it. */
#ifndef TEA_INSPECT_H
#define TEA_INSPECT_H

#include "image.h"

/* Print a section that holds a text. 0 or a printed exit code. */
int inspect_section(const struct image *image, const char *name);

/* Unpack into ./squashfs-root, all (NULL) or what matches `pattern`. 0 or a printed exit code. */
int inspect_extract(struct image *image, const char *pattern);

/* Mount, print where, and serve until a signal or an unmount. 0 or a printed exit code. */
int inspect_mount(struct image *image);

#endif
