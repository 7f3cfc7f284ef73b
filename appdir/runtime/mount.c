#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuse.h"
#include "io.h"
#include "message.h"
#include "namespace.h"
#include "report.h"
#include "serve.h"

enum { MOUNT_SECONDS = 60 }; /* a loaded machine is slow; a hung helper must not be for ever */

/* Both sides of an attempt. */
struct attempt {
    struct image *image;
    const char *dir;
    bool in_namespace;
    pid_t program;  /* the process that becomes the program, or -1 */
    int pipe[2];    /* the program's life line: [0] the server's, [1] the program's */
    int control[2]; /* the answer: [0] the program's, [1] the server's */
};

/* A new, empty folder of the user's own to mount on. */
static bool make_dir(const struct image *image, char *dir)
{
    const char *const bases[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", getenv("XDG_RUNTIME_DIR")};
    const char *name = strrchr(image->path, '/') + 1;
    char leaf[32] = ".mount_";

    for (size_t i = strlen(leaf), end = i + 6; i < end && *name != '\0'; name++)
        if (strchr("-._", *name) == NULL && *name > ' ' && *name < 127)
            leaf[i++] = *name;
    strcat(leaf, "XXXXXX");
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++)
        if (bases[i] != NULL && bases[i][0] == '/' && join(dir, bases[i], leaf) &&
            mkdtemp(dir) != NULL)
            return true;
    return false;
}

/* Close first … end - 1. The call needs Linux 5.9; older ones get as far as the loop. */
static void close_gap(int first, int end)
{
    enum { LOOP_END = 4096 };

    if (first < end && close_range((unsigned)first, (unsigned)end - 1, 0) != 0)
        for (int fd = first; fd < end && fd < LOOP_END; fd++)
            (void)close(fd);
}

/* Nothing of the caller's stays open in the server: a pipe's reader would wait for it. */
static void close_others(const struct attempt *attempt)
{
    const int keep[] = {attempt->image->fd, attempt->pipe[0], attempt->control[1]};
    enum { KEPT = sizeof keep / sizeof *keep };
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int next = STDERR_FILENO + 1;

    for (int i = 0; null >= 0 && i <= STDERR_FILENO; i++)
        (void)dup2(null, i);
    /* In ascending order, the gaps between those to keep. */
    for (;;) {
        int stop = INT_MAX;

        for (size_t i = 0; i < KEPT; i++)
            if (keep[i] >= next && keep[i] < stop)
                stop = keep[i];
        close_gap(next, stop);
        if (stop == INT_MAX)
            break;
        next = stop + 1;
    }
}

static bool leave_terminal(void)
{
    const int ignored[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU};
    sigset_t none;

    (void)setsid();
    (void)umask(077);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    return chdir("/") == 0;
}

static void detach(void *context)
{
    fuse_mount_detach(context);
}

/* The server process, from its start to its end. */
static void serve(const struct attempt *attempt)
{
    struct fuse_mount mount;
    struct server *server = NULL;
    int files[MESSAGE_FILES] = {-1, -1};
    unsigned count = 0;
    int pidfd;

    if (!leave_terminal())
        return;
    close_others(attempt);
    /* Before Linux 5.3 there is none, and the pipe alone decides. */
    pidfd = (int)syscall(SYS_pidfd_open, attempt->program, 0);
    if (attempt->in_namespace && !namespace_enter())
        return;
    if (fuse_mount_open(&mount, attempt->dir, !attempt->in_namespace) != 0)
        return;
    server = serve_open(attempt->image, mount.fd);
    if (attempt->in_namespace)
        count = namespace_files(files);
    if (server == NULL || (attempt->in_namespace && count != MESSAGE_FILES) ||
        message_send(attempt->control[1], 1, files, count) != 0) {
        fuse_mount_detach(&mount);
        return;
    }
    for (unsigned i = 0; i < count; i++)
        (void)close(files[i]);
    serve_loop(server, attempt->pipe[0], pidfd, detach, &mount);
}

/* Start the server as a grandchild, so that the program has no child it does not know. */
static bool start(const struct attempt *attempt)
{
    pid_t child = fork();

    if (child == 0) {
        pid_t grandchild = fork();

        if (grandchild == 0) {
            serve(attempt);
            (void)rmdir(attempt->dir);
        }
        _exit(grandchild < 0);
    }
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
    return child > 0;
}

/* Wait for the server's word and, with a namespace, go where it is. */
static bool arrive(const struct attempt *attempt)
{
    struct pollfd answer = {.fd = attempt->control[0], .events = POLLIN};
    int files[MESSAGE_FILES];
    char status;
    bool there;
    int ready;

    do {
        ready = poll(&answer, 1, MOUNT_SECONDS * 1000);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0 || message_receive(answer.fd, &status, files, MESSAGE_FILES) < 0)
        return false;
    if (!attempt->in_namespace)
        return true;
    there = namespace_join(files);
    for (unsigned i = 0; i < MESSAGE_FILES; i++)
        if (files[i] >= 0)
            (void)close(files[i]);
    return there;
}

static void close_pair(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            (void)close(pair[i]);
}

int mount_image(struct image *image, bool in_namespace, pid_t program, struct mounted *mounted)
{
    struct attempt attempt = {.image = image,
                              .dir = mounted->dir,
                              .in_namespace = in_namespace,
                              .program = program,
                              .pipe = {-1, -1},
                              .control = {-1, -1}};
    int result = TRY_NEXT;

    if (access("/dev/fuse", F_OK) != 0 || (in_namespace && !namespace_safe()) ||
        !make_dir(image, mounted->dir))
        return TRY_NEXT;
    if (pipe2(attempt.pipe, O_CLOEXEC) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, attempt.control) != 0)
        goto out;
    if (!start(&attempt))
        goto out;
    (void)close(attempt.control[1]);
    attempt.control[1] = -1;
    if (!arrive(&attempt))
        goto out;
    mounted->program = keep_open(attempt.pipe[1]);
    mounted->control = attempt.control[0];
    attempt.pipe[1] = -1;
    attempt.control[0] = -1;
    result = 0;
out:
    close_pair(attempt.pipe);
    close_pair(attempt.control);
    if (result != 0)
        (void)rmdir(mounted->dir);
    return result;
}
