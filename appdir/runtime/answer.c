#include "answer.h"

#include <errno.h>
#include <poll.h>

#include "namespace.h"

bool answer_send(int line, const struct answer *answer)
{
    return message_send(line, answer, sizeof *answer, answer->namespaces, answer->count) == 0;
}

bool answer_receive(int line, int seconds, struct answer *answer)
{
    struct pollfd event = {.fd = line, .events = POLLIN};
    int files[MESSAGE_FILES];
    int count;
    int ready;

    do {
        ready = poll(&event, 1, seconds * 1000);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return false;
    count = message_receive(line, answer, sizeof *answer, files, MESSAGE_FILES);
    for (unsigned i = 0; i < MESSAGE_FILES; i++)
        answer->namespaces[i] = files[i];
    if (count >= 0 && answer->count == (unsigned)count)
        return true;
    files_close(answer->namespaces, MESSAGE_FILES);
    return false;
}

bool answer_follow(struct answer *answer)
{
    bool there = answer->count == 0 || namespace_join(answer->namespaces);

    files_close(answer->namespaces, MESSAGE_FILES);
    return there;
}
