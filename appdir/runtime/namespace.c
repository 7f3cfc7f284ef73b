#include "namespace.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

bool namespace_enter(void)
{
    const uid_t user = geteuid();
    const gid_t group = getegid();
    char line[64];

    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return false;
    (void)snprintf(line, sizeof line, "%u %u 1\n", (unsigned)user, (unsigned)user);
    if (!write_text("/proc/self/setgroups", "deny") || !write_text("/proc/self/uid_map", line))
        return false;
    (void)snprintf(line, sizeof line, "%u %u 1\n", (unsigned)group, (unsigned)group);
    return write_text("/proc/self/gid_map", line);
}

unsigned namespace_files(int files[2])
{
    files[0] = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
    files[1] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    return (unsigned)(files[0] >= 0) + (unsigned)(files[1] >= 0);
}

/* The working directory by its path, and whether that path leads to it. */
static bool here(char *path)
{
    struct stat at_path;
    struct stat at_dot;

    return getcwd(path, PATH_MAX) != NULL && stat(path, &at_path) == 0 && stat(".", &at_dot) == 0 &&
           at_path.st_dev == at_dot.st_dev && at_path.st_ino == at_dot.st_ino;
}

bool namespace_safe(void)
{
    char path[PATH_MAX];

    return here(path);
}

bool namespace_join(const int files[2])
{
    char path[PATH_MAX];

    return here(path) && setns(files[0], CLONE_NEWUSER) == 0 && setns(files[1], CLONE_NEWNS) == 0 &&
           chdir(path) == 0;
}
