/* Visiting the entries of the image's folders. */
#ifndef TEA_WALK_H
#define TEA_WALK_H

#include "image.h"

/* An entry on the way. */
struct step {
    char path[PATH_MAX]; /* below the root, without a leading slash */
    char *name;          /* its last part */
    sqfs_inode inode;
    int dir; /* the folder on disk that the caller gave for this entry's folder, or -1 */
    unsigned depth;
};

/* 0 goes on; anything else ends the walk and is its result. */
typedef int visit(struct step *step, void *context);

/* Visit each entry of the root folder; `visit` goes down by walk_below. Damage is printed and
 * gives EXIT_DAMAGED. */
int walk_image(struct image *image, int dir, visit *each, void *context);

/* Visit each entry of the folder `step`. The step is as before when this returns. */
int walk_below(struct image *image, struct step *step, int dir, visit *each, void *context);

#endif
