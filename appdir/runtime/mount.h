/* The image as a mounted file system, served by a process of its own.
 *
 * The process that is started by the user becomes the program (same process id, terminal, signals
 * and exit status); the server is a grandchild in a session of its own, so it is nobody's child,
 * gets no Ctrl-C, and ends when the program and whatever it left running have ended, also by
 * SIGKILL: it watches a pipe whose other end they hold. */
#ifndef TEA_MOUNT_H
#define TEA_MOUNT_H

#include "image.h"

struct mounted {
    char dir[PATH_MAX]; /* where */
    int program;        /* the pipe's end that keeps it mounted, not closed by exec */
    int control;        /* reads end-of-file when the server has gone */
};

/* Mount the image; in a new user and mount namespace, which this process then joins, when
 * `in_namespace`. It stays mounted as long as someone holds the pipe, and as long as the process
 * `program` (-1: none) runs. 0, or TRY_NEXT: it does not work here, and nothing is left of it. */
int mount_image(struct image *image, bool in_namespace, pid_t program, struct mounted *mounted);

#endif
