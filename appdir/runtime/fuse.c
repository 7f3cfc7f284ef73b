#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"

#define NAME "tea-appimage"

enum { HELPERS = 3 };

static int by_kernel(const char *dir)
{
    char options[128];
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV;

    if (fd < 0)
        return -1;
    (void)snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", fd,
                   (unsigned)getuid(), (unsigned)getgid());
    if (mount(NAME, dir, "fuse." NAME, flags, options) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

/* Start the helper with nothing on its standard streams, and wait for it. `link` (or -1) stays
 * open in it. True when it ended well. */
static bool run_helper(char *const words[], int link)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        standard_streams_to_null();
        if (link >= 0)
            (void)fcntl(link, F_SETFD, 0);
        (void)execvp(words[0], words);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The open file that comes over the socket, or -1. */
static int receive_file(int socket)
{
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    const struct cmsghdr *header;
    int fd = -1;

    while (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 0)
        if (errno != EINTR)
            return -1;
    header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

/* The protocol of fusermount 2 and 3: it sends the open /dev/fuse over the socket whose number is
 * in _FUSE_COMMFD. */
static int by_helper(const char *helper, const char *dir)
{
    char *words[] = {(char *)helper, (char *)"-o", (char *)"ro,nosuid,nodev,fsname=" NAME
                     ",subtype=" NAME, (char *)"--", (char *)dir, NULL};
    char number[16];
    int link[2];
    int fd = -1;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) != 0)
        return -1;
    (void)snprintf(number, sizeof number, "%d", link[1]);
    if (setenv("_FUSE_COMMFD", number, 1) == 0 && run_helper(words, link[1])) {
        (void)close(link[1]);
        link[1] = -1;
        fd = receive_file(link[0]);
    }
    (void)unsetenv("_FUSE_COMMFD");
    (void)close(link[0]);
    if (link[1] >= 0)
        (void)close(link[1]);
    return fd;
}

/* The programs that may mount for an ordinary user, in the order of choice. NULL where there is
 * none. */
static const char *helper_name(unsigned index)
{
    const char *named = getenv("FUSERMOUNT_PROG");

    if (index == 0)
        return named != NULL && *named != '\0' ? named : NULL;
    return index == 1 ? "fusermount3" : "fusermount";
}

bool fuse_mount_open(struct fuse_mount *mount, const char *dir, bool helpers)
{
    mount->dir = dir;
    mount->helper = NULL;
    mount->fd = by_kernel(dir);
    for (unsigned i = 0; helpers && mount->fd < 0 && i < HELPERS; i++) {
        mount->helper = helper_name(i);
        if (mount->helper != NULL)
            mount->fd = by_helper(mount->helper, dir);
    }
    return mount->fd >= 0;
}

void fuse_mount_detach(const struct fuse_mount *mount)
{
    char *words[] = {(char *)mount->helper, (char *)"-u", (char *)"-q", (char *)"-z", (char *)"--",
                     (char *)mount->dir, NULL};

    if (mount->helper == NULL)
        (void)umount2(mount->dir, MNT_DETACH | UMOUNT_NOFOLLOW);
    else
        (void)run_helper(words, -1);
}
