/* The FUSE file system: the image's squashfs, read-only. */
#ifndef TEA_SERVE_H
#define TEA_SERVE_H

#include <stdbool.h>

#include "image.h"

struct server;

/* Bind the image to an open and mounted /dev/fuse. NULL when memory is short. */
struct server *serve_open(struct image *image, int fuse);

/* Answer one request of the kernel's. False when the file system is gone. */
bool serve_request(struct server *server);

#endif
