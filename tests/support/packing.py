"""What stands where mksquashfs and the engine are, for tests of packing without Docker."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.base.errors import CommandFailed, TaskError
from tasks.build.pack import MAGIC, PAYLOAD, PAYLOAD_MAGIC
from tests.support.elf import Elf

SECTIONS = {
    ".tea_payload": PAYLOAD_MAGIC + bytes(PAYLOAD.size - 8),
    ".digest_md5": bytes(16),
    ".upd_info": b"zsync|https://example.org/a.zsync".ljust(1024, b"\0"),
}
COMMAND = "mksquashfs"
RUNTIME = bytes(Elf(mark=MAGIC, sections=SECTIONS))


def squashfs(content: bytes) -> bytes:
    """A superblock that tells its size, and ``content``, behind which are no tables."""
    size = struct.pack("<Q", 96 + len(content))
    return b"hsqs" + bytes(36) + size + bytes(16) + size + bytes(24) + content


@dataclass
class FakePacker:
    """Stands where mksquashfs runs: appends the model and ``layer`` as it would, or says no."""

    layer: bytes = b"rest of the layer"
    exit_code: int = 0
    stderr: bytes = b""
    failure: TaskError | None = None
    seen: list[Sequence[str]] = field(default_factory=list)

    def run(self, argv: Sequence[str], **options: Any) -> None:
        """In place of ``process.run``."""
        self.seen.append(argv)
        part = Path(argv[argv.index(COMMAND) + 2])
        with part.open("ab") as file:
            for model in sorted(Path(argv[argv.index(COMMAND) + 1]).glob("bundle/models/*")):
                file.write(model.read_bytes())
            file.write(self.layer)
        if self.failure:
            raise self.failure
        size = part.stat().st_size - int(argv[argv.index("-offset") + 1])
        with part.open("r+b") as file:
            file.seek(int(argv[argv.index("-offset") + 1]) + 40)
            file.write(struct.pack("<Q", size))
        if self.exit_code:
            text = self.stderr.decode()
            raise CommandFailed("it stopped", returncode=self.exit_code, output=text)
