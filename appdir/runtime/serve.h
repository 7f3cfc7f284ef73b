/* The FUSE file system: the image's squashfs, read-only. */
#ifndef TEA_SERVE_H
#define TEA_SERVE_H

#include "image.h"

struct server;

/* Bind the image to an open and mounted /dev/fuse. NULL when memory is short. */
struct server *serve_open(struct image *image, int fuse);

/* Answer the kernel until the file system is gone. When the pipe `program` has no writer any more
 * and the process behind `pidfd` (or -1) has ended, call `unmount` once; what still has files open
 * there is served to its end. */
void serve_loop(struct server *server, int program, int pidfd, void (*unmount)(void *context),
                void *context);

#endif
