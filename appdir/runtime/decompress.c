/* squashfuse's choice of decompressors, cut down to the one our images use.
 *
 * The linker takes these functions instead of the library's, and leaves out liblzma, liblz4,
 * liblzo2 and zlib. */
#include <squashfuse/squashfuse.h>
#include <zstd.h>

static sqfs_err zstd(void *in, size_t in_size, void *out, size_t *out_size)
{
    size_t got = ZSTD_decompress(out, *out_size, in, in_size);

    if (ZSTD_isError(got))
        return SQFS_ERR;
    *out_size = got;
    return SQFS_OK;
}

/* The library's other two, which its own code refers to. */
char *sqfs_compression_name(sqfs_compression_type type)
{
    return type == ZSTD_COMPRESSION ? "zstd" : NULL;
}

void sqfs_compression_supported(sqfs_compression_type *types)
{
    types[0] = ZSTD_COMPRESSION;
    types[1] = SQFS_COMP_UNKNOWN;
}

sqfs_decompressor sqfs_decompressor_get(sqfs_compression_type type)
{
    return type == ZSTD_COMPRESSION ? zstd : NULL;
}
