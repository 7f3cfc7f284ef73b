#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "elf.h"
#include "io.h"
#include "report.h"

static const char DOWNLOAD_AGAIN[] = "download it again and compare its sha256";

/* Without /proc the kernel still tells the path that was given to execve. */
static const char *own_path(const char *invoked)
{
    const char *executed;

    if (access("/proc/self/exe", R_OK) == 0)
        return "/proc/self/exe";
    executed = (const char *)getauxval(AT_EXECFN);
    return executed != NULL ? executed : invoked;
}

int image_open(struct image *image, const char *invoked)
{
    const char *target = getenv("TARGET_APPIMAGE");
    const char *path = target != NULL && *target != '\0' ? target : own_path(invoked);

    image->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (image->fd < 0)
        return fail(EXIT_SYSTEM, "the file must be readable, not only executable",
                    "cannot open %s: %s", path, strerror(errno));
    if (realpath(path, image->path) == NULL)
        return fail(EXIT_SYSTEM, "move the file to a shorter path", "cannot resolve %s: %s", path,
                    strerror(errno));
    if (!elf_end(image->fd, &image->offset))
        return fail(EXIT_DAMAGED, DOWNLOAD_AGAIN, "%s is not an AppImage: no ELF section headers",
                    image->path);
    return 0;
}

int image_damaged(const struct image *image, const char *what)
{
    return fail(EXIT_DAMAGED, DOWNLOAD_AGAIN, "%s is damaged: %s", image->path, what);
}

static const char *reason(sqfs_err error)
{
    switch (error) {
    case SQFS_BADFORMAT:
        return "no squashfs behind the runtime";
    case SQFS_BADVERSION:
        return "the squashfs is of another version than 4.0";
    case SQFS_BADCOMP:
        return "the squashfs is not compressed with zstd";
    default:
        return "the squashfs cannot be read";
    }
}

int image_check(struct image *image)
{
    const char *wrong = payload_read(image->fd, image->offset, &image->payload);
    struct stat info;
    uint64_t size;

    if (wrong != NULL)
        return image_damaged(image, wrong);
    if (fstat(image->fd, &info) != 0)
        return fail(EXIT_SYSTEM, NULL, "cannot look at %s: %s", image->path, strerror(errno));
    size = image->offset + image->payload.squashfs_size;
    if ((uint64_t)info.st_size < size)
        return fail(EXIT_DAMAGED, DOWNLOAD_AGAIN, "%s is truncated: %llu bytes, %llu expected",
                    image->path, (unsigned long long)info.st_size, (unsigned long long)size);
    return 0;
}

int image_load(struct image *image)
{
    sqfs_err error;

    if (image->loaded)
        return 0;
    if (!payload_verify(image->fd, image->offset, &image->payload))
        return image_damaged(image, "its bytes do not have the digest they were packed with");
    error = sqfs_init(&image->fs, image->fd, (size_t)image->offset);
    image->loaded = error == SQFS_OK;
    return image->loaded ? 0 : image_damaged(image, reason(error));
}

bool image_root(struct image *image, sqfs_inode *root)
{
    return sqfs_inode_get(&image->fs, root, sqfs_inode_root(&image->fs)) == SQFS_OK &&
           S_ISDIR(root->base.mode);
}

bool image_is_model(const struct image *image, const sqfs_inode *inode)
{
    return image->payload.model_size != 0 && S_ISREG(inode->base.mode) &&
           inode->xtra.reg.file_size == image->payload.model_size &&
           image->offset + inode->xtra.reg.start_block == image->payload.model_offset;
}
