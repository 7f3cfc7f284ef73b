/* Small helpers around system calls that may do less than asked. */
#ifndef TEA_IO_H
#define TEA_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read exactly `size` bytes at `offset`; false at the end of the file or on an error. */
bool read_at(int fd, void *buffer, size_t size, uint64_t offset);

/* Write exactly `size` bytes at `offset`; false with errno set. */
bool write_at(int fd, const void *buffer, size_t size, uint64_t offset);

/* Write a text to the file `path`, which must exist. False with errno set. */
bool write_text(const char *path, const char *text);

/* Join into `out` (PATH_MAX bytes): `folder`, a slash, `name`. False when it is too long. */
bool join(char *out, const char *folder, const char *name);

/* Remove the tree `name` below `dir`, following no link. Folders that
 * the user made unreadable are opened up. True when nothing is left of it, else
 * false with errno. */
bool remove_tree(int dir, const char *name);

/* An inherited file descriptor must not collide with `exec 3>file` in a script: move `fd` up to
 * 200 or more when there is room, kept open across exec. Returns the new number. */
int keep_open(int fd);

/* Read from and write to /dev/null, where there is one. */
void standard_streams_to_null(void);

/* Close every file but the `count` in `keep`; the standard streams become /dev/null. */
void close_others(const int *keep, size_t count);

#endif
