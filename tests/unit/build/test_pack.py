from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks import catalog
from tasks.base import files, process
from tasks.base.errors import (
    AppImageError,
    BuildError,
    CommandFailed,
    DiskFull,
    NotWritable,
    TaskError,
)
from tasks.build import pack
from tasks.build.pack import MAGIC, PAYLOAD, PAYLOAD_MAGIC, Layer
from tasks.build.parts import Program
from tasks.fetch.model_store import StoredModel
from tests.support.elf import AARCH64, Elf
from tests.support.packing import COMMAND, RUNTIME, SECTIONS, FakePacker, squashfs

TARGET = catalog.target("x86_64")


def image(content: bytes = b"content") -> bytes:
    return RUNTIME + squashfs(content)


# -- reading


def test_reading_tells_what_the_file_says_of_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.AppImage"
    digest, zeros = bytes(range(32)), bytes(32)
    payload = PAYLOAD.pack(PAYLOAD_MAGIC, digest, 103, 7, 4096, 5, zeros, zeros)
    runtime = bytes(Elf(mark=MAGIC, sections={**SECTIONS, ".tea_payload": payload}))
    path.write_bytes(runtime + squashfs(b"content"))
    found = pack.read(path)
    assert found == pack.AppImage(
        path=path,
        arch="EM_X86_64",
        offset=len(runtime),
        squashfs_size=103,
        digest=digest.hex(),
        model=pack.Run(4096, 5),
        update_information="zsync|https://example.org/a.zsync",
    )


def test_reading_another_runtime_s_file_finds_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "a.AppImage"
    path.write_bytes(bytes(Elf(mark=MAGIC, machine=AARCH64)) + squashfs(b""))
    found = pack.read(path)
    assert (found.arch, found.digest, found.update_information) == ("EM_AARCH64", None, "")


def cut(size: int) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(image()[:size])


