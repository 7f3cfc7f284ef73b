#include "walk.h"

#include <string.h>

#include "report.h"

enum { MAX_DEPTH = 128 }; /* a damaged image may have a folder that holds itself */

static bool good_name(const sqfs_dir_entry *entry)
{
    char *name = entry->name;

    name[entry->name_size] = '\0'; /* at most SQUASHFS_NAME_LEN: there is room for it */
    return entry->name_size > 0 && strlen(name) == entry->name_size &&
           strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* Put an entry's name behind its folder's path, which is `length` bytes long. */
static bool enter(struct image *image, struct step *step, size_t length, sqfs_dir_entry *entry)
{
    size_t slash = length > 0 ? 1 : 0;

    if (!good_name(entry) || length + slash + entry->name_size >= sizeof step->path)
        return false;
    step->path[length] = '/';
    step->name = step->path + length + slash;
    memcpy(step->name, entry->name, entry->name_size + 1);
    return sqfs_inode_get(&image->fs, &step->inode, entry->inode) == SQFS_OK;
}

int walk_below(struct image *image, struct step *step, int dir, visit *each, void *context)
{
    const sqfs_inode inode = step->inode;
    const int dir_before = step->dir;
    char *const name_before = step->name;
    const size_t length = strlen(step->path);
    sqfs_inode folder = inode;
    sqfs_dir list;
    sqfs_dir_entry entry;
    sqfs_name name;
    sqfs_err error = SQFS_OK;
    int result = 0;

    if (++step->depth > MAX_DEPTH || sqfs_dir_open(&image->fs, &folder, &list, 0) != SQFS_OK)
        return image_damaged(image, "a folder cannot be read");
    sqfs_dentry_init(&entry, name);
    while (result == 0 && sqfs_dir_next(&image->fs, &list, &entry, &error)) {
        step->dir = dir;
        result = enter(image, step, length, &entry) ? each(step, context)
                                                    : image_damaged(image, "an entry is not valid");
        step->path[length] = '\0';
    }
    if (result == 0 && error != SQFS_OK)
        result = image_damaged(image, "a folder ends too early");
    step->depth--;
    step->dir = dir_before;
    step->name = name_before;
    step->inode = inode;
    return result;
}

int walk_image(struct image *image, int dir, visit *each, void *context)
{
    struct step step = {.depth = 0};

    step.name = step.path;
    if (!image_root(image, &step.inode))
        return image_damaged(image, "the root folder is missing");
    return walk_below(image, &step, dir, each, context);
}
