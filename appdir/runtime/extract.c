#include "extract.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "copy.h"
#include "io.h"
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

static int write_content(struct extraction *job, sqfs_inode *inode, int fd)
{
    struct content content;
    struct stat info;
    int error;

    if (!content_open(job->image, inode, &content))
        return EBADMSG;
    error = copy_content(job->image, &content, fd, job->stop);
    content_close(&content);
    if (error != 0)
        return error;
    if (fchmod(fd, inode->base.mode & 0777) != 0 || set_time(fd, inode) != 0 ||
        fstat(fd, &info) != 0)
        return errno;
    if ((uint64_t)info.st_size != inode->xtra.reg.file_size)
        return EIO;
    job->written += inode->xtra.reg.file_size;
    return 0;
}

/* In a folder that may hold older files, a new one appears under its name only when complete. */
static int write_file(struct extraction *job, int dir, const char *name, sqfs_inode *inode)
{
    const char *first = job->replace ? PART : name;
    int error;
    int fd;

    if (job->replace)
        (void)remove_tree(dir, PART);
    fd = openat(dir, first, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    error = write_content(job, inode, fd);
    if (close(fd) != 0 && error == 0)
        error = errno;
    if (error == 0 && job->replace && renameat(dir, first, dir, name) != 0)
        error = errno;
    if (error != 0)
        (void)unlinkat(dir, first, 0);
    return error;
}

static int write_link(struct extraction *job, int dir, const char *name, sqfs_inode *inode)
{
    char target[PATH_MAX];
    size_t size = sizeof target;
    struct timespec times[2];

    if (inode->xtra.symlink_size >= sizeof target ||
        sqfs_readlink(&job->image->fs, inode, target, &size) != SQFS_OK)
        return EBADMSG;
    if (job->replace)
        (void)unlinkat(dir, name, 0);
    set_times(times, inode);
    return symlinkat(target, dir, name) == 0 &&
                   utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) == 0
               ? 0
               : errno;
}

static int write_folder(struct extraction *job, int dir, const char *name, struct step *step);

/* One entry of a folder. */
static int write_entry(struct step *step, void *context)
{
    struct extraction *job = context;
    bool match = matches(job, step->path);
    int error = 0;

    if (!match && !(S_ISDIR(step->inode.base.mode) && job->pattern != NULL))
        return 0;
    job->matched += match;
    if (match && job->list)
        (void)printf("%s/%s\n", job->label, step->path);
    if (S_ISREG(step->inode.base.mode))
        error = write_file(job, step->dir, step->name, &step->inode);
    else if (S_ISLNK(step->inode.base.mode))
        error = write_link(job, step->dir, step->name, &step->inode);
    else if (S_ISDIR(step->inode.base.mode))
        return write_folder(job, step->dir, step->name, step);
    else
        error = EBADMSG; /* devices, pipes and sockets have no place in an AppDir */
    return error == 0 ? 0 : failed(job, step->path, error);
}

/* Does anything below this folder match? Otherwise it must not be made. */
static int find_match(struct step *step, void *context)
{
    const struct extraction *job = context;

    if (matches(job, step->path))
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
    if (mkdirat(dir, name, 0700) != 0 && !(errno == EEXIST && job->replace))
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

int extract_tree(struct extraction *job)
{
    job->written = 0;
    job->matched = 0;
    return walk_image(job->image, job->root, write_entry, job);
}

struct measurement {
    struct image *image;
    struct extent *extent;
};

static int measure(struct step *step, void *context)
{
    enum { BLOCK = 4096 };
    struct measurement *job = context;
    uint64_t size = S_ISREG(step->inode.base.mode) ? step->inode.xtra.reg.file_size : 0;

    job->extent->files++;
    job->extent->bytes += size;
    job->extent->blocks += size / BLOCK * BLOCK + 2 * BLOCK; /* the last part, and the inode */
    return S_ISDIR(step->inode.base.mode) ? walk_below(job->image, step, -1, measure, job) : 0;
}

int extract_measure(struct image *image, struct extent *extent)
{
    struct measurement job = {image, extent};

    *extent = (struct extent){0};
    return walk_image(image, -1, measure, &job);
}

bool extract_fits(int dir, const struct extent *extent, char text[SPACE_TEXT])
{
    enum { MB = 1000000 };
    const uint64_t needed = extent->blocks + extent->blocks / 100 + MB;
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

static int compare(struct step *step, void *context)
{
    struct image *image = context;
    const mode_t kind = step->inode.base.mode & S_IFMT;
    struct stat info;
    int result;
    int fd;

    if (fstatat(step->dir, step->name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        (info.st_mode & S_IFMT) != kind ||
        (S_ISREG(kind) && ((uint64_t)info.st_size != step->inode.xtra.reg.file_size ||
                           ((info.st_mode ^ step->inode.base.mode) & 0777) != 0)))
        return TRY_NEXT;
    if (!S_ISDIR(kind))
        return 0;
    fd = openat(step->dir, step->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return TRY_NEXT;
    result = walk_below(image, step, fd, compare, context);
    (void)close(fd);
    return result;
}

int extract_compare(struct image *image, int root)
{
    return walk_image(image, root, compare, image);
}
