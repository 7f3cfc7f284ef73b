/* The facts about the squashfs that the packer writes into the runtime's section .tea_payload.
 *
 * 64 bytes, numbers little-endian. In the runtime as it is built only `magic` is filled:
 *
 *   offset  size  field
 *        0     8  magic          "TEAPLD1" and a zero byte: the layout's version, do not change
 *        8    32  sha256         of the squashfs, or of something that all of it follows from; names
 *                                the unpacked copy in the cache, never computed at a start
 *       40     8  squashfs_size  bytes from the end of the ELF file to the end of the AppImage
 *       48     8  unpacked_size  sum of the sizes of all regular files, one that has several
 *                                names counted for each of them
 *       56     8  zero
 */
#ifndef TEA_PAYLOAD_H
#define TEA_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#define PAYLOAD_MAGIC "TEAPLD1"

struct payload {
    char magic[8];
    uint8_t sha256[32];
    uint64_t squashfs_size;
    uint64_t unpacked_size;
    uint64_t zero;
};
_Static_assert(sizeof(struct payload) == 64, "the packer writes 64 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored little-endian");

enum { DIGEST_TEXT = 65 }; /* 64 hexadecimal digits and a zero byte */

/* Read the section of the image open at `fd`. False when it has none, or another version's. */
bool payload_read(int fd, struct payload *payload);

/* True when a packer has filled it. */
bool payload_filled(const struct payload *payload);

/* The digest as hexadecimal digits. */
void payload_name(const struct payload *payload, char name[DIGEST_TEXT]);

#endif
