/* The server's word to a start: the file system is there. */
#ifndef TEA_ANSWER_H
#define TEA_ANSWER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "message.h"

struct answer {
    uint64_t device; /* of the mounted file system, 0 when it is not known */
    uint64_t mounts; /* identity_of_mounts of what the namespace, if any, is a copy of */
    char dir[PATH_MAX];
    unsigned count; /* MESSAGE_FILES when there is a namespace to enter, else 0 */
    int namespaces[MESSAGE_FILES]; /* the user and the mount namespace, open */
};

/* Send it over the line of a start. False when that start has gone. */
bool answer_send(int line, const struct answer *answer);

/* Wait up to `seconds` for it. False when none comes. */
bool answer_receive(int line, int seconds, struct answer *answer);

/* Go where it is, and close its files. False when there is no way there. */
bool answer_follow(struct answer *answer);

#endif
