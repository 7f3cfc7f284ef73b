"""What an ELF file shows of the instructions that it needs, against every CPU of its architecture.

x86_64 files may say it themselves, in a note that the loader enforces. aarch64 has no such note,
but its instructions are words of 32 bits, which can be told one by one.
"""

from __future__ import annotations

from array import array

from elftools.elf.elffile import ELFFile
from elftools.elf.notes import iter_notes

# Bits of GNU_PROPERTY_X86_ISA_1_NEEDED. Source: x86-64 psABI, "Program Property".
_LEVELS = {2: "x86-64-v2", 4: "x86-64-v3", 8: "x86-64-v4"}

# Mask, value and name of instructions that Armv8.0 lacks. Atomics of Armv8.1 are not among them:
# GCC's helpers for them ask the CPU first. Source: Arm Architecture Reference Manual, "Top-level
# encodings for A64" and "Advanced SIMD".
_EXTENSIONS = (
    (0x1E000000, 0x04000000, "SVE"),
    (0x9E000000, 0x80000000, "SME"),
    (0x9F20FC00, 0x0E009400, "dot product"),
    (0x9F00F400, 0x0F00E000, "dot product"),
    (0x9F60C400, 0x0E400400, "half precision"),
)


def level_needed(image: ELFFile) -> str:
    """The x86_64 level above the baseline that ``image`` says it needs, or nothing."""
    section = image.get_section_by_name(".note.gnu.property")
    if section is None:
        return ""
    bits = 0
    for note in iter_notes(image, section["sh_offset"], section["sh_size"]):
        if note["n_type"] == "NT_GNU_PROPERTY_TYPE_0":
            for found in note["n_desc"]:
                if found.pr_type == "GNU_PROPERTY_X86_ISA_1_NEEDED":
                    bits |= found.pr_data
    return next((name for bit, name in reversed(_LEVELS.items()) if bits & bit), "")


def extension_used(image: ELFFile) -> str:
    """An extension of Armv8.0 that the code of an aarch64 ``image`` uses, or nothing.

    For code that does not ask the CPU before it uses one, and has no data between instructions.
    """
    section = image.get_section_by_name(".text")
    if section is None:
        return ""
    code = array("I", section.data()[: section["sh_size"] // 4 * 4])
    for word in set(code):  # a third of the words, in compiled code
        for mask, value, name in _EXTENSIONS:
            if word & mask == value:
                return name
    return ""
