/* The image's tree, written into a folder. */
#ifndef TEA_EXTRACT_H
#define TEA_EXTRACT_H

#include <stdio.h>

#include "image.h"

struct extraction {
    struct image *image;
    int root;                 /* the folder to write into */
    const char *label;        /* what a message calls that folder */
    FILE *list;               /* leave the model out, and list the entries here; or NULL */
    const char *pattern;      /* only what matches this shell pattern, or NULL for all */
    const volatile int *stop; /* set by a signal: give up cleanly */
    uint64_t matched;         /* result: entries that matched */
    char *linked;             /* result: where matching links of the bundle lead to, zero-terminated
                                 patterns one behind the other; to be freed */
    size_t linked_size;
    uint64_t shares[2];       /* bytes that each of two processes writes */
    int share;                /* which of them this process is */
};

/* Is there room for `size` bytes on the disk of the folder `dir`? If not, `text` says so. */
enum { SPACE_TEXT = 96 };
bool extract_fits(int dir, uint64_t size, char text[SPACE_TEXT]);

/* Write the tree. Owner is the user, set-id bits are dropped, times are the image's. With no `list`
 * each path is printed below `label`, and older files are replaced one by one. Returns 0, a printed
 * exit code, or TRY_NEXT (silent) when `*stop` was set. */
int extract_tree(struct extraction *job);

#endif
