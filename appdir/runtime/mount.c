#include "mount.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "io.h"
#include "namespace.h"
#include "place.h"
#include "report.h"
#include "serve.h"

enum {
    MOUNT_SECONDS = 60, /* a loaded machine is slow; a hung helper must not be for ever */
    RANDOM = 6,
};

/* Six characters that nobody has guessed. */
static bool random_name(char *end)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuv";
    unsigned char bytes[RANDOM];

    if (getrandom(bytes, sizeof bytes, GRND_NONBLOCK) != sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        end[i] = letters[bytes[i] % (sizeof letters - 1)];
    end[RANDOM] = '\0';
    return true;
}

/* A new, empty folder of the user's own to mount on. */
static bool make_dir(const struct image *image, char *dir)
{
    const char *name = strrchr(image->path, '/') + 1;
    char leaf[32] = ".mount_";
    char *end = leaf + strlen(leaf);

    for (const char *stop = end + 6; end < stop && *name != '\0'; name++)
        if (isalnum((unsigned char)*name) && *name > 0)
            *end++ = *name;
    for (unsigned i = 0; i < MOUNT_PLACES; i++) {
        char base[PATH_MAX];

        if (place_to_mount(i, base) && random_name(end) && join(dir, base, leaf) &&
            mkdir(dir, 0700) == 0)
            return true;
    }
    return false;
}

static bool leave_terminal(void)
{
    const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};

    (void)umask(077);
    (void)signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    return setsid() >= 0 && chdir("/") == 0;
}

/* Answer the kernel until the file system is gone. It is detached when nobody uses it any more; what
 * still has files open there is served to its end. */
static void answer(struct server *server, const struct fuse_mount *mount, int line, pid_t program)
{
    /* Before Linux 5.3 there is no pidfd, and the line alone decides. */
    struct pollfd events[] = {{.fd = mount->fd, .events = POLLIN},
                              {.fd = line, .events = POLLIN},
                              {.fd = (int)syscall(SYS_pidfd_open, program, 0), .events = POLLIN}};
    bool mounted = true;

    for (;;) {
        if (poll(events, 3, -1) < 0)
            continue;
        if (events[0].revents != 0 && !serve_request(server))
            return;
        for (int i = 1; i < 3; i++)
            if (events[i].fd >= 0 && events[i].revents != 0)
                events[i].fd = -1; /* the line itself stays open: its end is the end of this process */
        if (mounted && events[1].fd < 0 && events[2].fd < 0) {
            fuse_mount_detach(mount);
            mounted = false;
        }
    }
}

/* The server process, from its start to its end. */
static void serve(struct image *image, bool helpers, int line, pid_t program)
{
    char dir[PATH_MAX];
    struct fuse_mount mount;
    struct server *server;

    if (!leave_terminal() || !make_dir(image, dir))
        return;
    /* Nothing of the caller's stays open here: a pipe's reader would wait for it. */
    close_others((const int[]){image->fd, line}, 2);
    if (fuse_mount_open(&mount, dir, helpers)) {
        server = serve_open(image, mount.fd);
        if (server != NULL && send(line, dir, strlen(dir) + 1, MSG_NOSIGNAL) > 0)
            answer(server, &mount, line, program);
        else
            fuse_mount_detach(&mount);
    }
    (void)rmdir(dir);
}

/* Start the server as a grandchild, so that the program has no child it does not know. */
static bool start(struct image *image, bool helpers, int line, pid_t program)
{
    pid_t child = fork();

    if (child == 0) {
        pid_t grandchild = fork();

        if (grandchild == 0)
            serve(image, helpers, line, program);
        _exit(grandchild < 0);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return child > 0;
}

/* Wait for the server's word: where it has mounted. */
static bool receive_dir(int line, char *dir)
{
    struct pollfd event = {.fd = line, .events = POLLIN};
    int ready;

    do {
        ready = poll(&event, 1, MOUNT_SECONDS * 1000);
    } while (ready < 0 && errno == EINTR);
    return ready > 0 && recv(line, dir, PATH_MAX, 0) > 0;
}

int mount_image(struct image *image, bool in_namespace, pid_t program, struct mounted *mounted)
{
    int line[2]; /* [0] the program's end, [1] the server's */
    int result;
    bool there;

    if (access("/dev/fuse", F_OK) != 0)
        return TRY_NEXT;
    result = image_load(image);
    if (result != 0)
        return result;
    if ((in_namespace && !namespace_enter()) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) != 0)
        return TRY_NEXT;
    there = start(image, !in_namespace, line[1], program);
    (void)close(line[1]);
    if (there && receive_dir(line[0], mounted->dir)) {
        mounted->line = line[0];
        return 0;
    }
    (void)close(line[0]);
    return TRY_NEXT;
}
