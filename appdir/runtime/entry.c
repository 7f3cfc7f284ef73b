#include "entry.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io.h"
#include "lock.h"

#define OLDER_LIST ".complete" /* of runtimes that unpacked the model, too */

enum { UNUSED_SECONDS = 30 * 24 * 60 * 60 };

void entry_name(struct entry *entry, int place, const char *name)
{
    entry->place = place;
    (void)snprintf(entry->name, sizeof entry->name, "%s", name);
    (void)snprintf(entry->part, sizeof entry->part, "%s.tmp", entry->name);
    (void)snprintf(entry->lock, sizeof entry->lock, "%s.lock", entry->name);
}

int entry_lock(const struct entry *entry, bool wait)
{
    return lock_file(entry->place, entry->lock, wait);
}

/* Open the file `list` of the copy and lock it, without waiting when `lock` says so. -1 with errno:
 * EWOULDBLOCK when it is in use. */
static int open_list(const struct entry *entry, const char *list, int lock)
{
    int dir = openat(entry->place, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = -1;
    int error;

    if (dir < 0)
        return -1;
    fd = openat(dir, list, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && (flock(fd, lock) != 0 || !still_named(dir, entry->place, entry->name))) {
        error = errno;
        (void)close(fd);
        fd = -1;
        errno = error;
    }
    error = errno;
    (void)close(dir);
    errno = error;
    return fd;
}

int entry_list(const struct entry *entry)
{
    return open_list(entry, ENTRY_LIST, LOCK_SH);
}

int entry_remove(const struct entry *entry)
{
    const char *const names[] = {ENTRY_LIST, OLDER_LIST};
    int lists[] = {-1, -1};
    int error = 0;

    for (int i = 0; i < 2; i++) {
        lists[i] = open_list(entry, names[i], LOCK_EX | LOCK_NB);
        if (lists[i] < 0 && errno == EWOULDBLOCK)
            error = EBUSY;
    }
    /* By way of the part's name: a copy that is half removed must not look complete. */
    if (error == 0 &&
        (!remove_tree(entry->place, entry->part) ||
         (renameat(entry->place, entry->name, entry->place, entry->part) != 0 && errno != ENOENT) ||
         !remove_tree(entry->place, entry->part)))
        error = errno;
    for (int i = 0; i < 2; i++)
        if (lists[i] >= 0)
            (void)close(lists[i]);
    return error;
}

/* The copy has no list that is younger than 30 days. */
static bool not_needed(const struct entry *entry)
{
    char path[DIGEST_TEXT + sizeof ENTRY_LIST];
    struct stat info;

    (void)snprintf(path, sizeof path, "%s/%s", entry->name, ENTRY_LIST);
    return fstatat(entry->place, path, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
           time(NULL) - info.st_atime > UNUSED_SECONDS;
}

/* Is this `<64 hexadecimal digits>` with `ending` behind it? */
static bool is_ours(const char *name, const char *ending)
{
    size_t digits = strspn(name, "0123456789abcdef");

    return digits == DIGEST_TEXT - 1 && strcmp(name + digits, ending) == 0;
}

static void prune_one(int place, const char *file)
{
    struct entry entry;
    int lock;

    entry_name(&entry, place, file);
    if (is_ours(file, "") && !not_needed(&entry))
        return;
    lock = entry_lock(&entry, false);
    if (lock < 0)
        return; /* being made just now */
    (void)remove_tree(place, entry.part);
    if (!not_needed(&entry) || entry_remove(&entry) == 0)
        if (faccessat(place, entry.name, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
            (void)unlinkat(place, entry.lock, 0);
    (void)close(lock);
}

void entries_prune(int place, const char *keep)
{
    DIR *list = fdopendir(openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *file;

    if (list == NULL)
        return;
    while ((file = readdir(list)) != NULL) {
        bool ours = is_ours(file->d_name, "") || is_ours(file->d_name, ".tmp");

        if (ours && strncmp(file->d_name, keep, DIGEST_TEXT - 1) != 0)
            prune_one(place, file->d_name);
    }
    (void)closedir(list);
}
