#include "serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <squashfuse/ll.h>

#include "io.h"

enum { LISTS = 256 };

/* A file that has been read from, in the list of all whose inode has the same remainder. */
struct file {
    struct file *next;
    fuse_ino_t inode;
    struct content content;
};

struct server {
    sqfs_ll files; /* first: squashfuse's own operations get this pointer */
    struct image *image;
    struct fuse_session *session;
    struct fuse_buf buffer; /* of the request at hand */
    bool silent_open;       /* the kernel can be told that no file needs to be opened */
    struct file *lists[LISTS];
};

/* A file that was read from keeps its runs, so that reading a model costs no walk through block
 * lists. NULL, with an answer given, when the image is damaged or memory is short. */
static struct file *file_of(fuse_req_t request, fuse_ino_t inode)
{
    struct server *server = fuse_req_userdata(request);
    struct file **list = &server->lists[inode % LISTS];
    struct file *file = *list;
    sqfs_ll_i found;

    while (file != NULL && file->inode != inode)
        file = file->next;
    if (file != NULL)
        return file;
    if (sqfs_ll_iget(request, &found, inode) != SQFS_OK)
        return NULL; /* it has answered */
    file = malloc(sizeof *file);
    if (file == NULL || !content_open(server->image, &found.inode, &file->content)) {
        free(file);
        (void)fuse_reply_err(request, EIO);
        return NULL;
    }
    file->inode = inode;
    file->next = *list;
    *list = file;
    return file;
}

static void forget_files(struct server *server)
{
    for (size_t i = 0; i < LISTS; i++)
        for (struct file *file = server->lists[i], *next; file != NULL; file = next) {
            next = file->next;
            content_close(&file->content);
            free(file);
        }
}

/* Opening needs nothing. A kernel that is told so asks no more, and keeps what it has read: Python
 * opens its archive for each module. */
static void do_open(fuse_req_t request, fuse_ino_t inode, struct fuse_file_info *info)
{
    const struct server *server = fuse_req_userdata(request);

    (void)inode;
    info->keep_cache = 1; /* the image never changes */
    if (server->silent_open)
        (void)fuse_reply_err(request, ENOSYS);
    else
        (void)fuse_reply_open(request, info);
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
    struct file *file = file_of(request, inode);
    uint64_t at = (uint64_t)offset;
    struct content *content;
    const struct run *run;
    uint64_t end;

    (void)info;
    if (file == NULL)
        return;
    content = &file->content;
    end = content->inode.xtra.reg.file_size;
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
    struct server *server = userdata;

    sqfs_ll_op_init(userdata, connection);
    connection->want |= connection->capable & (FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
    server->silent_open = (connection->capable & FUSE_CAP_NO_OPEN_SUPPORT) != 0;
}

static const struct fuse_lowlevel_ops OPERATIONS = {
    .init = do_init,
    .lookup = sqfs_ll_op_lookup,
    .forget = sqfs_ll_op_forget,
    .getattr = sqfs_ll_op_getattr,
    .readlink = sqfs_ll_op_readlink,
    .open = do_open,
    .read = do_read,
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
    forget_files(server);
    fuse_session_destroy(server->session);
    sqfs_ll_destroy(&server->files);
    free(server);
}
