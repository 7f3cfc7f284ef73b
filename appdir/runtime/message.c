#include "message.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(MESSAGE_FILES * sizeof(int))];
};

int message_send(int socket, char status, const int *files, unsigned count)
{
    union control control = {.bytes = {0}};
    struct iovec data = {.iov_base = &status, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
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
    return sent == 1 ? 0 : -1;
}

int message_receive(int socket, char *status, int *files, unsigned count)
{
    union control control = {.bytes = {0}};
    struct iovec data = {.iov_base = status, .iov_len = 1};
    struct msghdr message = {.msg_iov = &data,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header;
    size_t got = 0;
    ssize_t length;

    for (unsigned i = 0; i < count; i++)
        files[i] = -1;
    do {
        length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length != 1)
        return -1;
    header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        got = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (got > count)
            got = count;
        memcpy(files, CMSG_DATA(header), got * sizeof(int));
    }
    return (int)got;
}
