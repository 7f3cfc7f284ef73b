#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool still_named(int fd, int dir, const char *name)
{
    struct stat open_one;
    struct stat named_one;

    return fstat(fd, &open_one) == 0 && fstatat(dir, name, &named_one, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_one.st_ino == named_one.st_ino && open_one.st_dev == named_one.st_dev;
}

int lock_file(int dir, const char *name, bool wait)
{
    for (;;) {
        int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        int error;

        if (fd < 0)
            return -1;
        if (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) == 0) {
            if (still_named(fd, dir, name))
                return fd;
            (void)close(fd);
            continue;
        }
        error = errno;
        (void)close(fd);
        errno = error;
        return -1;
    }
}
