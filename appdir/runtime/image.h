/* An AppImage: a file that is this runtime followed by a squashfs. */
#ifndef TEA_IMAGE_H
#define TEA_IMAGE_H

#include <limits.h>
#include <stdbool.h>
#include <squashfuse/squashfuse.h>

#include "payload.h"

struct image {
    int fd;
    char path[PATH_MAX]; /* absolute, no symbolic links */
    uint64_t offset;     /* of the squashfs */
    struct payload payload;
    bool loaded;
    sqfs fs;
};

/* Find the AppImage and say where its squashfs starts. TARGET_APPIMAGE names the file when it is
 * set, else it is the running program. `invoked` is argv[0]. Returns 0 or a printed exit code. */
int image_open(struct image *image, const char *invoked);

/* Read what the packer says of it, and check that all of it is there. 0 or a printed exit code. */
int image_check(struct image *image);

/* Verify all but the model, then read the squashfs's tables: no byte of it is interpreted that is
 * not as it was packed. Once. 0 or a printed exit code. */
int image_load(struct image *image);

/* The same message for damage that is seen later. Returns EXIT_DAMAGED. */
int image_damaged(const struct image *image, const char *what);

/* The inode of the root folder. */
bool image_root(struct image *image, sqfs_inode *root);

/* Is this file the model, which is read where it lies in the image? */
bool image_is_model(const struct image *image, const sqfs_inode *inode);

#endif
