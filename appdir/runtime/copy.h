/* The bytes of one file, out of the image. */
#ifndef TEA_COPY_H
#define TEA_COPY_H

#include "image.h"

/* Copy all of `content` into the new, empty file `out`. Returns 0, or an errno value: EINTR when
 * `*stop` was set, EBADMSG when the image is damaged. */
int copy_content(struct image *image, struct content *content, int out,
                 const volatile int *stop);

#endif
