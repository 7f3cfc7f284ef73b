/* A few bytes and some open files over a socket. */
#ifndef TEA_MESSAGE_H
#define TEA_MESSAGE_H

#include <stddef.h>

enum { MESSAGE_FILES = 2 };

/* Send `size` bytes and `count` (0 to MESSAGE_FILES) open files. 0 or -1. */
int message_send(int socket, const void *data, size_t size, const int *files, unsigned count);

/* Receive exactly `size` bytes. Fills up to `count` of `files`, the rest is -1. How many came, or
 * -1 when the other side has gone without a message, or said something else. */
int message_receive(int socket, void *data, size_t size, int *files, unsigned count);

/* Close those that are open, and mark them -1. */
void files_close(int *files, unsigned count);

#endif
