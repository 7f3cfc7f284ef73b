#include "host.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

enum { OWN_EVENTS = 2, SECOND = 1000 /* ms */ };

static volatile sig_atomic_t told_to_end;

static void end(int number)
{
    told_to_end = number;
}

static int64_t now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * SECOND + time.tv_nsec / (1000 * 1000);
}

void host_catch(void)
{
    const struct sigaction action = {.sa_handler = end};
    sigset_t blocked;

    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

/* Up to `ms` (-1: for ever), and here alone a signal comes in. */
static void wait_for(struct pollfd *events, unsigned count, int64_t ms)
{
    const struct timespec time = {.tv_sec = ms / SECOND, .tv_nsec = ms % SECOND * 1000 * 1000};
    sigset_t none;

    (void)sigemptyset(&none);
    if (ppoll(events, count, ms < 0 ? NULL : &time, &none) < 0)
        for (unsigned i = 0; i < count; i++)
            events[i].revents = 0;
}

/* Someone asks to join. */
static void welcome(struct host *host)
{
    int pidfd = -1;
    int line = share_hear(host->share, &pidfd);

    if (line >= 0 && users_add(&host->users, line, pidfd))
        (void)answer_send(line, &host->answer);
}

/* How long until it is to be detached, in ms; -1: not now. `since`: when its last user ended, 0 while
 * there is one. */
static int64_t time_left(const struct host *host, int64_t *since)
{
    const int64_t kept = told_to_end ? 0 : (int64_t)host->share->seconds * SECOND;
    int64_t left;

    if (host->users.count > 0) {
        *since = 0;
        return -1;
    }
    if (*since == 0)
        *since = now();
    left = *since + kept - now();
    return left > 0 ? left : 0;
}

void host_run(struct host *host)
{
    struct pollfd events[OWN_EVENTS + USERS * USER_EVENTS] = {
        {.fd = serve_device(host->server), .events = POLLIN},
        {.events = POLLIN},
    };
    bool mounted = true;
    int64_t since = 0;

    for (;;) {
        unsigned count = OWN_EVENTS + users_watch(&host->users, events + OWN_EVENTS);
        int64_t left = mounted ? time_left(host, &since) : -1;

        if (left == 0 && share_withdraw(host->share)) {
            fuse_mount_detach(host->mount);
            mounted = false;
            left = -1;
        }
        events[1].fd = host->share->socket;
        wait_for(events, count, left);
        if (events[0].revents != 0 && !serve_request(host->server))
            break;
        users_update(&host->users, events + OWN_EVENTS);
        if (events[1].revents != 0)
            welcome(host);
    }
    share_close(host->share);
    serve_close(host->server);
}
