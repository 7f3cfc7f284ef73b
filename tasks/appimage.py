"""AppImages: packed from a runtime, a program's squashfs and a model; and read back.

The model is stored uncompressed, so that it is mapped from the mounted image, and packing costs
little more than copying it. Sources: AppImage specification, type 2; squashfs-tools' mksquashfs(1).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from tasks import appdir, console, store
from tasks.engine import Engine, Mount
from tasks.errors import AppImageError, BuildError, CommandFailed, DiskFull
from tasks.program import EPOCH, Program, size_of

MAGIC = b"AI\x02"  # at offset 8 of the ELF header
PAYLOAD = struct.Struct("<8s32sQQQ")  # appdir/runtime/payload.h
PAYLOAD_MAGIC = b"TEAPLD1\0"
SQUASHFS_MAGIC = b"hsqs"
SPARE = 64 << 20  # bytes that must stay free beside the image while it is packed
PACK_TIMEOUT = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class AppImage:
    """What an AppImage says of itself. Sizes and offsets in bytes."""

    path: Path
    arch: str  # pyelftools' name, such as EM_X86_64
    offset: int  # where the squashfs begins: the size of the runtime
    squashfs_size: int
    digest: str | None  # of the content, where the runtime is ours
    update_information: str


def read(path: Path) -> AppImage:
    """Look at an AppImage without running it.

    Raises:
        AppImageError: the file is not there, not ELF, not of type 2, or has no squashfs.
    """
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        raise AppImageError(f"{path}: {error.strerror}") from error
    except ELFError as error:
        raise AppImageError(
            f"{path}: not an AppImage (no ELF file: {error})",
            hint="give a file that nox -s build-MODEL-ARCH made; they are in dist/",
        ) from error


def _read(path: Path, file: BinaryIO) -> AppImage:
    elf = ELFFile(file)
    file.seek(8)
    if file.read(3) != MAGIC:
        raise AppImageError(
            f"{path}: an ELF file, but not an AppImage of type 2",
            hint="give a file that nox -s build-MODEL-ARCH made; they are in dist/",
        )
    offset = elf["e_shoff"] + elf["e_shentsize"] * elf["e_shnum"]
    size = path.stat().st_size
    file.seek(offset)
    if file.read(4) != SQUASHFS_MAGIC:
        raise AppImageError(f"{path}: no squashfs after the runtime; the file is incomplete")
    file.seek(offset + 40)
    used = int.from_bytes(file.read(8), "little")
    if offset + used > size:
        raise AppImageError(
            f"{path}: cut short, {offset + used - size:,} bytes are missing",
            hint="build or download it again",
        )
    return AppImage(
        path=path,
        arch=elf["e_machine"],
        offset=offset,
        squashfs_size=size - offset,
        digest=_payload_digest(elf),
        update_information=_text(elf, ".upd_info"),
    )


def _payload_digest(elf: ELFFile) -> str | None:
    section = elf.get_section_by_name(".tea_payload")
    if section is None or len(section.data()) != PAYLOAD.size:
        return None
    magic, digest, *_ = PAYLOAD.unpack(section.data())
    return digest.hex() if magic == PAYLOAD_MAGIC else None


def _text(elf: ELFFile, name: str) -> str:
    section = elf.get_section_by_name(name)
    return section.data().rstrip(b"\0").decode("utf-8", "replace") if section else ""


@dataclass(frozen=True, slots=True)
class Layer:
    """What is added to the program: a folder that holds ``bundle/``, and the model in it."""

    folder: Path
    model: Path
    model_sha256: str
    model_file: str  # name of the model in the bundle

    def digest(self, program: Program) -> bytes:
        """Names the image's content: every byte of it follows from what is hashed here."""
        total = hashlib.sha256()
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                total.update(f"{path.relative_to(self.folder)} {content}\n".encode())
        total.update(f"{self.model_file} {self.model_sha256}\n".encode())
        total.update(store.sha256_of(program.squashfs).encode())
        return total.digest()


