/* The facts about the image that the packer writes into the runtime's section .tea_payload.
 *
 * 136 bytes, numbers little-endian. In the runtime as it is built only `magic` is filled:
 *
 *   offset  size  field
 *        0     8  magic          "TEAPLD2" and a zero byte: the layout's version, do not change
 *        8    32  digest         sha256 of the squashfs without the model's bytes; names the
 *                                unpacked copy in the cache
 *       40     8  squashfs_size  bytes from the end of the ELF file to the end of the AppImage
 *       48     8  unpacked_size  bytes that all files but the model take on a disk
 *       56     8  model_offset   where the model begins in the AppImage, a multiple of 4096
 *       64     8  model_size     its bytes, one run; 0 when there is none
 *       72    32  model_digest   sha256 of the model
 *      104    32  check          sha256 of the 104 bytes before it
 */
#ifndef TEA_PAYLOAD_H
#define TEA_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

#define PAYLOAD_MAGIC "TEAPLD2"

enum { DIGEST = 32, DIGEST_TEXT = 2 * DIGEST + 1 /* hexadecimal digits and a zero byte */ };

struct payload {
    char magic[8];
    uint8_t digest[DIGEST];
    uint64_t squashfs_size;
    uint64_t unpacked_size;
    uint64_t model_offset;
    uint64_t model_size;
    uint8_t model_digest[DIGEST];
    uint8_t check[DIGEST];
};
_Static_assert(sizeof(struct payload) == 136, "the packer writes 136 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are stored little-endian");

/* Read the section of the image open at `fd`. NULL, or what is wrong with it. `offset`: where the
 * squashfs begins. */
const char *payload_read(int fd, uint64_t offset, struct payload *payload);

/* Do the image's bytes have the digest, all but the model's? */
bool payload_verify(int fd, uint64_t offset, const struct payload *payload);

/* The digest as hexadecimal digits. */
void payload_name(const struct payload *payload, char name[DIGEST_TEXT]);

#endif
