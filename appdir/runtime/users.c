#include "users.h"

#include "message.h"

bool users_add(struct users *users, int line, int pidfd)
{
    int files[USER_EVENTS] = {line, pidfd};

    if (users->count == USERS) {
        files_close(files, USER_EVENTS);
        return false;
    }
    for (unsigned i = 0; i < USER_EVENTS; i++)
        users->files[users->count][i] = files[i];
    users->count++;
    return true;
}

unsigned users_watch(const struct users *users, struct pollfd *events)
{
    for (unsigned i = 0; i < users->count * USER_EVENTS; i++)
        events[i] = (struct pollfd){.fd = users->files[i / USER_EVENTS][i % USER_EVENTS],
                                    .events = POLLIN};
    return users->count * USER_EVENTS;
}

void users_update(struct users *users, const struct pollfd *events)
{
    unsigned left = 0;

    for (unsigned i = 0; i < users->count; i++) {
        int *files = users->files[i];
        bool runs = false;

        for (unsigned j = 0; j < USER_EVENTS; j++) {
            if (events[i * USER_EVENTS + j].revents != 0)
                files_close(&files[j], 1);
            runs = runs || files[j] >= 0;
        }
        if (!runs)
            continue;
        for (unsigned j = 0; j < USER_EVENTS; j++)
            users->files[left][j] = files[j];
        left++;
    }
    users->count = left;
}
