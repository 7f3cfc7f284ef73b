#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <nettle/sha2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io.h"
#include "list.h"
#include "report.h"
#include "walk.h"

static const char PART[] = ".tea-part"; /* a file that is being replaced */

/* Something went wrong while writing `path`: say what, with the right exit code. */
static int failed(const struct extraction *job, const char *path, int error)
{
    switch (error) {
    case EINTR:
        return TRY_NEXT;
    case EBADMSG:
        return image_damaged(job->image, path);
    case ENOSPC:
    case EDQUOT:
        return fail(EXIT_NO_SPACE, "free some space, or set XDG_CACHE_HOME to a larger disk",
                    "the disk filled up while unpacking %s into %s", path, job->label);
    default:
        return fail(EXIT_SYSTEM, "set XDG_CACHE_HOME to a folder on a local disk",
                    "cannot write %s into %s: %s", path, job->label, strerror(error));
    }
}

static bool matches(const struct extraction *job, const char *path)
{
    return job->pattern == NULL ||
           fnmatch(job->pattern, path, FNM_PATHNAME | FNM_LEADING_DIR) == 0;
}

/* Access time as it is, modification time as in the image. */
static void set_times(struct timespec times[2], const sqfs_inode *inode)
{
    times[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    times[1] = (struct timespec){.tv_sec = inode->base.mtime};
}

static int set_time(int fd, const sqfs_inode *inode)
{
    struct timespec times[2];

    set_times(times, inode);
    return futimens(fd, times);
}

/* Copy the content. 0 or an errno value. */
static int write_content(struct extraction *job, sqfs_inode *inode, int fd)
{
    static uint8_t buffer[128 << 10];
    const uint64_t size = inode->xtra.reg.file_size;
    struct sha256_ctx hash;
    uint8_t digest[DIGEST];
    uint64_t at = 0;

    sha256_init(&hash);
    while (at < size) {
        sqfs_off_t got = sizeof buffer;

        if (sqfs_read_range(&job->image->fs, inode, (sqfs_off_t)at, &got, buffer) != SQFS_OK ||
            got <= 0)
            return EBADMSG;
        if (!write_at(fd, buffer, (size_t)got, at))
            return errno;
        if (image_is_model(job->image, inode))
            sha256_update(&hash, (size_t)got, buffer);
        at += (uint64_t)got;
        if (*job->stop != 0)
            return EINTR;
    }
    sha256_digest(&hash, sizeof digest, digest);
    if (image_is_model(job->image, inode) &&
        memcmp(digest, job->image->payload.model_digest, sizeof digest) != 0)
        return EBADMSG;
    return fchmod(fd, inode->base.mode & 0777) == 0 && set_time(fd, inode) == 0 ? 0 : errno;
}

/* In a folder that may hold older files, a new one appears under its name only when complete. In a
 * copy it is empty at first: `write_share` follows. */
static int write_file(struct extraction *job, int dir, const char *name, sqfs_inode *inode)
{
    const bool replace = job->list == NULL;
    const char *first = replace ? PART : name;
    int error = 0;
    int fd;

    if (replace)
        (void)remove_tree(dir, PART);
    fd = openat(dir, first, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (replace)
        error = write_content(job, inode, fd);
    if (close(fd) != 0 && error == 0)
        error = errno;
    if (error == 0 && replace && renameat(dir, first, dir, name) != 0)
        error = errno;
    if (error != 0)
        (void)unlinkat(dir, first, 0);
    return error;
}

/* Where the link `path` leads to, from the tree's root. False when it leads outside. */
static bool resolve(const char *path, const char *target, char *out)
{
    char *rest;
    char text[PATH_MAX];
    size_t length = (size_t)(strrchr(path, '/') != NULL ? strrchr(path, '/') - path : 0);

    if (*target == '/' || snprintf(text, sizeof text, "%s", target) >= (int)sizeof text)
        return false;
    (void)snprintf(out, PATH_MAX, "%.*s", (int)length, path);
    rest = text;
    for (char *part; (part = strtok_r(rest, "/", &rest)) != NULL;) {
        size_t end = strlen(out);

        if (strcmp(part, ".") == 0)
            continue;
        if (strcmp(part, "..") != 0) {
            if (snprintf(out + end, PATH_MAX - end, "%s%s", end > 0 ? "/" : "", part) >=
                (int)(PATH_MAX - end))
                return false;
            continue;
        }
        if (end == 0)
            return false;
        out[strrchr(out, '/') != NULL ? (size_t)(strrchr(out, '/') - out) : 0] = '\0';
    }
    return *out != '\0';
}

/* The part of the pattern that lies behind the link `path`: "" when the link itself or a folder above
 * it is asked for, NULL when nothing behind it is. */
static const char *behind(const char *pattern, const char *path)
{
    char head[PATH_MAX];
    const char *at = pattern;

    if (fnmatch(pattern, path, FNM_PATHNAME | FNM_LEADING_DIR) == 0)
        return "";
    for (const char *slash = path; slash != NULL && at != NULL; slash = strchr(slash + 1, '/'))
        at = strchr(slash == path ? pattern : at + 1, '/');
    if (at == NULL)
        return NULL;
    (void)snprintf(head, sizeof head, "%.*s", (int)(at - pattern), pattern);
    return fnmatch(head, path, FNM_PATHNAME) == 0 ? at : NULL;
}

/* With a pattern, what a link of the bundle leads to is wanted, too. False with errno. */
static bool follow(struct extraction *job, const char *path, const char *target)
{
    const char *rest = job->pattern != NULL ? behind(job->pattern, path) : NULL;
    char end[PATH_MAX];
    size_t needed;
    char *at;

    if (rest == NULL || !resolve(path, target, end))
        return true;
    needed = 2 * strlen(end) + strlen(rest) + 1;
    at = realloc(job->linked, job->linked_size + needed);
    if (at == NULL)
        return false;
    job->linked = at;
    at += job->linked_size;
    for (const char *letter = end; *letter != '\0'; letter++) {
        if (strchr("*?[\\", *letter) != NULL)
            *at++ = '\\';
        *at++ = *letter;
    }
    (void)strcpy(at, rest);
    job->linked_size = (size_t)(at - job->linked) + strlen(rest) + 1;
    return true;
}

static int write_link(struct extraction *job, int dir, const char *name, const char *path,
                      sqfs_inode *inode)
{
    char target[PATH_MAX];
    size_t size = sizeof target;
    struct timespec times[2];

    if (inode->xtra.symlink_size >= sizeof target ||
        sqfs_readlink(&job->image->fs, inode, target, &size) != SQFS_OK)
        return EBADMSG;
    if (job->list == NULL)
        (void)unlinkat(dir, name, 0);
    set_times(times, inode);
    return symlinkat(target, dir, name) == 0 &&
                   utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) == 0 && follow(job, path, target)
               ? 0
               : errno;
}

static int write_folder(struct extraction *job, int dir, const char *name, struct step *step);

/* One entry of a folder. */
static int write_entry(struct step *step, void *context)
{
    struct extraction *job = context;
    const mode_t mode = step->inode.base.mode;
    const bool match =
        matches(job, step->path) ||
        (S_ISLNK(mode) && job->pattern != NULL && behind(job->pattern, step->path) != NULL);
    int error = 0;

    if ((!match && !(S_ISDIR(mode) && job->pattern != NULL)) ||
        (job->list != NULL && image_is_model(job->image, &step->inode)))
        return 0;
    job->matched += match;
    if (job->list != NULL && !list_add(job->list, step->path, &step->inode))
        return failed(job, step->path, errno);
    if (match && job->list == NULL)
        (void)printf("%s/%s\n", job->label, step->path);
    if (S_ISREG(mode))
        error = write_file(job, step->dir, step->name, &step->inode);
    else if (S_ISLNK(mode))
        error = write_link(job, step->dir, step->name, step->path, &step->inode);
    else if (S_ISDIR(mode))
        return write_folder(job, step->dir, step->name, step);
    else
        error = EBADMSG; /* devices, pipes and sockets have no place in an AppDir */
    return error == 0 ? 0 : failed(job, step->path, error);
}

/* Does anything below this folder match? Otherwise it must not be made. */
static int find_match(struct step *step, void *context)
{
    const struct extraction *job = context;

    if (matches(job, step->path) || (S_ISLNK(step->inode.base.mode) && behind(job->pattern, step->path) != NULL))
        return 1;
    return S_ISDIR(step->inode.base.mode) ? walk_below(job->image, step, -1, find_match, context)
                                          : 0;
}

static int write_folder(struct extraction *job, int dir, const char *name, struct step *step)
{
    int result;
    int fd;

    if (!matches(job, step->path)) {
        result = walk_below(job->image, step, -1, find_match, job);
        if (result != 1)
            return result;
    }
    if (mkdirat(dir, name, 0700) != 0 && !(errno == EEXIST && job->list == NULL))
        return failed(job, step->path, errno);
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return failed(job, step->path, errno);
    result = walk_below(job->image, step, fd, write_entry, job);
    /* The owner can always write: the copy must be removable. */
    if (result == 0 &&
        (fchmod(fd, (step->inode.base.mode & 0777) | 0700) != 0 || set_time(fd, &step->inode) != 0))
        result = failed(job, step->path, errno);
    (void)close(fd);
    return result;
}

/* One entry of a copy: the content of a file that is in this process's share. */
static int write_share(struct step *step, void *context)
{
    struct extraction *job = context;
    const mode_t mode = step->inode.base.mode;
    const int fewer = job->shares[1] < job->shares[0];
    int result = 0;
    int error;
    int fd;

    if (S_ISREG(mode)) {
        if (image_is_model(job->image, &step->inode))
            return 0;
        job->shares[fewer] += step->inode.xtra.reg.file_size;
    }
    if (!S_ISDIR(mode) && !(S_ISREG(mode) && fewer == job->share))
        return 0;
    fd = openat(step->dir, step->name,
                (S_ISDIR(mode) ? O_RDONLY | O_DIRECTORY : O_WRONLY) | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return failed(job, step->path, errno);
    if (S_ISDIR(mode))
        result = walk_below(job->image, step, fd, write_share, job);
    else if ((error = write_content(job, &step->inode, fd)) != 0)
        result = failed(job, step->path, error);
    (void)close(fd);
    return result;
}

static int write_one_share(struct extraction *job, int share)
{
    job->share = share;
    memset(job->shares, 0, sizeof job->shares);
    return walk_image(job->image, job->root, write_share, job);
}

/* What the files hold, by two processes: to decompress it takes most of a first start. Whatever the
 * other one does not finish, this one does. */
static int write_contents(struct extraction *job)
{
    const pid_t other = fork();
    int status = 1;
    int result;

    if (other == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        standard_streams_to_null();
        _exit(write_one_share(job, 1) == 0 ? 0 : 1);
    }
    result = write_one_share(job, 0);
    if (other > 0) {
        if (result != 0)
            (void)kill(other, SIGKILL);
        while (waitpid(other, &status, 0) < 0 && errno == EINTR)
            if (*job->stop != 0)
                (void)kill(other, SIGKILL);
    }
    return result == 0 && status != 0 ? write_one_share(job, 1) : result;
}

int extract_tree(struct extraction *job)
{
    const int result = walk_image(job->image, job->root, write_entry, job);

    return result == 0 && job->list != NULL ? write_contents(job) : result;
}

bool extract_fits(int dir, uint64_t size, char text[SPACE_TEXT])
{
    enum { MB = 1000000 };
    const uint64_t needed = size + size / 100 + MB;
    struct statvfs disk;
    uint64_t free_bytes;

    if (fstatvfs(dir, &disk) != 0)
        return true; /* writing will tell */
    free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    (void)snprintf(text, SPACE_TEXT, "%llu MB needed, %llu MB free",
                   (unsigned long long)((needed + MB - 1) / MB),
                   (unsigned long long)(free_bytes / MB));
    return free_bytes >= needed;
}
