/* What two starts must have in common to use one mount. */
#ifndef TEA_IDENTITY_H
#define TEA_IDENTITY_H

#include "image.h"

enum {
    IDENTITY_FACTS = 22,
    IDENTITY_NAME = 17, /* 16 hexadecimal digits and a zero byte */
};

/* No padding: compared and hashed as bytes. */
struct identity {
    uint8_t sha256[32];
    uint64_t facts[IDENTITY_FACTS];
};

/* The image's content and the very file it is in, unchanged; the user, and where and how the server
 * would run: namespaces, control group, priority, limits. What stops or slows a server then does so
 * to all that read from it. False when it cannot be told. */
bool identity_of(const struct image *image, struct identity *identity);

/* A short name for it. Two may share one, so the whole is compared before it counts. */
void identity_name(const struct identity *identity, char name[IDENTITY_NAME]);

/* Another number for every change of what is mounted in this mount namespace. */
uint64_t identity_of_mounts(void);

#endif
