#include "list.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"

enum { BOOT = 36 }; /* bytes of the name that the kernel gives to each of its runs */

struct header {
    char boot[BOOT];
    uint32_t synced;
};

struct record {
    uint32_t mode;
    uint32_t length; /* of the path behind it */
    uint64_t size;
};

static bool read_boot(char boot[BOOT])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    bool done = fd >= 0 && read_at(fd, boot, BOOT, 0);

    if (fd >= 0)
        (void)close(fd);
    return done;
}

bool list_begin(FILE *list)
{
    struct header header = {.synced = 0};

    if (!read_boot(header.boot))
        memset(header.boot, 0, sizeof header.boot);
    return fwrite(&header, sizeof header, 1, list) == 1;
}

bool list_add(FILE *list, const char *path, const sqfs_inode *inode)
{
    const struct record record = {
        .mode = inode->base.mode,
        .length = (uint32_t)strlen(path),
        .size = S_ISREG(inode->base.mode) ? inode->xtra.reg.file_size : 0,
    };

    return fwrite(&record, sizeof record, 1, list) == 1 &&
           fwrite(path, 1, record.length, list) == record.length;
}

static bool is_there(int tree, const struct record *record, const char *path)
{
    struct stat info;

    if (fstatat(tree, path, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        (info.st_mode & S_IFMT) != (record->mode & S_IFMT))
        return false;
    return !S_ISREG(info.st_mode) || ((uint64_t)info.st_size == record->size &&
                                      ((info.st_mode ^ record->mode) & 0777) == 0);
}

static bool entries_hold(const char *at, const char *end, int tree)
{
    while (at < end) {
        struct record record;
        char path[PATH_MAX];

        if ((size_t)(end - at) < sizeof record)
            return false;
        memcpy(&record, at, sizeof record);
        at += sizeof record;
        if (record.length >= sizeof path || record.length > (size_t)(end - at))
            return false;
        memcpy(path, at, record.length);
        path[record.length] = '\0';
        at += record.length;
        if (!is_there(tree, &record, path))
            return false;
    }
    return true;
}

bool list_holds(int fd, int tree)
{
    enum { MOST = 64 << 20 };
    struct header header;
    char boot[BOOT];
    struct stat info;
    char *text = NULL;
    bool holds = false;

    if (fstat(fd, &info) != 0 || info.st_size < (off_t)sizeof header || info.st_size > MOST ||
        (text = malloc((size_t)info.st_size)) == NULL ||
        !read_at(fd, text, (size_t)info.st_size, 0))
        goto out;
    memcpy(&header, text, sizeof header);
    holds = (header.synced != 0 || (read_boot(boot) && memcmp(boot, header.boot, BOOT) == 0)) &&
            entries_hold(text + sizeof header, text + info.st_size, tree);
out:
    free(text);
    return holds;
}

static void sync_now(int fd)
{
    const uint32_t synced = 1;

    if (syncfs(fd) == 0 && write_at(fd, &synced, sizeof synced, offsetof(struct header, synced)))
        (void)fsync(fd);
}

void list_sync(int fd)
{
    char boot[BOOT];
    pid_t child = read_boot(boot) ? fork() : -1;

    if (child < 0) {
        sync_now(fd);
        return;
    }
    if (child == 0) {
        if (fork() == 0) {
            (void)setsid();
            (void)signal(SIGHUP, SIG_IGN);
            close_others(&fd, 1);
            (void)!chdir("/");
            sync_now(fd);
        }
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
}
