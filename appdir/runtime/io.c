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

static bool remove_contents(int dir)
{
    DIR *list = fdopendir(dir);
    struct dirent *entry;
    bool empty = true;

    if (list == NULL) {
        (void)close(dir);
        return false;
    }
    while ((entry = readdir(list)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = remove_tree(dirfd(list), entry->d_name) && empty;
    }
    (void)closedir(list);
    return empty;
}

bool remove_tree(int dir, const char *name)
{
    int inside;

    if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
        return true;
    inside = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inside >= 0)
        (void)remove_contents(inside);
    return unlinkat(dir, name, AT_REMOVEDIR) == 0;
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
