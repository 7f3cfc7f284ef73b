#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"
#include "io.h"
#include "namespace.h"
#include "report.h"

enum {
    MOUNT_SECONDS = 60, /* a loaded machine is slow; a hung helper must not be for ever */
    RANDOM = 6,
};

/* Both sides of an attempt. */
struct attempt {
    struct image *image;
    const char *dir;
    bool in_namespace;
    pid_t program; /* the process that becomes the program, or -1 */
    struct share *share;
    int line[2]; /* [0] the program's end, [1] the server's */
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

/* A new, empty folder of the user's own to mount on. The word of it is left first: a start can be
 * killed at any moment, and nobody would find a folder that has no record. */
static bool make_dir(const struct image *image, const struct share *share, char *dir)
{
    const char *const bases[] = {getenv("TMPDIR"), "/tmp", "/var/tmp", getenv("XDG_RUNTIME_DIR")};
    const char *name = strrchr(image->path, '/') + 1;
    char leaf[32] = MOUNT_PREFIX;
    char *end = leaf + strlen(leaf);

    for (const char *stop = end + 6; end < stop && *name != '\0'; name++)
        if (strchr("-._", *name) == NULL && *name > ' ' && *name < 127)
            *end++ = *name;
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        if (bases[i] == NULL || bases[i][0] != '/' || !random_name(end) ||
            !join(dir, bases[i], leaf))
            continue;
        (void)share_record(share, dir);
        if (mkdir(dir, 0700) == 0)
            return true;
    }
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
    const int keep[] = {attempt->image->fd, attempt->line[1], attempt->share->folder,
                        attempt->share->socket};
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
    const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU};

    (void)setsid();
    (void)umask(077);
    host_catch();
    (void)signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        (void)signal(ignored[i], SIG_IGN);
    return chdir("/") == 0;
}

/* The number of the file system on `dir`, with no question to it: the one to answer is this process.
 * 0 when it cannot be told. */
static uint64_t device_of(const char *dir)
{
    struct statx info;

    if (statx(AT_FDCWD, dir, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_INO, &info) != 0)
        return 0;
    return makedev(info.stx_dev_major, info.stx_dev_minor);
}

/* The server process, from its start to its end. */
static void serve(const struct attempt *attempt)
{
    struct host host = {.share = attempt->share, .answer = {.namespaces = {-1, -1}}};
    struct fuse_mount mount;
    int pidfd;

    if (!leave_terminal())
        return;
    close_others(attempt);
    /* Before Linux 5.3 there is none, and the line alone decides. */
    pidfd = (int)syscall(SYS_pidfd_open, attempt->program, 0);
    if (attempt->in_namespace)
        host.answer.mounts = identity_of_mounts();
    if (attempt->in_namespace && !namespace_enter())
        return;
    if (fuse_mount_open(&mount, attempt->dir, !attempt->in_namespace) != 0)
        return;
    host.mount = &mount;
    host.server = serve_open(attempt->image, mount.fd);
    host.answer.device = device_of(attempt->dir);
    (void)strcpy(host.answer.dir, attempt->dir);
    if (attempt->in_namespace)
        host.answer.count = namespace_files(host.answer.namespaces);
    /* The line itself stays open: its end of file is the end of this process. */
    (void)users_add(&host.users, fcntl(attempt->line[1], F_DUPFD_CLOEXEC, 0), pidfd);
    if (host.server == NULL || (attempt->in_namespace && host.answer.count != MESSAGE_FILES) ||
        !answer_send(attempt->line[1], &host.answer)) {
        fuse_mount_detach(&mount);
        return;
    }
    host_run(&host);
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

int mount_image(struct image *image, bool in_namespace, pid_t program, struct share *share,
                struct mounted *mounted)
{
    struct attempt attempt = {.image = image,
                              .dir = mounted->dir,
                              .in_namespace = in_namespace,
                              .program = program,
                              .share = share,
                              .line = {-1, -1}};
    struct answer answer;
    bool there;

    if (access("/dev/fuse", F_OK) != 0 || (in_namespace && !namespace_safe()) ||
        !make_dir(image, share, mounted->dir))
        return TRY_NEXT;
    there = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, attempt.line) == 0 &&
            start(&attempt);
    files_close(&attempt.line[1], 1);
    if (there && answer_receive(attempt.line[0], MOUNT_SECONDS, &answer) &&
        answer_follow(&answer)) {
        mounted->line = attempt.line[0];
        return 0;
    }
    files_close(&attempt.line[0], 1);
    (void)rmdir(mounted->dir);
    return TRY_NEXT;
}
