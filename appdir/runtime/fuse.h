/* Mounting a /dev/fuse, by the kernel's own call or by the set-uid helper fusermount. */
#ifndef TEA_FUSE_H
#define TEA_FUSE_H

#include <stdbool.h>

struct fuse_mount {
    int fd;             /* the open /dev/fuse */
    const char *dir;    /* where it is mounted */
    const char *helper; /* the program that mounted it, NULL for the kernel's call */
};

/* Mount on the folder `dir`. With `helpers`, fall back on $FUSERMOUNT_PROG, fusermount3,
 * fusermount; what they print is dropped. */
bool fuse_mount_open(struct fuse_mount *mount, const char *dir, bool helpers);

/* Detach it from the tree; files that are open stay readable. */
void fuse_mount_detach(const struct fuse_mount *mount);

#endif
