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

int entry_marker(const struct entry *entry, int lock)
{
    int dir = openat(entry->place, entry->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int marker = -1;

    if (dir < 0)
        return -1;
    marker = openat(dir, ENTRY_MARKER, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (marker >= 0 && (flock(marker, lock == LOCK_EX ? LOCK_EX | LOCK_NB : lock) != 0 ||
                        !still_named(dir, entry->place, entry->name))) {
        (void)close(marker);
        marker = -1;
    }
    (void)close(dir);
    return marker;
}

bool entry_remove(const struct entry *entry)
{
    int marker = entry_marker(entry, LOCK_EX);
    bool gone = false;

    if (marker < 0) {
        char path[DIGEST_TEXT + sizeof ENTRY_MARKER];

        (void)snprintf(path, sizeof path, "%s/%s", entry->name, ENTRY_MARKER);
        if (faccessat(entry->place, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return false; /* in use */
    }
    /* By way of the part's name: a copy that is half removed must not look complete. */
    gone = remove_tree(entry->place, entry->part) &&
           (renameat(entry->place, entry->name, entry->place, entry->part) == 0 ||
            errno == ENOENT) &&
           remove_tree(entry->place, entry->part);
    if (marker >= 0)
        (void)close(marker);
    return gone;
}

static bool long_unused(const struct entry *entry)
{
    char path[DIGEST_TEXT + sizeof ENTRY_MARKER];
    struct stat info;

    (void)snprintf(path, sizeof path, "%s/%s", entry->name, ENTRY_MARKER);
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
    if (is_ours(file, "") && !long_unused(&entry))
        return;
    lock = entry_lock(&entry, false);
    if (lock < 0)
        return; /* being made just now */
    (void)remove_tree(place, entry.part);
    if (!is_ours(file, "") || !long_unused(&entry) || entry_remove(&entry))
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
