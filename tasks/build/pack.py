"""AppImages: packed from a runtime, a program's squashfs and a model; and read back.

The model is stored uncompressed, in one run that begins at a multiple of a page, so that it is
mapped from the AppImage itself, and packing costs little more than copying it. Sources: AppImage
specification, type 2; squashfs-tools' mksquashfs(1).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from elftools.elf.elffile import ELFFile

from tasks.base import console, elf, process
from tasks.base.elf import NotElf
from tasks.base.errors import AppImageError, BuildError, CommandFailed, DiskFull
from tasks.base.files import (
    EPOCH,
    disk_errors,
    free_bytes,
    replacing,
    require_space,
    syncing,
)
from tasks.build import appdir
from tasks.build.parts import Program
from tasks.catalog import Target
from tasks.fetch.model_store import StoredModel

MAGIC = b"AI\x02"  # at offset 8 of the ELF header
PAYLOAD = struct.Struct("<8s32sQQQQ32s32s")  # appdir/runtime/payload.h
PAYLOAD_MAGIC = b"TEAPLD2\0"
PAGE = 4096  # bytes; the model begins at a multiple of it
SORT = appdir.SOURCE / "layer.sort"
SQUASHFS_MAGIC = b"hsqs"
SUPERBLOCK = 96  # bytes; the size of the squashfs is at offset 40, where its data end at 64
BUFFERS = 16  # MiB that mksquashfs works in; it takes no less
SPARE = 64 << 20  # bytes that must stay free beside the image while it is packed
_WHERE = "give a file that nox -s build-MODEL-ARCH made; they are in dist/"
_AGAIN = "build or download it again"


@dataclass(frozen=True, slots=True)
class AppImage:
    """What an AppImage says of itself. Sizes and offsets in bytes."""

    path: Path
    arch: str  # pyelftools' name, such as EM_X86_64
    offset: int  # where the squashfs begins: the size of the runtime
    squashfs_size: int
    digest: str | None  # sha256 of the squashfs without the model, where the runtime is ours
    model: Run | None  # where the model lies, likewise
    update_information: str


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of a file, in bytes."""

    offset: int
    size: int


def read(path: Path) -> AppImage:
    """Look at an AppImage without running it.

    Raises:
        AppImageError: the file is not there, not ELF, not of type 2, or has no squashfs.
    """
    try:
        with elf.reading(path) as image:
            return _read(path, image)
    except OSError as error:
        raise AppImageError(f"{path}: {error.strerror}", hint=_WHERE) from error
    except NotElf as error:
        raise AppImageError(
            f"{path}: not an AppImage (no ELF file: {error})", hint=_WHERE
        ) from error


def _read(path: Path, image: ELFFile) -> AppImage:
    file, size = image.stream, path.stat().st_size
    file.seek(8)
    if file.read(3) != MAGIC:
        raise AppImageError(f"{path}: an ELF file, but not an AppImage of type 2", hint=_WHERE)
    offset = elf.end(image)
    file.seek(min(offset, size))
    superblock = file.read(SUPERBLOCK)
    if not superblock.startswith(SQUASHFS_MAGIC):
        raise AppImageError(
            f"{path}: no squashfs after the runtime; the file is incomplete", hint=_AGAIN
        )
    used = max(int.from_bytes(superblock[40:48], "little"), SUPERBLOCK)
    if offset + used > size:
        raise AppImageError(
            f"{path}: cut short, {offset + used - size:,} bytes are missing", hint=_AGAIN
        )
    digest, model = _payload(image)
    return AppImage(
        path=path,
        arch=str(image["e_machine"]),
        offset=offset,
        squashfs_size=size - offset,
        digest=digest,
        model=model,
        update_information=_text(image, ".upd_info"),
    )


def _payload(image: ELFFile) -> tuple[str | None, Run | None]:
    """The digest and the model's place in the runtime's table; nothing where there is none."""
    section = image.get_section_by_name(".tea_payload")
    if section is None or len(section.data()) != PAYLOAD.size:
        return None, None
    magic, digest, _, _, offset, size, *_ = PAYLOAD.unpack(section.data())
    if magic != PAYLOAD_MAGIC:
        return None, None
    return digest.hex(), Run(offset, size) if size else None


def _text(image: ELFFile, name: str) -> str:
    section = image.get_section_by_name(name)
    return section.data().rstrip(b"\0").decode("utf-8", "replace") if section else ""


