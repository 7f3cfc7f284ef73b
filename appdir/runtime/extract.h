/* The image's tree, written into a folder. */
#ifndef TEA_EXTRACT_H
#define TEA_EXTRACT_H

#include "image.h"

/* What the tree will take. */
struct extent {
    uint64_t bytes;  /* sum of the sizes of regular files */
    uint64_t blocks; /* bytes on a disk with blocks of 4 KiB, folders and links too */
    uint64_t files;  /* entries of every kind */
};

struct extraction {
    struct image *image;
    int root;                 /* the folder to write into */
    const char *label;        /* what a message calls that folder */
    const char *pattern;      /* only what matches this shell pattern, or NULL for all */
    bool list;                /* print each path on stdout, below `label` */
    bool replace;             /* the folder may hold older files: replace them one by one */
    const volatile int *stop; /* set by a signal: give up cleanly */
    uint64_t written;         /* result: sum of the sizes of the files written */
    uint64_t matched;         /* result: entries that matched */
};

/* Walk the tree and add up. 0 or a printed exit code. */
int extract_measure(struct image *image, struct extent *extent);

/* Is there room for it on the disk of the folder `dir`? If not, `text` says what is needed. */
enum { SPACE_TEXT = 96 };
bool extract_fits(int dir, const struct extent *extent, char text[SPACE_TEXT]);

/* Write the tree. Owner is the user, set-id bits are dropped, times are the image's. Every file's
 * size is checked. Returns 0, a printed exit code, or TRY_NEXT (silent) when `*stop` was set. */
int extract_tree(struct extraction *job);

/* Is everything still there, each file with its size and mode? A cleaner of temporary files may have taken
 * some. 0, TRY_NEXT (silent) when not, or a printed exit code. */
int extract_compare(struct image *image, int root);

#endif
