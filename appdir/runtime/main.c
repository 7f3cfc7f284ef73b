/* The AppImage runtime: the program that an AppImage starts with.
 *
 * It makes the squashfs behind it readable as a folder (unpacked once into a cache, or mounted) and
 * becomes the program in it. The model is not needed there: the program reads it from the AppImage. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "environment.h"
#include "image.h"
#include "inspect.h"
#include "io.h"
#include "mount.h"
#include "options.h"
#include "place.h"
#include "program.h"
#include "report.h"
#include "version.h"

static int mount_somehow(struct image *image, char *appdir)
{
    struct mounted mounted;
    int result = mount_image(image, false, getpid(), &mounted);

    if (result == TRY_NEXT && !environment_on("TEA_RUNTIME_NO_USERNS"))
        result = mount_image(image, true, getpid(), &mounted);
    if (result == 0) {
        (void)keep_open(mounted.line);
        (void)strcpy(appdir, mounted.dir);
    }
    return result;
}

/* Find a folder with the image's tree: a copy of it; else a mount, which takes no space; else a copy
 * where temporary files go. 0 or a printed exit code. */
static int make_readable(struct image *image, enum action action, char *appdir)
{
    static struct refusals refusals;
    int result = cache_find(image, appdir);

    if (result == TRY_NEXT)
        result = cache_make(image, HOME_PLACE, HOME_PLACE + 1, &refusals, appdir);
    if (result == TRY_NEXT && action == ACTION_RUN)
        result = mount_somehow(image, appdir);
    /* Not for a home that is full: the next places may be a disk in memory. */
    if (result == TRY_NEXT && !refusals.home_full)
        result = cache_make(image, HOME_PLACE + 1, PLACES, &refusals, appdir);
    return result == TRY_NEXT ? cache_refused(&refusals) : result;
}

/* Become the program. Returns only when that fails. */
static int run(struct image *image, enum action action, char **words, const char *argv0)
{
    char appdir[PATH_MAX];
    int result = make_readable(image, action, appdir);

    if (result != 0)
        return result;
    if (!environment_set(image, appdir))
        return fail(EXIT_SYSTEM, NULL, "cannot set the environment: %s", strerror(errno));
    return program_start(appdir, words, argv0);
}

static int act(struct image *image, enum action action, int count, char **words)
{
    int result = 0;

    if (action != ACTION_OFFSET && action != ACTION_UPDATE_INFORMATION &&
        action != ACTION_SIGNATURE)
        result = image_check(image);
    if (result != 0)
        return result;
    switch (action) {
    case ACTION_OFFSET:
        (void)printf("%llu\n", (unsigned long long)image->offset);
        return 0;
    case ACTION_UPDATE_INFORMATION:
        return inspect_section(image, ".upd_info");
    case ACTION_SIGNATURE:
        return inspect_section(image, ".sha256_sig");
    case ACTION_PORTABLE_HOME:
        return environment_portable(image, ".home");
    case ACTION_PORTABLE_CONFIG:
        return environment_portable(image, ".config");
    case ACTION_EXTRACT:
        result = image_load(image);
        return result != 0 ? result : inspect_extract(image, count > 2 ? words[2] : NULL);
    case ACTION_MOUNT:
        return inspect_mount(image);
    default:
        break;
    }
    if (action == ACTION_RUN_UNPACKED && count > 1 && strncmp(words[1], "--appimage-", 11) == 0) {
        words[1] = words[0];
        return run(image, action, words + 1, words[0]);
    }
    return run(image, action, words, words[0]);
}

/* A standard stream that is closed stays so for the program, but none of our files may take its
 * number: the server puts others there. */
static void hold_standard_streams(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

int main(int count, char **words)
{
    static struct image image;
    enum action action;
    int result;

    if (count < 1)
        return fail(EXIT_USAGE, NULL, "started without a name (argv[0])");
    hold_standard_streams();
    action = options_action(count, words);
    switch (action) {
    case ACTION_HELP:
        (void)fputs(OPTIONS_HELP, stdout);
        return 0;
    case ACTION_VERSION:
        (void)puts("TEA AppImage runtime " RUNTIME_VERSION);
        return 0;
    case ACTION_UNKNOWN:
        return fail(EXIT_USAGE, "--appimage-help lists the options", "unknown option %s",
                    words[1]);
    default:
        break;
    }
    result = image_open(&image, words[0]);
    return result != 0 ? result : act(&image, action, count, words);
}
