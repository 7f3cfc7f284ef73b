/* The runtime's own ELF file, read from disk: where it ends and where its sections are. */
#ifndef TEA_ELF_H
#define TEA_ELF_H

#include <stdbool.h>
#include <stdint.h>

/* A range of bytes of a file. */
struct span {
    uint64_t offset;
    uint64_t size;
};

/* Where the ELF file ends, which is where the squashfs starts: behind the section header table.
 * False when `fd` is not a 64-bit little-endian ELF file with one. */
bool elf_end(int fd, uint64_t *end);

/* Where the section `name` lies. False when there is none. */
bool elf_section(int fd, const char *name, struct span *found);

#endif
