/* One byte and some open files over a socket. */
#ifndef TEA_MESSAGE_H
#define TEA_MESSAGE_H

enum { MESSAGE_FILES = 2 };

/* Send `status` and `count` (0 to MESSAGE_FILES) open files. 0 or -1. */
int message_send(int socket, char status, const int *files, unsigned count);

/* Receive one. Fills up to `count` of `files`, the rest is -1. How many came, or -1 when the other
 * side has gone without a message. */
int message_receive(int socket, char *status, int *files, unsigned count);

#endif
