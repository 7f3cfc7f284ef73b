#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "environment.h"

static const uint64_t HASH_START = 0xcbf29ce484222325u;

/* FNV-1a, 64 bits. Source: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash(uint64_t value, const void *data, size_t size)
{
    const unsigned char *at = data;

    for (size_t i = 0; i < size; i++)
        value = (value ^ at[i]) * 0x100000001b3u;
    return value;
}

/* Of a file of the kernel's; what cannot be read adds nothing. */
static uint64_t hash_of_file(const char *path)
{
    uint64_t value = HASH_START;
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    while (fd >= 0 && (got = read(fd, text, sizeof text)) > 0)
        value = hash(value, text, (size_t)got);
    if (fd >= 0)
        (void)close(fd);
    return value;
}

uint64_t identity_of_mounts(void)
{
    return hash_of_file("/proc/self/mountinfo");
}

static uint64_t limit(__rlimit_resource_t which)
{
    struct rlimit value = {0, 0};

    (void)getrlimit(which, &value);
    return value.rlim_cur;
}

bool identity_of(const struct image *image, struct identity *identity)
{
    struct stat file;
    struct stat mounts;
    struct stat users;

    if (fstat(image->fd, &file) != 0 || stat("/proc/self/ns/mnt", &mounts) != 0 ||
        stat("/proc/self/ns/user", &users) != 0)
        return false;
    *identity = (struct identity){
        .facts = {file.st_dev, file.st_ino, (uint64_t)file.st_size,
                  (uint64_t)file.st_mtim.tv_sec, (uint64_t)file.st_mtim.tv_nsec,
                  (uint64_t)file.st_ctim.tv_sec, (uint64_t)file.st_ctim.tv_nsec,
                  image->offset, getuid(), geteuid(), getgid(), getegid(),
                  mounts.st_dev, mounts.st_ino, users.st_dev, users.st_ino,
                  hash_of_file("/proc/self/cgroup"), (uint64_t)getpriority(PRIO_PROCESS, 0),
                  limit(RLIMIT_CPU), limit(RLIMIT_AS), limit(RLIMIT_DATA),
                  environment_on("TEA_RUNTIME_NO_USERNS")}};
    memcpy(identity->sha256, image->payload.sha256, sizeof identity->sha256);
    return true;
}

void identity_name(const struct identity *identity, char name[IDENTITY_NAME])
{
    (void)snprintf(name, IDENTITY_NAME, "%016llx",
                   (unsigned long long)hash(HASH_START, identity, sizeof *identity));
}
