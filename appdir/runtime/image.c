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

static const char DOWNLOAD_AGAIN[] = "download the AppImage again and compare its sha256";

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

int image_load(struct image *image)
{
    struct squashfs_super_block super;
    struct stat info;
    uint64_t size;
    sqfs_err error;

    if (fstat(image->fd, &info) != 0)
        return fail(EXIT_SYSTEM, NULL, "cannot look at %s: %s", image->path, strerror(errno));
    if (!payload_read(image->fd, &image->payload))
        return image_damaged(image, "the runtime's section .tea_payload is missing");
    if (!read_at(image->fd, &super, sizeof super, image->offset) ||
        super.s_magic != SQUASHFS_MAGIC)
        return image_damaged(image, reason(SQFS_BADFORMAT));
    size = super.bytes_used;
    if (image->payload.squashfs_size > size)
        size = image->payload.squashfs_size;
    if (size > INT64_MAX - image->offset || (uint64_t)info.st_size < image->offset + size)
        return fail(EXIT_DAMAGED, DOWNLOAD_AGAIN, "%s is truncated: %llu bytes, %llu expected",
                    image->path, (unsigned long long)info.st_size,
                    (unsigned long long)(image->offset + size));
    error = sqfs_init(&image->fs, image->fd, (size_t)image->offset);
    return error == SQFS_OK ? 0 : image_damaged(image, reason(error));
}

bool image_root(struct image *image, sqfs_inode *root)
{
    return sqfs_inode_get(&image->fs, root, sqfs_inode_root(&image->fs)) == SQFS_OK &&
           S_ISDIR(root->base.mode);
}

/* Add a block to the last run, or start a new one. */
static bool add_block(struct content *content, struct run block)
{
    struct run *last = content->count > 0 ? &content->runs[content->count - 1] : NULL;
    struct run *grown;

    if (last != NULL && last->file + last->size == block.file &&
        last->image + last->size == block.image) {
        last->size += block.size;
        return true;
    }
    /* Grown in powers of two: a file of many short runs must not copy them each time. */
    if ((content->count & (content->count - 1)) == 0) {
        size_t room = content->count == 0 ? 1 : content->count * 2;
        grown = reallocarray(content->runs, room, sizeof *grown);
        if (grown == NULL)
            return false;
        content->runs = grown;
    }
    content->runs[content->count++] = block;
    return true;
}

/* A stored block that is not as long as its place in the file would be read as something else. */
static bool block_fits(const struct image *image, uint64_t file_size, const struct run *block)
{
    uint64_t left = file_size - block->file;
    uint64_t whole = image->fs.sb.block_size;
    uint64_t used = image->fs.sb.bytes_used;

    return block->file < file_size && block->size == (left < whole ? left : whole) &&
           block->size <= used && block->image - image->offset <= used - block->size;
}

bool content_open(struct image *image, const sqfs_inode *inode, struct content *content)
{
    sqfs_blocklist list;
    bool good = true;

    *content = (struct content){.inode = *inode};
    sqfs_blocklist_init(&image->fs, &content->inode, &list);
    while (good && list.remain > 0) {
        struct run block;
        uint32_t size;
        bool compressed;

        good = sqfs_blocklist_next(&list) == SQFS_OK;
        sqfs_data_header(list.header, &compressed, &size);
        if (!good || compressed || size == 0) /* size 0: a block of zeros, not stored */
            continue;
        block = (struct run){list.pos, image->offset + list.block, size};
        good = block_fits(image, inode->xtra.reg.file_size, &block) && add_block(content, block);
    }
    if (!good)
        content_close(content);
    return good;
}

void content_close(struct content *content)
{
    free(content->runs);
    content->runs = NULL;
    content->count = 0;
}

const struct run *content_run(const struct content *content, uint64_t at)
{
    size_t low = 0;
    size_t high = content->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct run *run = &content->runs[middle];

        if (run->file + run->size <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < content->count ? &content->runs[low] : NULL;
}