@dataclass(frozen=True, slots=True)
class Layer:
    """What is added to the program: a folder that holds ``bundle/``, and the models in it."""

    folder: Path
    models: Mapping[str, StoredModel]  # by their names in the bundle; none in a thin one

    def place(self, name: str) -> Path:
        """Where the model called ``name`` goes; an empty file until the image is packed."""
        return self.folder / appdir.LAYER / "models" / name

    def files(self) -> list[Path]:
        """All files but the models."""
        places = {self.place(name) for name in self.models}
        paths = sorted(self.folder.rglob("*"))
        return [path for path in paths if path.is_file() and path not in places]

    def models_size(self) -> int:
        """Bytes of all models."""
        return sum(model.path.stat().st_size for model in self.models.values())


def pack(
    program: Program,
    layer: Layer,
    runtime: Path,
    out: Path,
    *,
    mksquashfs: Sequence[str],
    update: str = "",
) -> None:
    """Pack ``out`` from its three parts, bit for bit the same for the same parts.

    ``mksquashfs`` is the command that runs it, ``update`` the update information. ``out`` is
    replaced at the end, or left as it was. The section .digest_md5 stays zero: nothing that runs or
    updates AppImages reads it, and MD5 of 1 GB takes longer than all the rest.

    Raises:
        DiskFull: not enough space beside ``out``, before or in the middle of the work.
        NotWritable: ``out``'s folder.
        BuildError: ``runtime`` is not one that an AppImage can begin with.
        CommandFailed: mksquashfs stopped.
    """
    sections = check_runtime(runtime, program.target)
    needed = layer.models_size() + program.squashfs.stat().st_size + SPARE
    with disk_errors(out.parent, needed):
        out.parent.mkdir(parents=True, exist_ok=True)
        require_space(out.parent, needed)
        with replacing(out) as part, syncing(part):
            offset = _begin(part, runtime, program, ".tea_payload" in sections)
            end = _append(layer, part, offset, mksquashfs)
            with part.open("r+b") as file:
                _describe(file, program, layer, offset, end)
                _tell_updates(file, elf.sections(ELFFile(file)), update)
            part.chmod(0o755)


def _begin(part: Path, runtime: Path, program: Program, padded: bool) -> int:
    """Write what is the same for all models; returns where its squashfs begins, in bytes.

    Where ``padded``, the program's data end at a multiple of a page: zeros before the runtime's
    section table, which comes last in it, move the squashfs.
    """
    head = bytearray(runtime.read_bytes())
    with part.open("wb") as file, program.squashfs.open("rb") as squashfs:
        if padded:
            table = int.from_bytes(head[40:48], "little")  # e_shoff
            pad = -(len(head) + _data_end(squashfs)) % PAGE
            head[table:table] = bytes(pad)
            head[40:48] = (table + pad).to_bytes(8, "little")
        file.write(head)
        shutil.copyfileobj(squashfs, file, 1 << 20)
    return len(head)


def _data_end(squashfs: BinaryIO) -> int:
    """Where the files' data end and the inode table begins, from the start of the squashfs."""
    superblock = squashfs.read(SUPERBLOCK)
    squashfs.seek(0)
    return int.from_bytes(superblock[64:72], "little")


def _append(layer: Layer, part: Path, offset: int, mksquashfs: Sequence[str]) -> int:
    """Add the layer to the squashfs that begins at ``offset`` of ``part``.

    Returns where its first file's data begin in ``part``.
    """
    _place_models(layer)
    with part.open("rb") as file:
        file.seek(offset)
        start = offset + int.from_bytes(file.read(SUPERBLOCK)[64:72], "little")
    # Beside -mkfs-time the variable is a fatal error, and it would leave the time stamp of an
    # older model as it is.
    # Few buffers stay in the processor's cache, and they are taken from the system in one piece:
    # the other way more time goes into fresh pages than into copying the model.
    argv = ["env", "-u", "SOURCE_DATE_EPOCH", f"MALLOC_TOP_PAD_={BUFFERS << 20}", *mksquashfs]
    argv += [str(layer.folder), str(part), "-mem", f"{BUFFERS}M", "-processors", "1"]
    argv += ["-offset", str(offset), "-mkfs-time", str(EPOCH), "-all-time", str(EPOCH)]
    argv += ["-quiet", "-no-progress", "-no-xattrs", "-all-root", "-no-recovery"]
    # Nothing in the layer can equal anything in the program, and looking costs a read of the model.
    # Blocks of zeros are stored, too: the model is one run.
    argv += ["-no-duplicates", "-no-fragments", "-no-sparse", "-sort", str(SORT)]
    argv += ["-action", "chmod(u=rwX,go=rX)@true", "-action", "uncompressed@name(*.gguf)"]
    try:
        process.run(argv, on_line=lambda _: None)
    except CommandFailed as error:
        if "No space left" in error.output:
            raise DiskFull(part.parent, None, free_bytes(part.parent)) from error
        last = error.output.strip().rpartition("\n")[2]
        raise CommandFailed(
            f"mksquashfs stopped with exit code {error.returncode}: {last}",
            returncode=error.returncode,
            output=error.output,
        ) from error
    return start


