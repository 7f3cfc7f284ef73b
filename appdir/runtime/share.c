#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "answer.h"
#include "fuse.h"
#include "io.h"
#include "lock.h"
#include "namespace.h"
#include "place.h"

#define LOCK "mount.lock"
#define SOCKET ".socket"
#define RECORD ".mount" /* a symbolic link, never followed: its text is the mount point */

enum {
    TRIES = 3,          /* at finding a name that nobody else takes meanwhile */
    ANSWER_SECONDS = 5, /* a server that mounts just now on a busy machine; a stopped one */
    LOCK_TRIES = 200,   /* with 5 ms between them */
    END_TRIES = 4,
    FILE_NAME = 32,
};

static void file_name(char file[FILE_NAME], const char *name, const char *ending)
{
    (void)snprintf(file, FILE_NAME, "%.*s%s", IDENTITY_NAME - 1, name, ending);
}

/* By way of the open folder, since a socket's path may have 107 bytes only. */
static struct sockaddr_un address_of(int folder, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%.*s" SOCKET,
                   folder, IDENTITY_NAME - 1, name);
    return address;
}

/* A socket to the server of that name. -1 with errno: ECONNREFUSED when it has ended. */
static int call(int folder, const char *name)
{
    const struct sockaddr_un address = address_of(folder, name);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};

    (void)nanosleep(&pause, NULL);
}

/* Someone stopped while it had the lock must not stop this start too. */
static int lock_folder(const struct share *share)
{
    for (int i = 0; i < LOCK_TRIES; i++) {
        int fd = lock_file(share->folder, LOCK, false);

        if (fd >= 0 || errno != EWOULDBLOCK)
            return fd;
        rest();
    }
    return -1;
}

/* The socket's file, zeros when there is none. */
static struct stat look(const struct share *share)
{
    struct stat info;
    char file[FILE_NAME];

