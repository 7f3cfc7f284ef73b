#include "message.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(MESSAGE_FILES * sizeof(int))];
};

int message_send(int socket, const void *data, size_t size, const int *files, unsigned count)
{
    union control control = {.bytes = {0}};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t sent;

    if (count > 0) {
        struct cmsghdr *header;

        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(header), files, count * sizeof(int));
    }
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size ? 0 : -1;
}

/* The files that came, as many as asked for; others are closed. */
static unsigned take_files(struct msghdr *message, int *files, unsigned count)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int came[MESSAGE_FILES];
    size_t got;

    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return 0;
    got = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(came, CMSG_DATA(header), got * sizeof(int));
    for (size_t i = 0; i < got; i++)
        if (i < count)
            files[i] = came[i];
        else
            (void)close(came[i]);
    return (unsigned)(got < count ? got : count);
}

int message_receive(int socket, void *data, size_t size, int *files, unsigned count)
{
    union control control = {.bytes = {0}};
    struct iovec part = {.iov_base = data, .iov_len = size};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    unsigned got;
    ssize_t length;

    for (unsigned i = 0; i < count; i++)
        files[i] = -1;
    do {
        length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -1;
    got = take_files(&message, files, count);
    if (length == (ssize_t)size)
        return (int)got;
    files_close(files, got);
    return -1;
}

void files_close(int *files, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (files[i] >= 0)
            (void)close(files[i]);
        files[i] = -1;
    }
}
