#include "place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

#define FOLDER "tea-appimage"

static const char *absolute(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && value[0] == '/' ? value : NULL;
}

/* The folder that the candidate's own folder is made in; false when there is none. */
static bool base_of(unsigned index, char *base, bool *temporary)
{
    const char *cache = absolute("XDG_CACHE_HOME");
    const char *home = absolute("HOME");
    const char *folder = NULL;

    *temporary = index != 0;
    if (index == 0 && cache == NULL)
        return home != NULL && join(base, home, ".cache");
    if (index == 0)
        folder = cache;
    else if (index == 1)
        folder = absolute("TMPDIR");
    else
        folder = index == 2 ? "/tmp" : "/var/tmp";
    return folder != NULL && snprintf(base, PATH_MAX, "%s", folder) < PATH_MAX;
}

/* Make `path` and what is missing above it, as the XDG specification asks for. A home that does
 * not exist is not made. */
static void make_base(const char *path)
{
    const char *home = absolute("HOME");
    char part[PATH_MAX];

    if (mkdir(path, 0700) == 0 || errno != ENOENT || absolute("XDG_CACHE_HOME") == NULL)
        return;
    if (home != NULL && strncmp(path, home, strlen(home)) == 0 && access(home, F_OK) != 0)
        return;
    (void)snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0700);
        *slash = '/';
    }
    (void)mkdir(path, 0700);
}

/* Whoever may rename a folder on the way could put another in its place. `root` owns "/". */
static const char *flaw(int folder, uid_t root)
{
    struct stat info;

    if (fstat(folder, &info) != 0)
        return strerror(errno);
    /* With `sudo`, root must not leave its files in the user's home either. */
    if (info.st_uid != geteuid() && info.st_uid != root)
        return "it lies in a folder of another user";
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (info.st_mode & S_ISVTX) == 0)
        return "others may rename what is in a folder above it (no sticky bit)";
    return NULL;
}

/* Open the folder `path`, going down from the root, where each folder on the way is safe. -1 with the
 * reason when one is not. `path` becomes the real one: links may lead through other folders. */
static int open_safe(char path[PATH_MAX], const char **why)
{
    char real[PATH_MAX];
    char *rest = real;
    struct stat root;
    int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &root) != 0 || realpath(path, real) == NULL) {
        *why = strerror(errno);
        goto refuse;
    }
    (void)strcpy(path, real);
    while ((*why = flaw(fd, root.st_uid)) == NULL) {
        const char *part = strtok_r(rest, "/", &rest);
        int next = part != NULL ? openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

        if (part == NULL)
            return fd;
        if (next < 0) {
            *why = strerror(errno);
            break;
        }
        (void)close(fd);
        fd = next;
    }
refuse:
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

static const char *own_flaw(int own)
{
    struct stat info;

    if (fstat(own, &info) != 0)
        return strerror(errno);
    if (info.st_uid != geteuid())
        return "it belongs to another user";
    if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return "others may write to it";
    return NULL;
}

/* Open the folder `name` inside `base`; its number, or -1 with the reason. */
static int open_own(int base, const char *name, bool create, const char **why)
{
    int fd;

    if (create && mkdirat(base, name, 0700) != 0 && errno != EEXIST) {
        *why = strerror(errno);
        return -1;
    }
    fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        *why = errno == ELOOP || errno == ENOTDIR ? "it is a symbolic link or not a folder"
                                                  : strerror(errno);
    return fd;
}

bool place_open(unsigned index, bool create, struct place *place, const char **why)
{
    char base_path[PATH_MAX];
    char name[64];
    int base;

    *why = NULL;
    place->fd = -1;
    if (!base_of(index, base_path, &place->temporary))
        return false;
    (void)snprintf(name, sizeof name, place->temporary ? FOLDER "-%u" : FOLDER,
                   (unsigned)geteuid());
    if (create && !place->temporary)
        make_base(base_path);
    base = open_safe(base_path, why);
    if (!join(place->path, base_path, name) || base < 0)
        return false;
    place->fd = open_own(base, name, create, why);
    if (place->fd >= 0 && (*why = own_flaw(place->fd)) != NULL) {
        (void)close(place->fd);
        place->fd = -1;
    }
    (void)close(base);
    return place->fd >= 0;
}

bool place_to_mount(unsigned index, char path[PATH_MAX])
{
    const char *const bases[MOUNT_PLACES] = {absolute("TMPDIR"), "/tmp", "/var/tmp",
                                             absolute("XDG_RUNTIME_DIR")};
    const char *why;
    int fd = -1;

    if (bases[index] != NULL && snprintf(path, PATH_MAX, "%s", bases[index]) < PATH_MAX)
        fd = open_safe(path, &why);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

bool place_runs(const struct place *place, const char **why)
{
    char file[64];
    char link[64];
    int fd;

    *why = NULL;
    (void)snprintf(file, sizeof file, ".probe-%ld", (long)getpid());
    (void)snprintf(link, sizeof link, ".probe-link-%ld", (long)getpid());
    fd = openat(place->fd, file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0700);
    if (fd < 0) {
        *why = strerror(errno);
        return false;
    }
    /* The kernel answers for the mount's `noexec` too, for root as well. */
    if (fchmod(fd, 0700) != 0 || faccessat(place->fd, file, X_OK, 0) != 0)
        *why = "programs may not run there (noexec)";
    else if (symlinkat(file, place->fd, link) != 0 && errno != EEXIST)
        *why = "it cannot hold symbolic links";
    (void)close(fd);
    (void)unlinkat(place->fd, file, 0);
    (void)unlinkat(place->fd, link, 0);
    return *why == NULL;
}
