#include "environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"
#include "report.h"

bool environment_on(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

static bool beside(const struct image *image, const char *ending, char *path)
{
    return snprintf(path, PATH_MAX, "%s%s", image->path, ending) < PATH_MAX;
}

/* Whoever may write beside the AppImage could make a home for the program otherwise. */
static bool is_own_folder(const char *path)
{
    struct stat link;
    struct stat info;

    if (lstat(path, &link) != 0 || stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return false;
    if (link.st_uid == geteuid() && info.st_uid == geteuid())
        return true;
    note("%s belongs to another user and is not used", path);
    return false;
}

static bool set_portable(const struct image *image, const char *ending, const char *variable)
{
    char path[PATH_MAX];

    return !beside(image, ending, path) || !is_own_folder(path) || setenv(variable, path, 1) == 0;
}

/* The model's place in the open AppImage, which the program inherits. */
static bool set_model(const struct image *image)
{
    char text[80];

    if (image->payload.model_size == 0)
        return unsetenv("TEA_MODEL_FD") == 0;
    (void)snprintf(text, sizeof text, "%d:%llu:%llu", keep_open(image->fd),
                   (unsigned long long)image->payload.model_offset,
                   (unsigned long long)image->payload.model_size);
    return setenv("TEA_MODEL_FD", text, 1) == 0;
}

bool environment_set(const struct image *image, const char *appdir)
{
    char cwd[PATH_MAX];
    bool done = setenv("APPIMAGE", image->path, 1) == 0 && setenv("APPDIR", appdir, 1) == 0;

    if (getcwd(cwd, sizeof cwd) != NULL)
        done = done && setenv("OWD", cwd, 1) == 0;
    else
        (void)unsetenv("OWD");
    /* Else an AppImage that the program starts would run this one again. */
    (void)unsetenv("TARGET_APPIMAGE");
    /* Another AppImage's, whose child this one is; zsh calls each command by it. */
    (void)unsetenv("ARGV0");
    return done && set_model(image) && set_portable(image, ".home", "HOME") &&
           set_portable(image, ".config", "XDG_CONFIG_HOME");
}

int environment_portable(const struct image *image, const char *ending)
{
    char path[PATH_MAX];

    if (!beside(image, ending, path))
        return fail(EXIT_SYSTEM, "move the file to a shorter path", "the path of %s is too long",
                    image->path);
    if (mkdir(path, 0700) != 0 && (errno != EEXIST || !is_own_folder(path)))
        return fail(EXIT_SYSTEM, "move the AppImage to a folder that you can write to",
                    "cannot make %s: %s", path, strerror(errno));
    (void)printf("%s\n", path);
    return 0;
}