def put(at: int, content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(image()[:at] + content + image()[at + len(content) :])


READ_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "not there": (lambda path: None, "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "a pipe that nobody writes to": (os.mkfifo, "not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "empty": (cut(0), "not an AppImage"),
    "text": (lambda path: path.write_text("# README\n"), "not an AppImage"),
    "four bytes of ELF": (cut(4), "not an AppImage"),
    "half a header": (cut(40), "not an AppImage"),
    "ELF without the mark": (put(8, b"\0\0\0"), "not an AppImage of type 2"),
    "type 1": (put(10, b"\1"), "not an AppImage of type 2"),
    "runtime alone": (cut(len(RUNTIME)), "no squashfs after the runtime"),
    "runtime cut short": (cut(len(RUNTIME) - 8), "no squashfs after the runtime"),
    "another payload": (put(len(RUNTIME), b"PK\3\4"), "no squashfs after the runtime"),
    "superblock without its size": (cut(len(RUNTIME) + 10), "cut short, 86 bytes are missing"),
    "superblock cut short": (cut(len(RUNTIME) + 50), "cut short, 53 bytes are missing"),
    "last byte missing": (cut(len(image()) - 1), "cut short, 1 bytes are missing"),
    "sections beyond all bounds": (put(40, b"\xff" * 8), "no squashfs after the runtime"),
}


@pytest.mark.parametrize("fault", READ_FAULTS)
def test_reading_refuses_a_file_that_is(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "a.AppImage"
    spoil, message = READ_FAULTS[fault]
    spoil(path)
    with pytest.raises(AppImageError) as caught:
        pack.read(path)
    assert message in caught.value.message
    assert caught.value.message.startswith(str(path))
    assert caught.value.hint
    assert caught.value.exit_code == 21


@pytest.mark.parametrize("value", [0x00, 0xFF])
def test_a_damaged_byte_of_the_runtime_is_one_error(value: int, tmp_path: Path) -> None:
    path = tmp_path / "a.AppImage"
    table = len(RUNTIME) - 64 * 8  # its six sections, and a part of what they hold
    for at in (*range(64), *range(table, len(RUNTIME), 2)):
        put(at, bytes([value]))(path)
        try:
            pack.read(path)
        except AppImageError:
            continue


# -- the runtime

RUNTIME_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "not there": (lambda path: None, "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "text": (lambda path: path.write_text("#!/bin/sh\n"), "not an ELF file"),
    "a program": (lambda path: path.write_bytes(bytes(Elf())), "not the runtime of an AppImage"),
    "a whole AppImage": (lambda path: path.write_bytes(image()), "has 103 bytes after its end"),
    "cut short": (
        lambda path: path.write_bytes(RUNTIME[:-1]),
        "not an ELF file",
    ),
    "for another architecture": (
        lambda path: path.write_bytes(bytes(Elf(machine=AARCH64, mark=MAGIC))),
        "is for EM_AARCH64, not EM_X86_64",
    ),
}


@pytest.mark.parametrize("fault", RUNTIME_FAULTS)
def test_runtime_is_refused_that_is(fault: str, tmp_path: Path) -> None:
    path = tmp_path / "runtime"
    spoil, message = RUNTIME_FAULTS[fault]
    spoil(path)
    with pytest.raises(BuildError) as caught:
        pack.check_runtime(path, TARGET)
    assert message in caught.value.message
    assert "--runtime" in caught.value.hint


# -- packing


@dataclass
class Parts:
    """What an AppImage is packed from, and where it goes."""

    root: Path
    packer: FakePacker = field(default_factory=FakePacker)

    def __post_init__(self) -> None:
        (self.root / "layer/bundle/models").mkdir(parents=True)
        (self.root / "layer/bundle/models/m.gguf").touch()
        (self.root / "layer/bundle/bundle.json").write_text("{}\n")
        self.model.write_bytes(b"GGUF model")
        self.runtime.write_bytes(RUNTIME)
        (self.root / "program.squashfs").write_bytes(squashfs(b"program"))

    @property
    def model(self) -> Path:
        return self.root / "m.gguf"

    @property
    def runtime(self) -> Path:
        return self.root / "runtime"

    @property
    def out(self) -> Path:
        return self.root / "dist" / "a.AppImage"

    @property
    def program(self) -> Program:
        return Program("python", TARGET, self.root, self.root / "program.squashfs", "d", 1000)

    @property
    def layer(self) -> Layer:
        content = self.model.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        stored = StoredModel(self.model, sha256, len(content), "test", None)
        return Layer(self.root / "layer", {"m.gguf": stored})

    def pack(self, update: str = "") -> None:
        pack.pack(
            self.program,
            self.layer,
            self.runtime,
            self.out,
            mksquashfs=(COMMAND,),
            update=update,
        )

    def left(self) -> Mapping[str, bytes]:
        """What is in the folder of the output."""
        return {path.name: path.read_bytes() for path in self.out.parent.iterdir()}


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    made = Parts(tmp_path)
    monkeypatch.setattr(process, "run", made.packer.run)
    return made


def test_packed_image_reads_back_as_its_parts(parts: Parts) -> None:
    parts.pack()
    found = pack.read(parts.out)
    content = parts.out.read_bytes()[found.offset :]
    assert content.startswith(b"hsqs") and content.endswith(parts.packer.layer)
    assert b"program" in content
    assert os.access(parts.out, os.X_OK)
    assert list(parts.left()) == ["a.AppImage"]


def test_model_lies_at_a_page_and_the_table_says_where(parts: Parts) -> None:
    parts.pack()
    found = pack.read(parts.out)
    content, model = parts.out.read_bytes(), parts.model.read_bytes()
    assert found.model is not None and found.model.offset % 4096 == 0
    start, end = found.model.offset, found.model.offset + found.model.size
    assert content[start:end] == model
    facts = content[content.index(PAYLOAD_MAGIC) :][: PAYLOAD.size]
    _, digest, size, unpacked, _, _, model_digest, check = PAYLOAD.unpack(facts)
    assert digest == hashlib.sha256(content[found.offset : start] + content[end:]).digest()
    assert model_digest == hashlib.sha256(model).digest()
    assert check == hashlib.sha256(facts[:-32]).digest()
    assert size == len(content) - found.offset
    assert unpacked == 1000 + len("{}\n") + 4096  # the model stays where it is


def test_model_that_is_not_one_run_is_refused(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Compressing(FakePacker):
        def run(self, argv: Sequence[str], **options: object) -> None:
            (parts.root / "layer/bundle/models/m.gguf").unlink()
            (parts.root / "layer/bundle/models/m.gguf").write_bytes(b"GG")
            super().run(argv, **options)

    monkeypatch.setattr(process, "run", Compressing().run)
    with pytest.raises(BuildError, match=r"m\.gguf: mksquashfs did not store it in one run"):
        parts.pack()
    assert parts.left() == {}


def test_runtime_of_another_is_left_as_it_is(parts: Parts) -> None:
    parts.runtime.write_bytes(bytes(Elf(mark=MAGIC, sections={".upd_info": bytes(1024)})))
    parts.pack()
    assert parts.out.read_bytes().startswith(parts.runtime.read_bytes())
    assert pack.read(parts.out).model is None


UPDATE = "gh-releases-zsync|owner|name|latest|tea-*-x86_64.AppImage.zsync"


@pytest.mark.parametrize("update", ["", UPDATE, "x" * 1024], ids=len)
def test_update_information_takes_the_place_of_the_runtime_s(update: str, parts: Parts) -> None:
    assert b"https://example.org" in parts.runtime.read_bytes()
    parts.pack(update)
    assert pack.read(parts.out).update_information == update
    assert b"https://example.org" not in parts.out.read_bytes()


def test_update_information_that_does_not_fit_is_refused(parts: Parts) -> None:
    with pytest.raises(BuildError, match="1024 bytes for update information, 1025 are needed"):
        parts.pack("x" * 1025)
    assert parts.left() == {}


def test_runtime_without_room_for_updates_serves_without(parts: Parts) -> None:
    sections = {name: data for name, data in SECTIONS.items() if name != ".upd_info"}
    parts.runtime.write_bytes(bytes(Elf(mark=MAGIC, sections=sections)))
    parts.pack()
    assert pack.read(parts.out).update_information == ""
    with pytest.raises(BuildError, match="0 bytes for update information"):
        parts.pack(UPDATE)


def test_same_parts_give_the_same_bytes(parts: Parts) -> None:
    parts.pack()
    first = parts.out.read_bytes()
    parts.pack()
    assert parts.out.read_bytes() == first


def another_layer(parts: Parts) -> None:
    parts.packer.layer = b"another layer"


def another_program(parts: Parts) -> None:
    parts.program.squashfs.write_bytes(squashfs(b"another"))


@pytest.mark.parametrize("change", [another_layer, another_program])
def test_digest_differs_with(change: Callable[[Parts], None], parts: Parts) -> None:
    parts.pack()
    before = pack.read(parts.out).digest
    change(parts)
    parts.pack()
    assert pack.read(parts.out).digest != before


def mksquashfs_stops(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.packer.exit_code = 1
    parts.packer.stderr = b"Parallel mksquashfs: Using 2 processors\nFATAL ERROR: bad block"


def mksquashfs_finds_no_space(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.packer.exit_code = 1
    parts.packer.stderr = b"Write failed because No space left on device\n"


def packer_is_killed(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.packer.failure = CommandFailed("killed", returncode=1)


def disk_is_full_before(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda where: 1000)


def disk_tells_late_that_it_is_full(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    # As the kernel does, the failure of a write is told to one fsync, and to no later one.
    sync, calls = os.fsync, iter([True])

    def fsync(handle: int) -> None:
        if next(calls, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    monkeypatch.setattr(os, "fsync", fsync)


def runtime_is_text(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    parts.runtime.write_text("#!/bin/sh\n")


def folder_becomes_read_only(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(parts.out.parent))

    monkeypatch.setattr(Path, "write_bytes", refuse)


@dataclass(frozen=True)
class Fault:
    """One way to fail: what is done, the error, and a part of its message."""

    make: Callable[[Parts, pytest.MonkeyPatch], None]
    error: type[TaskError]
    message: str
    works: bool = True  # whether mksquashfs is reached


FAULTS = [
    Fault(mksquashfs_stops, CommandFailed, "exit code 1: FATAL ERROR: bad block"),
    Fault(mksquashfs_finds_no_space, DiskFull, "no space left"),
    Fault(packer_is_killed, CommandFailed, "exit code 1"),
    Fault(disk_is_full_before, DiskFull, "67 MB needed, 0 MB free", works=False),
    Fault(disk_tells_late_that_it_is_full, DiskFull, "needed"),
    Fault(runtime_is_text, BuildError, "not an ELF file", works=False),
    Fault(folder_becomes_read_only, NotWritable, "Permission denied", works=False),
]


@pytest.mark.parametrize("old", [None, b"an older image"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.make.__name__)
def test_failed_packing_leaves_what_was_there_before(
    fault: Fault, old: bytes | None, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts.out.parent.mkdir()
    if old is not None:
        parts.out.write_bytes(old)
    fault.make(parts, monkeypatch)
    with pytest.raises(fault.error) as caught:
        parts.pack()
    assert fault.message in caught.value.message
    assert "\n" not in caught.value.message
    assert parts.left() == ({} if old is None else {"a.AppImage": old})
    assert bool(parts.packer.seen) == fault.works
