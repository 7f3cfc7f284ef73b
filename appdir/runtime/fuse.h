/* Mounting a /dev/fuse, by the kernel's own call or by the set-uid helper fusermount. */
#ifndef TEA_FUSE_H
#define TEA_FUSE_H

struct fuse_mount {
    int fd;             /* the open /dev/fuse */
    const char *dir;    /* where it is mounted */
    const char *helper; /* the program that mounted it, NULL for the kernel's call */
};

/* Mount on the folder `dir`. With `helpers`, fall back on $FUSERMOUNT_PROG, fusermount3,
 * fusermount; what they print is dropped. 0 or -1. */
int fuse_mount_open(struct fuse_mount *mount, const char *dir, int helpers);

/* Detach it from the tree; files that are open stay readable. */
void fuse_mount_detach(const struct fuse_mount *mount);

/* Detach what a server that is no more has left on the folder `dir`. */
void fuse_mount_clear(const char *dir);

#endif
