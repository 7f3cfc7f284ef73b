/* The programs that run from a mount.
 *
 * Each has a line, a socket whose other end it and all that it starts hold open. One that closes
 * every file it does not know still runs: so its process is watched too. */
#ifndef TEA_USERS_H
#define TEA_USERS_H

#include <poll.h>
#include <stdbool.h>

enum {
    USERS = 64, /* more starts at once make mounts of their own */
    USER_EVENTS = 2,
};

struct users {
    unsigned count;
    int files[USERS][USER_EVENTS]; /* the line and the pidfd; -1 when that has ended */
};

/* One more, with its line and its pidfd (or -1). False, with both closed, when there are too many. */
bool users_add(struct users *users, int line, int pidfd);

/* Fill `events`, USER_EVENTS for each, to poll. How many. */
unsigned users_watch(const struct users *users, struct pollfd *events);

/* After polling these: forget those that have ended. */
void users_update(struct users *users, const struct pollfd *events);

#endif
