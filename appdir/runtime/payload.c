#include "payload.h"

#include <stdio.h>
#include <string.h>

#include "elf.h"
#include "io.h"

bool payload_read(int fd, struct payload *payload)
{
    struct span where;

    return elf_section(fd, ".tea_payload", &where) && where.size == sizeof *payload &&
           read_at(fd, payload, sizeof *payload, where.offset) &&
           memcmp(payload->magic, PAYLOAD_MAGIC, sizeof payload->magic) == 0;
}

bool payload_filled(const struct payload *payload)
{
    return payload->squashfs_size != 0;
}

void payload_name(const struct payload *payload, char name[DIGEST_TEXT])
{
    for (size_t i = 0; i < sizeof payload->sha256; i++)
        (void)snprintf(name + 2 * i, 3, "%02x", payload->sha256[i]);
}
