/* The AppImage runtime: the program that an AppImage starts with.
 *
 * It makes the squashfs behind it readable as a folder (mounted with FUSE, mounted in a user
 * namespace, or unpacked once into a cache) and becomes that folder's AppRun. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "environment.h"
#include "image.h"
#include "inspect.h"
#include "io.h"
#include "mount.h"
#include "options.h"
#include "report.h"
#include "version.h"

/* How long a mount is kept after its last user, in seconds. */
#define LINGER "TEA_RUNTIME_LINGER"
enum { LINGER_DEFAULT = 30, LINGER_MOST = 24 * 60 * 60 };
static const char LINGER_HINT[] = "give a whole number of seconds from 0 to 86400, or unset it";

/* Mounted, by an earlier start or by this one. 0, TRY_NEXT, or a printed exit code. */
static int mount_or_join(struct image *image, char *appdir)
{
    const char *target = getenv("TARGET_APPIMAGE");
    const int seconds = environment_number(LINGER, LINGER_DEFAULT, LINGER_MOST);
    struct mounted mounted;
    struct share share;
    int result = TRY_NEXT;

    if (seconds < 0)
        return fail(EXIT_USAGE, LINGER_HINT, LINGER " is %s", getenv(LINGER));
    /* Only of the running file is it sure that nobody writes into it meanwhile. */
    share_open(&share, image, target != NULL && *target != '\0' ? 0 : (unsigned)seconds);
    mounted.line = share_join(&share, mounted.dir);
    if (mounted.line >= 0)
        result = 0;
    if (result == TRY_NEXT)
        result = mount_image(image, false, getpid(), &share, &mounted);
    if (result == TRY_NEXT && !environment_on("TEA_RUNTIME_NO_USERNS"))
        result = mount_image(image, true, getpid(), &share, &mounted);
    if (result == 0) {
        (void)keep_open(mounted.line);
        (void)strcpy(appdir, mounted.dir);
    } else {
        share_close(&share);
    }
    return result;
}

/* Find a folder with the image's tree. 0 or a printed exit code. */
static int make_readable(struct image *image, enum action action, char *appdir)
{
    int result = TRY_NEXT;

    if (action == ACTION_RUN && access("/dev/fuse", F_OK) == 0)
        result = mount_or_join(image, appdir);
    return result == TRY_NEXT ? cache_use(image, appdir) : result;
}

/* Become the program. Returns only when that fails. */
static int run(struct image *image, enum action action, char **words, const char *argv0)
{
    char appdir[PATH_MAX];
    char program[PATH_MAX];
    int result = make_readable(image, action, appdir);

    if (result != 0)
        return result;
    if (!join(program, appdir, "AppRun") || !environment_set(image, appdir, argv0))
        return fail(EXIT_SYSTEM, NULL, "cannot set the environment: %s", strerror(errno));
    (void)execv(program, words);
    return fail(EXIT_NO_EXEC, "the AppImage must hold an executable AppRun for this processor",
                "cannot start %s: %s", program, strerror(errno));
}

static int act(struct image *image, enum action action, int count, char **words)
{
    int result = 0;

    if (action != ACTION_OFFSET && action != ACTION_UPDATE_INFORMATION &&
        action != ACTION_SIGNATURE)
        result = image_load(image);
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
        return inspect_extract(image, count > 2 ? words[2] : NULL);
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
