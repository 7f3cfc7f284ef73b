/* The life of the process that serves a mount: who uses it, who may join, when it ends. */
#ifndef TEA_HOST_H
#define TEA_HOST_H

#include "answer.h"
#include "fuse.h"
#include "serve.h"
#include "share.h"
#include "users.h"

struct host {
    struct server *server;
    struct share *share;
    const struct fuse_mount *mount;
    struct answer answer; /* for those that join */
    struct users users;
};

/* From now on SIGTERM waits until host_run sees it; no other signal is held back. */
void host_catch(void);

/* Answer the kernel, and whoever asks to join, until the file system is gone. When nobody has used
 * it for as long as `share` says, detach it; what still has files open there is served to its end.
 * SIGTERM means: wait for no more users. Frees the server. */
void host_run(struct host *host);

#endif
