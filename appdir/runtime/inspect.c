#include "inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

/* What matches `pattern`, then what the links among it lead to, each once. */
static int extract_matching(struct extraction *job, const char *pattern)
{
    int result;

    job->pattern = pattern;
    result = extract_tree(job);
    for (size_t at = 0; result == 0 && at < job->linked_size;
         at += strlen(job->linked + at) + 1) {
        bool seen = false;

        for (size_t before = 0; before < at && !seen; before += strlen(job->linked + before) + 1)
            seen = strcmp(job->linked + before, job->linked + at) == 0;
        if (seen)
            continue;
        pattern = strdup(job->linked + at); /* the list grows, and may move */
        job->pattern = pattern;
        result = pattern != NULL ? extract_tree(job) : EXIT_SYSTEM;
        free((char *)pattern);
    }
    free(job->linked);
    return result;
}

static int extract_into(struct image *image, int root, const char *pattern)
{
    static const char ROOT[] = "squashfs-root";
    struct extraction job = {.image = image, .root = root, .label = ROOT, .stop = &interrupted};
    char space[SPACE_TEXT];
    int result;

    if (pattern == NULL &&
        !extract_fits(root, image->payload.unpacked_size + image->payload.model_size, space))
        return fail(EXIT_NO_SPACE, "change to a folder on a larger disk",
                    "not enough space to unpack into ./%s: %s", ROOT, space);
    result = extract_matching(&job, pattern);
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
    struct mounted mounted;
    struct pollfd gone = {.events = POLLIN};
    int result;

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    result = mount_image(image, false, -1, &mounted);
    if (result != 0 && result != TRY_NEXT)
        return result;
    if (result == TRY_NEXT)
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
