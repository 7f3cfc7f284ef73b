#include "cache.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "entry.h"
#include "environment.h"
#include "extract.h"
#include "io.h"
#include "list.h"
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

/* Is there a complete copy? True when it is taken. */
static bool take(const struct place *place, const struct entry *entry, char *appdir)
{
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_OMIT}};
    char path[PATH_MAX];
    struct statvfs disk;
    struct stat info;
    int list = entry_list(entry);
    int tree = -1;
    bool good = false;

    if (list >= 0 && join(path, place->path, entry->name) && join(appdir, path, ENTRY_TREE))
        tree = open(appdir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    /* A disk may have been mounted `noexec` since then: another copy may do. */
    if (tree >= 0 && fstatvfs(tree, &disk) == 0 && (disk.f_flag & ST_NOEXEC) == 0)
        good = list_holds(list, tree);
    if (tree >= 0)
        (void)close(tree);
    if (!good) {
        if (list >= 0)
            (void)close(list);
        return false;
    }
    if (fstat(list, &info) == 0 && time(NULL) - info.st_atime > DAY)
        (void)futimens(list, now);
    (void)keep_open(list);
    return true;
}

/* Why a place was not used. */
struct refusal {
    const char *why;
    bool full;
    char text[SPACE_TEXT];
};

/* Everything into the folder `dir`, whose list is `list`. 0, TRY_NEXT on a signal, or printed. */
static int fill(struct image *image, const struct place *place, int dir, FILE *list)
{
    struct extraction job = {.image = image, .label = place->path, .list = list,
                             .stop = &interrupted};
    int result;

    if (mkdirat(dir, ENTRY_TREE, 0700) != 0 || !list_begin(list) ||
        (job.root = openat(dir, ENTRY_TREE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        return fail(EXIT_SYSTEM, OTHER_PLACE, "cannot write into %s: %s", place->path,
                    strerror(errno));
    result = extract_tree(&job);
    (void)close(job.root);
    if (result == 0 && fflush(list) != 0)
        result = fail(errno == ENOSPC ? EXIT_NO_SPACE : EXIT_SYSTEM, OTHER_PLACE,
                      "cannot finish the copy in %s: %s", place->path, strerror(errno));
    return result;
}

/* The copy under the name `part`, and its own name when it is complete. */
static int write_copy(struct image *image, const struct place *place, const struct entry *entry)
{
    int dir = -1;
    int fd = -1;
    FILE *list = NULL;
    int result;

    if (mkdirat(place->fd, entry->part, 0700) == 0)
        dir = openat(place->fd, entry->part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0)
        fd = openat(dir, ENTRY_LIST, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        list = fdopen(fd, "w");
    if (list == NULL)
        return fail(EXIT_SYSTEM, OTHER_PLACE, "cannot write into %s: %s", place->path,
                    strerror(errno));
    result = fill(image, place, dir, list);
    if (result == 0 && renameat(place->fd, entry->part, place->fd, entry->name) != 0)
        result = fail(EXIT_SYSTEM, OTHER_PLACE, "cannot rename the copy in %s: %s", place->path,
                      strerror(errno));
    if (result == 0)
        list_sync(fd);
    else
        (void)remove_tree(place->fd, entry->part);
    (void)fclose(list);
    (void)close(dir);
    return result;
}

/* Make the copy. 0, TRY_NEXT with the refusal, or a printed exit code. */
static int make(struct image *image, const struct place *place, const struct entry *entry,
                struct refusal *refusal)
{
    int result = image_load(image);
    int error;

    if (result != 0)
        return result;
    error = entry_remove(entry);
    if (error == EBUSY)
        return fail(EXIT_SYSTEM, "end the other program and start again",
                    "the copy %s/%s is damaged, and another program runs from it", place->path,
                    entry->name);
    if (error != 0) {
        (void)snprintf(refusal->text, sizeof refusal->text, "what is left of a copy: %s",
                       strerror(error));
        refusal->why = refusal->text;
        return TRY_NEXT;
    }
    if (!extract_fits(place->fd, image->payload.unpacked_size, refusal->text)) {
        refusal->why = refusal->text;
        refusal->full = true;
        return TRY_NEXT;
    }
    if (watched())
        note("unpacking %llu MB into %s, once",
             (unsigned long long)(image->payload.unpacked_size / MB), place->path);
    return write_copy(image, place, entry);
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
    int result = 0;
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
    if (!take(place, &entry, appdir)) {
        result = make(image, place, &entry, refusal);
        if (result == 0 && !take(place, &entry, appdir))
            result = fail(EXIT_SYSTEM, OTHER_PLACE, "the copy in %s changed while it was made",
                          place->path);
        if (result == 0 && !environment_on("NO_CLEANUP"))
            entries_prune(place->fd, name);
    }
    (void)close(held);
    return result;
}

int cache_find(const struct image *image, char *appdir)
{
    char name[DIGEST_TEXT];
    bool found = false;

    payload_name(&image->payload, name);
    for (unsigned i = 0; i < PLACES && !found; i++) {
        struct place place;
        struct entry entry;
        const char *why;

        if (!place_open(i, false, &place, &why))
            continue;
        entry_name(&entry, place.fd, name);
        found = take(&place, &entry, appdir);
        (void)close(place.fd);
    }
    return found ? 0 : TRY_NEXT;
}

/* Try the places in turn. 0, TRY_NEXT, or a printed exit code. */
static int try_places(struct image *image, unsigned first, unsigned end,
                      struct refusals *refusals, char *appdir)
{
    int result = TRY_NEXT;

    for (unsigned i = first; i < end && result == TRY_NEXT && interrupted == 0; i++) {
        struct refusal refusal = {.full = false};
        struct place place;

        if (place_open(i, true, &place, &refusal.why)) {
            result = use_place(image, &place, appdir, &refusal);
            (void)close(place.fd);
        }
        if (result == TRY_NEXT && refusal.why != NULL &&
            refusals->length < sizeof refusals->text)
            refusals->length +=
                (size_t)snprintf(refusals->text + refusals->length,
                                 sizeof refusals->text - refusals->length, "; %s: %s", place.path,
                                 refusal.why);
        refusals->full = refusals->full || refusal.full;
        refusals->home_full = refusals->home_full || (refusal.full && !place.temporary);
    }
    return result;
}

int cache_make(struct image *image, unsigned first, unsigned end, struct refusals *refusals,
               char *appdir)
{
    struct sigaction before[ENDINGS];
    int result;

    catch_signals(before);
    result = try_places(image, first, end, refusals, appdir);
    release_signals(before);
    return interrupted != 0 && result == TRY_NEXT ? EXIT_SYSTEM : result;
}

int cache_refused(const struct refusals *refusals)
{
    return refusals->full ? fail(EXIT_NO_SPACE, MORE_SPACE, "not enough space to unpack%s",
                                 refusals->text)
                          : fail(EXIT_NO_PLACE, OTHER_PLACE,
                                 "no folder can hold the unpacked copy%s", refusals->text);
}
