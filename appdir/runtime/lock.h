/* A lock is a file that has its name for as long as it counts. */
#ifndef TEA_LOCK_H
#define TEA_LOCK_H

#include <stdbool.h>

/* Has the open file `fd` the name `name` in the folder `dir`? */
bool still_named(int fd, int dir, const char *name);

/* Lock the file `name` in `dir`, which is made when it is missing and may be removed by the one who
 * has the lock. Waits for another process when `wait`. The open lock, or -1 with errno: EWOULDBLOCK
 * when someone else has it, EINTR on a signal. */
int lock_file(int dir, const char *name, bool wait);

#endif
