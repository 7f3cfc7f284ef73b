#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "entry.h"
#include "extract.h"
#include "io.h"
#include "place.h"
#include "report.h"

enum { MB = 1000000, DAY = 24 * 60 * 60 };

static const char OTHER_PLACE[] = "set XDG_CACHE_HOME to a folder that you can write to, on a disk"
                                  " that allows programs, or make FUSE available";

static const char MORE_SPACE[] = "free some space, or set XDG_CACHE_HOME to a folder on a larger disk";

/* The signal that asks to give up. One word, set by the handler, read while copying. */
static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = number;
}

static const int ENDING[] = {SIGINT, SIGTERM, SIGHUP};
enum { ENDINGS = sizeof ENDING / sizeof *ENDING };

/* While unpacking, a signal that ends the program first removes what is half done. */
static void catch_signals(struct sigaction before[ENDINGS])
{
    struct sigaction action = {.sa_handler = interrupt};

    for (size_t i = 0; i < ENDINGS; i++) {
        (void)sigaction(ENDING[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            (void)sigaction(ENDING[i], &action, NULL);
    }
}

static void release_signals(const struct sigaction before[ENDINGS])
{
    for (size_t i = 0; i < ENDINGS; i++)
        (void)sigaction(ENDING[i], &before[i], NULL);
    if (interrupted != 0)
        (void)raise(interrupted);
}

/* Is there a complete copy? 0 when it is taken; TRY_NEXT when not; or a printed exit code. */
static int take(struct image *image, const struct place *place, const struct entry *entry,
                char *appdir)
{
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    char path[PATH_MAX];
    struct statvfs disk;
    struct stat info;
    int marker;
    int tree;
    int result = TRY_NEXT;

    marker = entry_marker(entry, LOCK_SH);
    if (marker < 0)
        return TRY_NEXT;
    if (!join(path, place->path, entry->name) || !join(appdir, path, ENTRY_TREE))
        goto out;
    tree = open(appdir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree < 0)
        goto out;
    result = extract_compare(image, tree);
    /* A disk that has been mounted `noexec` since then: another copy may do. */
    if (result == 0 && fstatvfs(tree, &disk) == 0 && (disk.f_flag & ST_NOEXEC) != 0)
        result = TRY_NEXT;
    (void)close(tree);
out:
    if (result != 0) {
        (void)close(marker);
        return result;
    }
    if (fstat(marker, &info) == 0 && time(NULL) - info.st_atime > DAY)
        (void)futimens(marker, now);
    (void)keep_open(marker);
    return 0;
}

/* Why a place was not used, and whether that was for want of space. */
struct refusal {
    const char *why;
    bool full;
    char text[SPACE_TEXT];
};

/* Everything into the folder `dir`, down to the disk. 0, TRY_NEXT on a signal, or printed. */
static int fill(struct image *image, const struct place *place, int dir)
{
    struct extraction job = {.image = image, .label = place->path, .stop = &interrupted};
    int result;
    int marker;

    if (mkdirat(dir, ENTRY_TREE, 0700) != 0)
        return fail(EXIT_SYSTEM, OTHER_PLACE, "cannot make a folder in %s: %s", place->path,
                    strerror(errno));
    job.root = openat(dir, ENTRY_TREE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (job.root < 0)
        return fail(EXIT_SYSTEM, OTHER_PLACE, "cannot open a folder in %s: %s", place->path,
                    strerror(errno));
    result = extract_tree(&job);
    (void)close(job.root);
    if (result != 0)
        return result;
    if (job.written != image->payload.unpacked_size)
        return image_damaged(image, "its files are not as large as its packer says");
    marker = openat(dir, ENTRY_MARKER, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (marker < 0 || close(marker) != 0 || syncfs(dir) != 0)
        return fail(errno == ENOSPC ? EXIT_NO_SPACE : EXIT_SYSTEM, OTHER_PLACE,
                    "cannot finish the copy in %s: %s", place->path, strerror(errno));
    return 0;
}

/* Make the copy under another name, and give it its own when it is complete. 0, TRY_NEXT with the
 * refusal, or a printed exit code. */
static int make(struct image *image, const struct place *place, const struct entry *entry,
                struct refusal *refusal)
{
    struct extent extent;
    int result = extract_measure(image, &extent);
    int dir;

    if (result != 0)
        return result;
    (void)remove_tree(place->fd, entry->part);
    if (!entry_remove(entry))
        return fail(EXIT_SYSTEM, "end the other program and start again",
                    "the copy in %s is damaged, and another program runs from it", place->path);
    if (!extract_fits(place->fd, &extent, refusal->text)) {
        refusal->why = refusal->text;
        refusal->full = true;
        return TRY_NEXT;
    }
    if (watched())
        note("unpacking %llu MB into %s, once", (unsigned long long)(extent.bytes / MB),
             place->path);
    if (mkdirat(place->fd, entry->part, 0700) != 0 ||
        (dir = openat(place->fd, entry->part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return fail(EXIT_SYSTEM, OTHER_PLACE, "cannot write into %s: %s", place->path,
                    strerror(errno));
    result = fill(image, place, dir);
    (void)close(dir);
    if (result == 0 && renameat(place->fd, entry->part, place->fd, entry->name) != 0)
        result = fail(EXIT_SYSTEM, OTHER_PLACE, "cannot rename the copy in %s: %s", place->path,
                      strerror(errno));
    if (result == 0)
        (void)fsync(place->fd);
    else
        (void)remove_tree(place->fd, entry->part);
    return result;
}

/* Another start may be making the copy: then wait for it. The lock or -1. */
static int lock(const struct place *place, const struct entry *entry)
{
    int fd = entry_lock(entry, false);

    if (fd >= 0 || errno != EWOULDBLOCK)
        return fd;
    if (watched())
        note("another start is unpacking into %s, waiting for it", place->path);
    return entry_lock(entry, true);
}

/* A copy in this place, made if need be. 0, TRY_NEXT with the refusal, or a printed exit code. */
static int use_place(struct image *image, const struct place *place, char *appdir,
                     struct refusal *refusal)
{
    char name[DIGEST_TEXT];
    struct entry entry;
    int result;
    int held;

    if (!place_runs(place, &refusal->why))
        return TRY_NEXT;
    payload_name(&image->payload, name);
    entry_name(&entry, place->fd, name);
    held = lock(place, &entry);
    if (held < 0) {
        refusal->why = strerror(errno);
        return TRY_NEXT;
    }
    result = take(image, place, &entry, appdir);
    if (result == TRY_NEXT) {
        result = make(image, place, &entry, refusal);
        if (result == 0)
            result = take(image, place, &entry, appdir);
        if (result == 0 && getenv("NO_CLEANUP") == NULL)
            entries_prune(place->fd, name);
    }
    (void)close(held);
    return result;
}

static int reuse(struct image *image, char *appdir)
{
    char name[DIGEST_TEXT];
    int result = TRY_NEXT;

    payload_name(&image->payload, name);
    for (unsigned i = 0; i < PLACES && result == TRY_NEXT; i++) {
        struct place place;
        struct entry entry;
        const char *why;

        if (!place_open(i, false, &place, &why))
            continue;
        entry_name(&entry, place.fd, name);
        result = take(image, &place, &entry, appdir);
        (void)close(place.fd);
    }
    return result;
}

/* A user's own cache that is full is the end: the next places may be a disk in memory. */
static int unpack(struct image *image, char *appdir)
{
    char reasons[4 * PATH_MAX] = "";
    size_t length = 0;
    bool full = false;
    int result = TRY_NEXT;

    for (unsigned i = 0; i < PLACES && result == TRY_NEXT && interrupted == 0; i++) {
        struct refusal refusal = {.full = false};
        struct place place;

        if (place_open(i, true, &place, &refusal.why)) {
            result = use_place(image, &place, appdir, &refusal);
            (void)close(place.fd);
        }
        if (result == TRY_NEXT && refusal.why != NULL && length < sizeof reasons)
            length += (size_t)snprintf(reasons + length, sizeof reasons - length, "; %s: %s",
                                       place.path, refusal.why);
        full = full || refusal.full;
        if (refusal.full && !place.temporary)
            break;
    }
    if (result != TRY_NEXT || interrupted != 0)
        return result;
    return full ? fail(EXIT_NO_SPACE, MORE_SPACE, "not enough space to unpack%s", reasons)
                : fail(EXIT_NO_PLACE, OTHER_PLACE, "no folder can hold the unpacked copy%s",
                       reasons);
}

int cache_use(struct image *image, char *appdir)
{
    struct sigaction before[ENDINGS];
    int result;

    if (!payload_filled(&image->payload))
        return image_damaged(image, "its packer has not filled the section .tea_payload");
    result = reuse(image, appdir);
    if (result != TRY_NEXT)
        return result;
    catch_signals(before);
    result = unpack(image, appdir);
    release_signals(before);
    return result == TRY_NEXT ? EXIT_SYSTEM : result;
}
