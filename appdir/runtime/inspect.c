#include "inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf.h"
#include "extract.h"
#include "io.h"
#include "mount.h"
#include "report.h"

static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    interrupted = number;
}

int inspect_section(const struct image *image, const char *name)
{
    char text[1025] = "";
    struct span where;

    if (!elf_section(image->fd, name, &where) || where.size >= sizeof text ||
        !read_at(image->fd, text, (size_t)where.size, where.offset))
        return image_damaged(image, name);
    (void)printf("%s\n", text);
    return 0;
}

static int extract_into(struct image *image, int root, const char *pattern)
{
    static const char ROOT[] = "squashfs-root";
    struct extraction job = {.image = image, .root = root, .label = ROOT, .pattern = pattern,
                             .list = true, .replace = true, .stop = &interrupted};
    struct extent extent;
    char space[SPACE_TEXT];
    int result;

    if (pattern == NULL) {
        result = extract_measure(image, &extent);
        if (result != 0)
            return result;
        if (!extract_fits(root, &extent, space))
            return fail(EXIT_NO_SPACE, "change to a folder on a larger disk",
                        "not enough space to unpack into ./%s: %s", ROOT, space);
    }
    result = extract_tree(&job);
    if (result == 0 && job.matched == 0)
        return fail(EXIT_USAGE, "--appimage-extract without a pattern lists all",
                    "nothing in the AppImage matches %s", pattern);
    return result;
}

int inspect_extract(struct image *image, const char *pattern)
{
    int result;
    int root;

    if (mkdir("squashfs-root", 0755) != 0 && errno != EEXIST)
        return fail(EXIT_SYSTEM, "change to a folder that you can write to",
                    "cannot make ./squashfs-root: %s", strerror(errno));
    root = open("squashfs-root", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (root < 0)
        return fail(EXIT_SYSTEM, "remove it, or change to another folder",
                    "./squashfs-root is a symbolic link or not a folder");
    result = extract_into(image, root, pattern);
    (void)close(root);
    return result;
}

int inspect_mount(struct image *image)
{
    struct sigaction action = {.sa_handler = interrupt};
    struct share alone = SHARE_NOTHING;
    struct mounted mounted;
    struct pollfd gone = {.events = POLLIN};

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    if (mount_image(image, false, -1, &alone, &mounted) != 0)
        return fail(EXIT_NO_MOUNT, "unpack it instead: --appimage-extract",
                    "cannot mount: FUSE does not work here (/dev/fuse, fusermount3)");
    (void)printf("%s\n", mounted.dir);
    (void)fflush(stdout);
    gone.fd = mounted.line;
    while (interrupted == 0 && poll(&gone, 1, -1) < 0 && errno == EINTR)
        continue;
    (void)shutdown(mounted.line, SHUT_WR);
    while (poll(&gone, 1, -1) < 0 && errno == EINTR)
        continue;
    return 0;
}