def _place_models(layer: Layer) -> None:
    """Put the models into the layer: by another name of the same file, or a copy of it."""
    for name, model in layer.models.items():
        place = layer.place(name)
        place.unlink(missing_ok=True)
        try:
            place.hardlink_to(model.path)
        except OSError:  # another file system, or another's file
            shutil.copyfile(model.path, place)


def check_runtime(runtime: Path, target: Target) -> Mapping[str, tuple[int, int]]:
    """The offset and size of the runtime's sections, in bytes.

    Raises:
        BuildError: no AppImage for ``target`` can begin with this file.
    """
    hint = "leave out --runtime for the project's own"
    try:
        with elf.reading(runtime) as image:
            image.stream.seek(8)
            marked = image.stream.read(3) == MAGIC
            machine, end, sections = image["e_machine"], elf.end(image), elf.sections(image)
    except OSError as error:
        raise BuildError(f"{runtime}: {error.strerror}", hint=hint) from error
    except NotElf as error:
        raise BuildError(f"{runtime}: not an ELF file ({error})", hint=hint) from error
    if not marked:
        raise BuildError(f"{runtime}: not the runtime of an AppImage of type 2", hint=hint)
    if machine != target.elf:
        raise BuildError(f"{runtime}: is for {machine}, not {target.elf}", hint=hint)
    if (more := runtime.stat().st_size - end) != 0:
        raise BuildError(
            f"{runtime}: has {more:,} bytes after its end, where the squashfs must begin"
            if more > 0
            else f"{runtime}: cut short, {-more:,} bytes are missing",
            hint=hint,
        )
    return sections


def _describe(file: BinaryIO, program: Program, layer: Layer, offset: int, start: int) -> None:
    """Write what our runtime needs to know into its section; another's has none.

    The squashfs begins at ``offset``, the layer's first file at ``start``.

    Raises:
        BuildError: the model is not there in one run.
    """
    where, size = elf.sections(ELFFile(file)).get(".tea_payload", (0, 0))
    if size != PAYLOAD.size:
        console.note("the runtime has no section .tea_payload and is used as it is")
        return
    end = os.fstat(file.fileno()).st_size
    model = next(iter(layer.models.values()), None)
    run = Run(start, model.size) if model else Run(end, 0)
    if model and not _is_there(file, model.path, run):
        raise BuildError(f"{model.path.name}: mksquashfs did not store it in one run")
    rest = hashlib.sha256()
    for at, stop in ((offset, run.offset), (run.offset + run.size, end)):
        file.seek(at)
        rest.update(file.read(stop - at))
    facts = PAYLOAD.pack(
        PAYLOAD_MAGIC,
        rest.digest(),
        end - offset,
        program.unpacked_size + sum(path.stat().st_size + PAGE for path in layer.files()),
        run.offset if model else 0,
        run.size,
        bytes.fromhex(model.sha256) if model else bytes(32),
        bytes(32),
    )[:-32]
    file.seek(where)
    file.write(facts + hashlib.sha256(facts).digest())


def _is_there(file: BinaryIO, model: Path, run: Run) -> bool:
    """Whether the run's first and last bytes are the model's."""
    with model.open("rb") as other:
        for at in (0, max(run.size - PAGE, 0)):
            other.seek(at)
            file.seek(run.offset + at)
            if file.read(min(PAGE, run.size)) != other.read(PAGE):
                return False
    return run.offset % PAGE == 0


def _tell_updates(file: BinaryIO, sections: Mapping[str, tuple[int, int]], update: str) -> None:
    """Write the update information, zero-padded, over whatever the runtime came with."""
    text = update.encode()
    where, size = sections.get(".upd_info", (0, 0))
    if len(text) > size:
        raise BuildError(
            f"the runtime has {size} bytes for update information, {len(text)} are needed",
            hint="leave out --runtime for the project's own",
        )
    file.seek(where)
    file.write(text.ljust(size, b"\0"))
