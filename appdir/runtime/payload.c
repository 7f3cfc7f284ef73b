#include "payload.h"

#include <nettle/sha2.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "elf.h"
#include "io.h"

static bool check_holds(const struct payload *payload)
{
    struct sha256_ctx hash;
    uint8_t digest[DIGEST];

    sha256_init(&hash);
    sha256_update(&hash, offsetof(struct payload, check), (const uint8_t *)payload);
    sha256_digest(&hash, sizeof digest, digest);
    return memcmp(digest, payload->check, sizeof digest) == 0;
}

const char *payload_read(int fd, uint64_t offset, struct payload *payload)
{
    struct span where;
    uint64_t end;

    if (!elf_section(fd, ".tea_payload", &where) || where.size != sizeof *payload ||
        !read_at(fd, payload, sizeof *payload, where.offset) ||
        memcmp(payload->magic, PAYLOAD_MAGIC, sizeof payload->magic) != 0)
        return "the runtime's section .tea_payload is missing";
    if (payload->squashfs_size == 0)
        return "its packer has not filled the section .tea_payload";
    end = offset + payload->squashfs_size;
    if (!check_holds(payload) || payload->squashfs_size > INT64_MAX - offset ||
        (payload->model_size != 0 &&
         (payload->model_offset < offset || payload->model_offset > end ||
          payload->model_size > end - payload->model_offset)))
        return "the section .tea_payload does not have its own digest";
    return NULL;
}

static bool hash_range(int fd, uint64_t at, uint64_t end, struct sha256_ctx *hash)
{
    uint8_t buffer[64 << 10];

    while (at < end) {
        size_t size = end - at < sizeof buffer ? (size_t)(end - at) : sizeof buffer;

        if (!read_at(fd, buffer, size, at))
            return false;
        sha256_update(hash, size, buffer);
        at += size;
    }
    return true;
}

bool payload_verify(int fd, uint64_t offset, const struct payload *payload)
{
    const uint64_t end = offset + payload->squashfs_size;
    const uint64_t model = payload->model_size != 0 ? payload->model_offset : end;
    struct sha256_ctx hash;
    uint8_t digest[DIGEST];

    sha256_init(&hash);
    if (!hash_range(fd, offset, model, &hash) ||
        !hash_range(fd, model + payload->model_size, end, &hash))
        return false;
    sha256_digest(&hash, sizeof digest, digest);
    return memcmp(digest, payload->digest, sizeof digest) == 0;
}

void payload_name(const struct payload *payload, char name[DIGEST_TEXT])
{
    for (size_t i = 0; i < DIGEST; i++)
        (void)snprintf(name + 2 * i, 3, "%02x", payload->digest[i]);
}
