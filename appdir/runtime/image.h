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
    sqfs fs;
};

/* Find the AppImage and say where its squashfs starts. TARGET_APPIMAGE names the file when it is
 * set, else it is the running program. `invoked` is argv[0]. Returns 0 or a printed exit code. */
int image_open(struct image *image, const char *invoked);

/* Check that all of the squashfs is there and read its tables. 0 or a printed exit code. */
int image_load(struct image *image);

/* The same message for damage that is seen later. Returns EXIT_DAMAGED. */
int image_damaged(const struct image *image, const char *what);

/* The inode of the root folder. */
bool image_root(struct image *image, sqfs_inode *root);

/* A stretch of a file that lies in the image as it is, not compressed. Offsets in bytes. */
struct run {
    uint64_t file;  /* where in the file */
    uint64_t image; /* where in the AppImage */
    uint64_t size;
};

/* A regular file and its runs in ascending order; a model stored uncompressed is one run. */
struct content {
    sqfs_inode inode;
    size_t count;
    struct run *runs;
};

/* Find the runs. False when the image is damaged or memory is short. */
bool content_open(struct image *image, const sqfs_inode *inode, struct content *content);
void content_close(struct content *content);

/* The run that holds byte `at`, or the next one behind it; NULL when there is none. */
const struct run *content_run(const struct content *content, uint64_t at);

#endif
