/* The list of a copy's files: what a start compares the copy with, without reading the image.
 *
 * A header, then for each entry its mode, size, and path. The copy counts as complete for as long as
 * the system that made it runs, and for ever once it has been brought to the disk. */
#ifndef TEA_LIST_H
#define TEA_LIST_H

#include <stdbool.h>
#include <stdio.h>
#include <squashfuse/squashfuse.h>

/* Begin the list in the new, empty file. */
bool list_begin(FILE *list);

bool list_add(FILE *list, const char *path, const sqfs_inode *inode);

/* Is everything below the folder `tree` as the list open at `fd` says? A cleaner of temporary files may
 * have taken some, and a power failure what was not on the disk. */
bool list_holds(int fd, int tree);

/* Bring the copy to the disk and say so in its list, in a process of its own: nobody waits for it. */
void list_sync(int fd);

#endif
