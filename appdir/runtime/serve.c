#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <squashfuse/ll.h>

#include "io.h"

struct server {
    sqfs_ll files; /* first: squashfuse's own operations get this pointer */
    struct image *image;
    struct fuse_session *session;
    struct fuse_buf buffer; /* of the request at hand */
};

/* An open file keeps its runs, so that reading a model costs no walk through block lists. */
static void do_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct server *server = fuse_req_userdata(request);
    struct content *content;
    sqfs_ll_i found;

    if (sqfs_ll_iget(request, &found, inode) != SQFS_OK)
        return; /* it has answered */
    content = malloc(sizeof *content);
    if (content == NULL || !content_open(server->image, &found.inode, content)) {
        free(content);
        (void)fuse_reply_err(request, EIO);
        return;
    }
    info->fh = (uintptr_t)content;
    info->keep_cache = 1; /* the image never changes */
    if (fuse_reply_open(request, info) != 0) {
        content_close(content);
        free(content);
    }
}

static void do_release(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    struct content *content = (struct content *)(uintptr_t)info->fh;

    (void)inode;
    content_close(content);
    free(content);
    (void)fuse_reply_err(request, 0);
}

/* Decompressed by squashfuse. */
static void reply_unpacked(fuse_req_t request, struct content *content, size_t size, off_t offset)
{
    struct server *server = fuse_req_userdata(request);
    sqfs_off_t got = (sqfs_off_t)size;
    char *buffer = malloc(size);

    if (buffer == NULL)
        (void)fuse_reply_err(request, ENOMEM);
    else if (sqfs_read_range(&server->files.fs, &content->inode, offset, &got, buffer) != SQFS_OK)
        (void)fuse_reply_err(request, EIO);
    else
        (void)fuse_reply_buf(request, buffer, (size_t)got);
    free(buffer);
}

static void do_read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
                    struct fuse_file_info *info)
{
    struct server *server = fuse_req_userdata(request);
    struct content *content = (struct content *)(uintptr_t)info->fh;
    uint64_t end = content->inode.xtra.reg.file_size;
    uint64_t at = (uint64_t)offset;
    const struct run *run;

    (void)inode;
    if (at >= end) {
        (void)fuse_reply_buf(request, NULL, 0);
        return;
    }
    if (size > end - at)
        size = (size_t)(end - at);
    run = content_run(content, at);
    if (run != NULL && run->file <= at && at - run->file + size <= run->size) {
        /* As it lies in the image: moved by the kernel, through no buffer of ours. */
        struct fuse_bufvec data = FUSE_BUFVEC_INIT(size);

        data.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK | FUSE_BUF_FD_RETRY;
        data.buf[0].fd = server->image->fd;
        data.buf[0].pos = (off_t)(run->image + (at - run->file));
        (void)fuse_reply_data(request, &data, FUSE_BUF_SPLICE_MOVE);
        return;
    }
    reply_unpacked(request, content, size, offset);
}

static void do_init(void *userdata, struct fuse_conn_info *connection)
{
    sqfs_ll_op_init(userdata, connection);
    connection->want |= connection->capable & (FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static const struct fuse_lowlevel_ops OPERATIONS = {
    .init = do_init,
    .lookup = sqfs_ll_op_lookup,
    .forget = sqfs_ll_op_forget,
    .getattr = sqfs_ll_op_getattr,
    .readlink = sqfs_ll_op_readlink,
    .open = do_open,
    .read = do_read,
    .release = do_release,
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
    server->image = image;
    server->files.fs = image->fs;
    /* Files look like the user's own: root need not exist in a user namespace. */
    server->files.fs.uid = (int)getuid();
    server->files.fs.gid = (int)getgid();
    if (sqfs_ll_init(&server->files) != SQFS_OK)
        goto out;
    server->session = fuse_session_new(&arguments, &OPERATIONS, sizeof OPERATIONS, server);
    if (server->session == NULL)
        goto out;
    (void)snprintf(device, sizeof device, "/dev/fd/%d", fuse);
    if (fuse_session_mount(server->session, device) == 0)
        return server;
    fuse_session_destroy(server->session);
out:
    free(server);
    return NULL;
}

int serve_device(const struct server *server)
{
    return fuse_session_fd(server->session);
}

bool serve_request(struct server *server)
{
    int got = fuse_session_receive_buf(server->session, &server->buffer);

    if (got > 0)
        fuse_session_process_buf(server->session, &server->buffer);
    return got > 0 || got == -EINTR || got == -EAGAIN;
}

void serve_close(struct server *server)
{
    free(server->buffer.mem);
    fuse_session_destroy(server->session);
    sqfs_ll_destroy(&server->files);
    free(server);
}
