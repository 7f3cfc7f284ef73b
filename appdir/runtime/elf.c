#include "elf.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

enum { MAX_NAMES = 1 << 16 }; /* bytes of section names; ours has a few hundred */

static bool read_header(int fd, Elf64_Ehdr *header)
{
    return read_at(fd, header, sizeof *header, 0) &&
           memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 &&
           header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_ident[EI_DATA] == ELFDATA2LSB &&
           header->e_shnum != 0 && header->e_shentsize == sizeof(Elf64_Shdr);
}

static bool read_section(int fd, const Elf64_Ehdr *header, unsigned index, Elf64_Shdr *section)
{
    return read_at(fd, section, sizeof *section,
                   header->e_shoff + (uint64_t)index * sizeof *section);
}

bool elf_end(int fd, uint64_t *end)
{
    Elf64_Ehdr header;

    if (!read_header(fd, &header) || header.e_shoff > INT64_MAX / 2)
        return false;
    *end = header.e_shoff + (uint64_t)header.e_shnum * header.e_shentsize;
    return true;
}

bool elf_section(int fd, const char *name, struct span *found)
{
    Elf64_Ehdr header;
    Elf64_Shdr section;
    char *names = NULL;
    size_t size;
    bool seen = false;

    if (!read_header(fd, &header) || !read_section(fd, &header, header.e_shstrndx, &section) ||
        section.sh_size == 0 || section.sh_size > MAX_NAMES)
        return false;
    size = (size_t)section.sh_size;
    names = malloc(size);
    if (names == NULL || !read_at(fd, names, size, section.sh_offset))
        goto out;
    names[size - 1] = '\0';
    for (unsigned i = 0; i < header.e_shnum && !seen; i++) {
        if (!read_section(fd, &header, i, &section))
            goto out;
        seen = section.sh_name < size && strcmp(names + section.sh_name, name) == 0;
    }
    if (seen)
        *found = (struct span){.offset = section.sh_offset, .size = section.sh_size};
out:
    free(names);
    return seen;
}
