/* Room in the ELF file that the packer and the AppImage tools fill. The sizes are those the
 * ecosystem's tools expect; the layout of .tea_payload is in payload.h. */
#include "payload.h"

#define SECTION(name) __attribute__((used, retain, aligned(8), section(name)))

SECTION(".digest_md5") const char section_digest_md5[16] = {0};
SECTION(".upd_info") const char section_upd_info[1024] = {0};
SECTION(".sha256_sig") const char section_sha256_sig[1024] = {0};
SECTION(".sig_key") const char section_sig_key[8192] = {0};
SECTION(".tea_payload") const struct payload section_tea_payload = {.magic = PAYLOAD_MAGIC};