    file_name(file, share->name, SOCKET);
    if (fstatat(share->folder, file, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return (struct stat){.st_ino = 0};
    return info;
}

/* Numbers of files are used again, moments are not. */
static bool same_file(const struct stat *one, const struct stat *other)
{
    return one->st_ino == other->st_ino && one->st_ctim.tv_sec == other->st_ctim.tv_sec &&
           one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}

/* What a server that was killed has left on its mount point: a dead mount, or an empty folder. */
static void clear_mount(int folder, const char *record)
{
    char dir[PATH_MAX];
    ssize_t length = readlinkat(folder, record, dir, sizeof dir - 1);
    struct statfs info;

    if (length <= 0)
        return;
    dir[length] = '\0';
    if (dir[0] != '/' || strstr(dir, "/" MOUNT_PREFIX) == NULL)
        return;
    /* Not stat, which the kernel may still answer for the dead. */
    if (statfs(dir, &info) != 0 && (errno == ENOTCONN || errno == ECONNABORTED))
        fuse_mount_clear(dir);
    (void)rmdir(dir);
}

/* Has the server of that name ended? One that is just being killed gets a moment. */
static bool ended(int folder, const char *name)
{
    for (int i = 0; i < END_TRIES; i++) {
        int fd = call(folder, name);

        if (fd < 0)
            return errno == ECONNREFUSED;
        (void)close(fd);
        rest();
    }
    return false;
}

/* Remove the files of that name, and what a killed server has left. Under the lock. */
static void clear(int folder, const char *name)
{
    char file[FILE_NAME];

    file_name(file, name, RECORD);
    if (ended(folder, name))
        clear_mount(folder, file);
    (void)unlinkat(folder, file, 0);
    file_name(file, name, SOCKET);
    (void)unlinkat(folder, file, 0);
}

/* The same for all other names whose server has ended: an image may never be started again. */
static void clear_others(const struct share *share)
{
    DIR *list = fdopendir(openat(share->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct dirent *file;

    if (list == NULL)
        return;
    while ((file = readdir(list)) != NULL) {
        int fd;

        if (strspn(file->d_name, "0123456789abcdef") != IDENTITY_NAME - 1 ||
            strcmp(file->d_name + IDENTITY_NAME - 1, SOCKET) != 0 ||
            strncmp(file->d_name, share->name, IDENTITY_NAME - 1) == 0)
            continue;
        fd = call(share->folder, file->d_name);
        if (fd >= 0)
            (void)close(fd);
        else if (errno == ECONNREFUSED)
            clear(share->folder, file->d_name);
    }
    (void)closedir(list);
}

/* Take the name over from whoever has the socket `seen`. False when it is another one's by now. */
static bool offer(struct share *share, const struct stat *seen)
{
    const struct sockaddr_un address = address_of(share->folder, share->name);
    int lock = lock_folder(share);
    struct stat now = look(share);
    mode_t mask;

    if (lock < 0)
        return true; /* then alone */
    if (!same_file(seen, &now)) {
        (void)close(lock);
        return false;
    }
    clear(share->folder, share->name);
    share->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    mask = umask(077);
    if (share->socket >= 0 &&
        bind(share->socket, (const struct sockaddr *)&address, sizeof address) != 0)
        files_close(&share->socket, 1);
    (void)umask(mask);
    share->bound = look(share);
    clear_others(share);
    (void)close(lock);
    return true;
}

/* Send the question, with the other end of the line. */
static bool ask(const struct share *share, int line)
{
    const struct question question = {share->identity, share->seconds};
    const struct timeval patience = {.tv_sec = ANSWER_SECONDS};
    int files[MESSAGE_FILES] = {line, (int)syscall(SYS_pidfd_open, getpid(), 0)};
    int fd = call(share->folder, share->name);
    bool sent;

    sent = fd >= 0 &&
           setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
           message_send(fd, &question, sizeof question, files, files[1] < 0 ? 1 : 2) == 0;
    if (fd >= 0)
        (void)close(fd);
    if (files[1] >= 0)
        (void)close(files[1]);
    return sent;
}

/* A namespace is a copy of what was mounted when it was made. */
static bool same_surroundings(const struct answer *answer)
{
    return answer->count == 0 || (namespace_safe() && answer->mounts == identity_of_mounts());
}

/* Is the mount where the server says, for this process too? */
static bool arrived(const struct answer *answer)
{
    struct stat info;

    return answer->device != 0 && stat(answer->dir, &info) == 0 && info.st_dev == answer->device;
}

/* Go where the answer says. When that fails half way, nothing can be shared from there. */
static bool follow(struct share *share, struct answer *answer)
{
    if (!same_surroundings(answer)) {
        files_close(answer->namespaces, MESSAGE_FILES);
        return false;
    }
    if (answer_follow(answer) && arrived(answer))
        return true;
    if (answer->count > 0)
        files_close(&share->folder, 1);
    return false;
}

/* One attempt: the line, or -1. */
static int join_server(struct share *share, char *dir)
{
    struct answer answer;
    int line[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, line) != 0)
        return -1;
    if (ask(share, line[1])) {
        files_close(&line[1], 1); /* else this end would not tell that the server has gone */
        if (answer_receive(line[0], ANSWER_SECONDS, &answer) && follow(share, &answer)) {
            (void)strcpy(dir, answer.dir);
            return line[0];
        }
    }
    files_close(line, 2);
    return -1;
}

void share_open(struct share *share, const struct image *image, unsigned seconds)
{
    *share = (struct share)SHARE_NOTHING;
    if (seconds == 0 || !payload_filled(&image->payload) ||
        !identity_of(image, &share->identity))
        return;
    share->folder = place_meeting();
    if (share->folder < 0)
        return;
    share->seconds = seconds;
    identity_name(&share->identity, share->name);
}

int share_join(struct share *share, char *dir)
{
    for (int i = 0; share->folder >= 0 && i < TRIES; i++) {
        const struct stat seen = look(share);
        int line = seen.st_ino != 0 ? join_server(share, dir) : -1;

        if (line >= 0)
            return line;
        if (share->folder < 0 || offer(share, &seen))
            break;
    }
    return -1;
}

bool share_record(const struct share *share, const char *dir)
{
    char file[FILE_NAME];

    if (share->socket < 0)
        return false;
    file_name(file, share->name, RECORD);
    (void)unlinkat(share->folder, file, 0);
    return symlinkat(dir, share->folder, file) == 0;
}

int share_hear(struct share *share, int *pidfd)
{
    struct question question;
    int files[MESSAGE_FILES];
    int count = message_receive(share->socket, &question, sizeof question, files, MESSAGE_FILES);

    if (count < 1)
        return -1;
    if (memcmp(&question.identity, &share->identity, sizeof share->identity) != 0 ||
        question.seconds > INT_MAX) {
        files_close(files, MESSAGE_FILES);
        return -1;
    }
    share->seconds = (unsigned)question.seconds;
    *pidfd = files[1];
    return files[0];
}

bool share_withdraw(struct share *share)
{
    struct pollfd asked = {.fd = share->socket, .events = POLLIN};
    int lock;

    if (share->socket < 0)
        return true;
    lock = lock_folder(share);
    if (poll(&asked, 1, 0) > 0) {
        if (lock >= 0)
            (void)close(lock);
        return false;
    }
    share_close(share);
    if (lock >= 0)
        (void)close(lock);
    return true;
}

void share_close(struct share *share)
{
    if (share->socket >= 0) {
        const struct stat now = look(share);
        char file[FILE_NAME];

        if (same_file(&now, &share->bound)) {
            file_name(file, share->name, SOCKET);
            (void)unlinkat(share->folder, file, 0);
            file_name(file, share->name, RECORD);
            (void)unlinkat(share->folder, file, 0);
        }
        (void)close(share->socket);
        share->socket = -1;
    }
    files_close(&share->folder, 1);
}
