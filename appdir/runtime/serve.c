#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <squashfuse/ll.h>

struct server {
    sqfs_ll files; /* first: squashfuse's operations get this pointer */
    struct fuse_session *session;
    struct fuse_buf buffer; /* of the request at hand */
};

static const struct fuse_lowlevel_ops OPERATIONS = {
    .init = sqfs_ll_op_init,
    .lookup = sqfs_ll_op_lookup,
    .forget = sqfs_ll_op_forget,
    .getattr = sqfs_ll_op_getattr,
    .readlink = sqfs_ll_op_readlink,
    .open = sqfs_ll_op_open,
    .read = sqfs_ll_op_read,
    .release = sqfs_ll_op_release,
    .opendir = sqfs_ll_op_opendir,
    .readdir = sqfs_ll_op_readdir,
    .releasedir = sqfs_ll_op_releasedir,
    .listxattr = sqfs_ll_op_listxattr,
    .getxattr = sqfs_ll_op_getxattr,
    .statfs = stfs_ll_op_statfs,
};

/* libfuse would print; what fails here is answered by another way to start. */
static void hush(enum fuse_log_level level, const char *format, va_list values)
{
    (void)level;
    (void)format;
    (void)values;
}

struct server *serve_open(struct image *image, int fuse)
{
    char name[] = "tea-appimage";
    char *words[] = {name, NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(1, words);
    char device[32];
    struct server *server = calloc(1, sizeof *server);

    fuse_set_log_func(hush);
    if (server == NULL)
        return NULL;
    server->files.fs = image->fs;
    /* Files look like the user's own: root need not exist in a user namespace. */
    server->files.fs.uid = (int)getuid();
    server->files.fs.gid = (int)getgid();
    (void)snprintf(device, sizeof device, "/dev/fd/%d", fuse);
    if (sqfs_ll_init(&server->files) == SQFS_OK)
        server->session = fuse_session_new(&arguments, &OPERATIONS, sizeof OPERATIONS, server);
    if (server->session != NULL && fuse_session_mount(server->session, device) == 0)
        return server;
    free(server); /* the rest goes with the process */
    return NULL;
}

bool serve_request(struct server *server)
{
    int got = fuse_session_receive_buf(server->session, &server->buffer);

    if (got > 0)
        fuse_session_process_buf(server->session, &server->buffer);
    return got > 0 || got == -EINTR || got == -EAGAIN;
}
