/* How starts of one image by one user find the mount that there is.
 *
 * In the user's own folder (place_meeting) a server has a socket, named after what they must have in
 * common. A start sends to it one end of a line, and gets back where the mount is. Whoever finds
 * nobody there takes the name over, under a lock that is held for microseconds, and makes the mount;
 * those that come meanwhile wait for it. Whatever fails, the start makes a mount of its own. */
#ifndef TEA_SHARE_H
#define TEA_SHARE_H

#include <sys/stat.h>

#include "identity.h"

struct share {
    int folder;       /* -1: nothing is shared */
    int socket;       /* where starts ask to join; -1: none may */
    unsigned seconds; /* how long the mount is kept after its last user */
    struct identity identity;
    struct stat bound; /* of the socket's file */
    char name[IDENTITY_NAME];
};

#define SHARE_NOTHING {.folder = -1, .socket = -1}

/* A start's question. It comes with the line's other end and, where there is such, the start's
 * pidfd. */
struct question {
    struct identity identity;
    uint64_t seconds; /* how long it wants the mount kept */
};

/* Find out what is to be shared; `seconds` 0: nothing. */
void share_open(struct share *share, const struct image *image, unsigned seconds);

/* Join the mount that there is. The line that keeps it, with its `dir` (PATH_MAX bytes); or -1: then
 * this start is the one to be asked from now on, or shares nothing. */
int share_join(struct share *share, char *dir);

/* The folder in which mounts are made is named so. */
#define MOUNT_PREFIX ".mount_"

/* Before making `dir` to mount on: leave word, for whoever has to clear up behind a start or a
 * server that was killed. False when there is no word, and nobody will. */
bool share_record(const struct share *share, const char *dir);

/* In the server: the next question. Its line with the start's `pidfd` (or -1); or -1 when it is
 * none to be answered. */
int share_hear(struct share *share, int *pidfd);

/* Give the name up, unless someone has just asked. True when nobody will ask any more. */
bool share_withdraw(struct share *share);

/* Give the name up, and close all. */
void share_close(struct share *share);

#endif
