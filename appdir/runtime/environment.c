#include "environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report.h"

bool environment_on(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

int environment_number(const char *variable, int fallback, int most)
{
    const char *value = getenv(variable);
    int number = 0;

    if (value == NULL || *value == '\0')
        return fallback;
    for (; *value >= '0' && *value <= '9' && number <= most; value++)
        number = 10 * number + (*value - '0');
    return *value == '\0' && number <= most ? number : -1;
}

static bool beside(const struct image *image, const char *ending, char *path)
{
    return snprintf(path, PATH_MAX, "%s%s", image->path, ending) < PATH_MAX;
}

static bool set_portable(const struct image *image, const char *ending, const char *variable)
{
    char path[PATH_MAX];
    struct stat info;

    return !beside(image, ending, path) || stat(path, &info) != 0 || !S_ISDIR(info.st_mode) ||
           setenv(variable, path, 1) == 0;
}

bool environment_set(const struct image *image, const char *appdir, const char *argv0)
{
    char cwd[PATH_MAX];
    bool done = setenv("APPIMAGE", image->path, 1) == 0 && setenv("APPDIR", appdir, 1) == 0 &&
                setenv("ARGV0", argv0 != NULL ? argv0 : image->path, 1) == 0;

    if (getcwd(cwd, sizeof cwd) != NULL)
        done = done && setenv("OWD", cwd, 1) == 0;
    else
        (void)unsetenv("OWD");
    /* Else an AppImage that the program starts would run this one again. */
    (void)unsetenv("TARGET_APPIMAGE");
    return done && set_portable(image, ".home", "HOME") &&
           set_portable(image, ".config", "XDG_CONFIG_HOME");
}

int environment_portable(const struct image *image, const char *ending)
{
    char path[PATH_MAX];

    if (!beside(image, ending, path))
        return fail(EXIT_SYSTEM, "move the file to a shorter path", "the path of %s is too long",
                    image->path);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fail(EXIT_SYSTEM, "move the AppImage to a folder that you can write to",
                    "cannot make %s: %s", path, strerror(errno));
    (void)printf("%s\n", path);
    return 0;
}
