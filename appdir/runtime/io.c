#include "io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HIGH_FD = 200 };

bool read_at(int fd, void *buffer, size_t size, uint64_t offset)
{
    char *at = buffer;

    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        size -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

bool write_at(int fd, const void *buffer, size_t size, uint64_t offset)
{
    const char *at = buffer;

    while (size > 0) {
        ssize_t put = pwrite(fd, at, size, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        at += put;
        size -= (size_t)put;
        offset += (uint64_t)put;
    }
    return true;
}

bool write_text(const char *path, const char *text)
{
    size_t size = strlen(text);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done;

    if (fd < 0)
        return false;
    done = write(fd, text, size) == (ssize_t)size;
    (void)close(fd);
    return done;
}

bool join(char *out, const char *folder, const char *name)
{
    int length = snprintf(out, PATH_MAX, "%s/%s", folder, name);

    return length >= 0 && length < PATH_MAX;
}

/* Remove what is in the open folder `dir`, and close it. 0 or the first errno value. */
static int remove_contents(int dir)
{
    DIR *list = fdopendir(dir);
    struct dirent *entry;
    int error = list == NULL ? errno : 0;

    if (list == NULL) {
        (void)close(dir);
        return error;
    }
    while ((entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            !remove_tree(dirfd(list), entry->d_name) && error == 0)
            error = errno;
    }
    (void)closedir(list);
    return error;
}

bool remove_tree(int dir, const char *name)
{
    struct stat info;
    int error = 0;
    int inside;
    int why;

    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return true;
    why = errno;
    inside = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inside < 0 && errno == EACCES && fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(info.st_mode) && fchmodat(dir, name, 0700, 0) == 0)
        inside = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    error = inside >= 0 ? remove_contents(inside) : errno == ENOTDIR ? why : errno;
    if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
        return true;
    errno = error != 0 ? error : errno;
    return false;
}

int keep_open(int fd)
{
    int moved = fcntl(fd, F_DUPFD, HIGH_FD);

    if (moved >= 0) {
        (void)close(fd);
        return moved;
    }
    (void)fcntl(fd, F_SETFD, 0);
    return fd;
}

/* The one that stays open may be a standard stream itself. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wanalyzer-fd-leak"
void standard_streams_to_null(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return;
    for (int i = 0; i <= STDERR_FILENO; i++)
        (void)dup2(null, i);
    if (null > STDERR_FILENO)
        (void)close(null);
}
#pragma GCC diagnostic pop

/* Close first … end - 1. The call needs Linux 5.9; older ones get as far as the loop. */
static void close_gap(int first, int end)
{
    enum { LOOP_END = 4096 };

    if (first < end && close_range((unsigned)first, (unsigned)end - 1, 0) != 0)
        for (int fd = first; fd < end && fd < LOOP_END; fd++)
            (void)close(fd);
}

void close_others(const int *keep, size_t count)
{
    int next = STDERR_FILENO + 1;

    standard_streams_to_null();
    /* In ascending order, the gaps between those to keep. */
    for (;;) {
        int stop = INT_MAX;

        for (size_t i = 0; i < count; i++)
            if (keep[i] >= next && keep[i] < stop)
                stop = keep[i];
        close_gap(next, stop);
        if (stop == INT_MAX)
            return;
        next = stop + 1;
    }
}
