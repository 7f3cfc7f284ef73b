/* The image as a mounted file system, served by a process of its own.
 *
 * The process that is started by the user becomes the program (same process id, terminal, signals
 * and exit status); the server is a grandchild in a session of its own, so it is nobody's child and
 * gets no Ctrl-C. It knows by a line, whose other end the program and whatever it leaves running
 * hold, when they have ended, also by SIGKILL; then it unmounts and ends. */
#ifndef TEA_MOUNT_H
#define TEA_MOUNT_H

#include "image.h"

struct mounted {
    char dir[PATH_MAX]; /* where */
    int line;           /* keeps it mounted; reads end-of-file when the server has gone */
};

/* Mount the image; in a new user and mount namespace, which this process enters, when
 * `in_namespace`. It stays mounted as long as someone holds the line, and as long as the process
 * `program` (-1: none) runs. 0; TRY_NEXT: it does not work here, and nothing is left of it; or a
 * printed exit code. */
int mount_image(struct image *image, bool in_namespace, pid_t program, struct mounted *mounted);

#endif