def pack(
    program: Program, layer: Layer, runtime: Path, out: Path, *, engine: Engine, tools: str
) -> None:
    """Pack ``out`` from its three parts, bit for bit the same for the same parts.

    ``tools`` is the image that has mksquashfs. ``out`` is replaced at the end, or left as it was.

    Raises:
        DiskFull: not enough space beside ``out``, before or in the middle of the work.
        NotWritable: ``out``'s folder.
        BuildError: ``runtime`` is not one that an AppImage can begin with.
        CommandFailed: mksquashfs stopped.
    """
    needed = layer.model.stat().st_size + program.squashfs.stat().st_size + SPARE
    with store.disk_errors(out.parent, needed):
        out.parent.mkdir(parents=True, exist_ok=True)
        if (free := store.free_bytes(out.parent)) < needed:
            raise DiskFull(out.parent, needed, free)
        with _beside(out) as part:
            with part.open("wb") as file:
                file.write(runtime.read_bytes())
                offset = file.tell()
                with program.squashfs.open("rb") as squashfs:
                    shutil.copyfileobj(squashfs, file, 1 << 20)
            _append(layer, part, offset, engine, tools)
            with part.open("r+b") as file:
                _describe(file, runtime, layer, program, offset)
            part.chmod(0o755)
            _sync_and_digest(part, runtime)
            part.replace(out)
            store.sync_folder(out.parent)


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A new file in ``out``'s folder, gone at the end unless it was renamed."""
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _append(layer: Layer, part: Path, offset: int, engine: Engine, tools: str) -> None:
    """Add the layer to the squashfs that begins at ``offset`` of ``part``."""
    argv = ["mksquashfs", "/layer", f"/out/{part.name}", "-offset", str(offset)]
    argv += ["-quiet", "-no-progress", "-no-xattrs", "-all-root", "-no-recovery"]
    # Nothing in the layer can equal anything in the program, and looking costs a read of the model.
    argv += ["-no-duplicates", "-no-fragments", "-mem", "256M"]
    argv += ["-action", "chmod(u=rwX,go=rX)@true", "-action", "uncompressed@name(*.gguf)"]
    done = engine.run(
        tools,
        argv,
        env={"SOURCE_DATE_EPOCH": str(EPOCH)},
        mounts=[
            Mount(layer.folder, "/layer", read_only=True),
            Mount(layer.model, f"/layer/{appdir.LAYER}/models/{layer.model_file}", read_only=True),
            Mount(part.parent, "/out"),
        ],
        user=engine.file_owner,
        timeout=PACK_TIMEOUT,
    )
    if done.exit_code:
        text = (done.stderr + done.stdout).decode(errors="replace").strip()
        if "No space left" in text:
            raise DiskFull(part.parent, None, store.free_bytes(part.parent))
        raise CommandFailed(
            f"mksquashfs stopped with exit code {done.exit_code}: {text.splitlines()[-1:]}",
            returncode=done.exit_code,
            output=text,
        )


def _sections(runtime: Path) -> Mapping[str, tuple[int, int]]:
    """Offset and size of the runtime's sections, after a check that it is one."""
    with runtime.open("rb") as file:
        try:
            elf = ELFFile(file)
            end = elf["e_shoff"] + elf["e_shentsize"] * elf["e_shnum"]
            sections = {s.name: (s["sh_offset"], s["sh_size"]) for s in elf.iter_sections()}
        except ELFError as error:
            raise BuildError(f"{runtime}: not an ELF file ({error})") from error
        file.seek(8)
        if file.read(3) != MAGIC:
            raise BuildError(
                f"{runtime}: not the runtime of an AppImage of type 2",
                hint="leave out --runtime for the project's own",
            )
    if end != runtime.stat().st_size:
        raise BuildError(f"{runtime}: has {runtime.stat().st_size - end} bytes after its ELF file")
    return sections


def _describe(file: BinaryIO, runtime: Path, layer: Layer, program: Program, offset: int) -> None:
    """Write what our runtime needs to know into its section; another's has none."""
    where, size = _sections(runtime).get(".tea_payload", (0, 0))
    if size != PAYLOAD.size:
        console.note(f"{runtime.name}: no section .tea_payload, used as it is")
        return
    squashfs = os.fstat(file.fileno()).st_size - offset
    unpacked = program.unpacked_size + size_of(layer.folder) + layer.model.stat().st_size
    file.seek(where)
    file.write(PAYLOAD.pack(PAYLOAD_MAGIC, layer.digest(program), squashfs, unpacked, 0))


def _sync_and_digest(part: Path, runtime: Path) -> None:
    """Fill .digest_md5 as appimagetool does: over the file with it and the signature zero.

    The disk writes while the processor hashes, so that the digest costs no time of its own.
    """
    where, size = _sections(runtime).get(".digest_md5", (0, 0))
    with part.open("r+b") as file:
        writing = threading.Thread(target=os.fsync, args=(file.fileno(),))
        writing.start()
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        writing.join()
        if size == len(digest):
            file.seek(where)
            file.write(digest)
        file.flush()
        os.fsync(file.fileno())
