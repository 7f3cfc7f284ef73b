"""The body of one file over HTTP, into a part file that any later run goes on with.

Every try asks the first address again, since the signed ones that it redirects to expire.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tasks import console, hub, store
from tasks.errors import DigestMismatch, FetchError, SizeMismatch
from tasks.patience import Pace, PassingError, Patience

if TYPE_CHECKING:
    import httpx2

BLOCK = 1 << 20  # bytes
QUEUE = 64  # blocks as the network gives them, 64 kB at most
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Download:
    """A file at an address. ``refusal`` says what a status of 400 or more means there."""

    name: str
    url: str
    headers: Mapping[str, str]
    size: int
    sha256: str
    refusal: Callable[[httpx2.Response], FetchError | PassingError]


def to_part(job: Download, part: Path, pace: Pace) -> None:
    """Complete ``part`` until it is the promised file, synced by whoever adopts it.

    Wrong bytes are deleted and fetched once more: they may be the remains of another run.

    Raises:
        DigestMismatch, SizeMismatch: the bytes are wrong twice; ``part`` is deleted.
        Unreachable: nothing came for several tries; ``part`` is kept for the next run.
        FetchError: or a kind of it, for what no further try mends.
        OSError: the disk is full or not writable; ``part`` is kept.
    """
    try:
        return _complete(job, part, pace)
    except (DigestMismatch, SizeMismatch) as error:
        part.unlink()
        console.warn(f"{error.message}; deleted, fetching it once more")
    try:
        return _complete(job, part, pace)
    except (DigestMismatch, SizeMismatch):
        part.unlink()
        raise


def _complete(job: Download, part: Path, pace: Pace) -> None:
    patience = Patience(job.name, pace)
    with (
        part.open("ab", buffering=0) as file,
        store.syncing(part),
        contextlib.closing(_Sink(file)) as sink,
    ):
        body = _Body(sink, part, job, patience)
        if body.done:
            console.note(f"{job.name}: going on from {body.done / 1e6:,.0f} MB")
        with console.transfer(job.name, job.size, done=body.done) as advance:
            body.advance = advance
            patience.run(lambda: _attempt(job, body, pace))
        digest = sink.hexdigest()
    if digest != job.sha256:
        raise DigestMismatch(job.name, job.sha256, digest)


class _Sink:
    """Writes and hashes in a thread of its own, while the next bytes come in.

    An error of the thread is raised by the next call; what was put before it is lost.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._error: BaseException | None = None
        self._blocks: queue.Queue[bytes | None] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, block: bytes) -> None:
        """Hand over the next bytes."""
        if self._error is not None:
            raise self._error
        self._blocks.put(block)

    def start_from(self, part: Path) -> int:
        """Hash what an earlier run has written; returns how many bytes that is."""
        size = 0
        with part.open("rb") as before:
            while block := before.read(BLOCK):
                self._digest.update(block)
                size += len(block)
        return size

    def restart(self) -> None:
        """Throw everything away."""
        self._finish()
        self._file.truncate(0)
        self._digest = hashlib.sha256()

    def hexdigest(self) -> str:
        """The digest of all that was put."""
        self._finish()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write what was put and end the thread."""
        self._blocks.put(None)
        self._thread.join()

    def _finish(self) -> None:
        self._blocks.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (block := self._blocks.get()) is not None:
            if self._error is None:
                try:
                    self._take(block)
                except OSError as error:
                    self._error = error
            self._blocks.task_done()

    def _take(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._digest.update(block)


class _Body:
    """How far the file has come, by the bytes handed to the sink."""

    def __init__(self, sink: _Sink, part: Path, job: Download, patience: Patience) -> None:
        self._sink = sink
        self._job = job
        self._patience = patience
        self.advance: Callable[[int], None] = lambda _count: None
        self.expired = False
        self.done = sink.start_from(part)
        if self.done > job.size:
            self.restart()
        self._furthest = self.done

    def restart(self) -> None:
        """Throw away what is there."""
        self._sink.restart()
        self.advance(-self.done)
        self.done = 0

    def append(self, block: bytes) -> None:
        """Take the next bytes. Only what was never reached before counts as progress."""
        if self.done + len(block) > self._job.size:
            raise SizeMismatch(self._job.name, self._job.size, self.done + len(block))
        self._sink.put(block)
        self.done += len(block)
        self.advance(len(block))
        if self.done > self._furthest:
            self._furthest = self.done
            self.expired = False
            self._patience.progressed()


def _attempt(job: Download, body: _Body, pace: Pace) -> None:
    """One request for all that is missing."""
    import httpx2

    if body.done == job.size:
        return
    with _stream(job, body.done, pace) as response:
        _check(response, job, body)
        try:
            for block in response.iter_raw():
                body.append(block)
        except httpx2.RequestError as error:
            raise hub.failure(error) from error
    if body.done < job.size:
        raise PassingError(f"the body ended after {body.done:,} of {job.size:,} bytes")


@contextlib.contextmanager
def _stream(job: Download, start: int, pace: Pace) -> Iterator[httpx2.Response]:
    import httpx2

    headers = {**job.headers, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    timeout = httpx2.Timeout(pace.read_timeout, connect=pace.connect_timeout)
    client = hub.session()
    request = client.build_request("GET", job.url, headers=headers, timeout=timeout)
    try:
        response = client.send(request, stream=True, follow_redirects=True)
    except httpx2.RequestError as error:
        raise hub.failure(error) from error
    try:
        yield response
    finally:
        response.close()


def _check(response: httpx2.Response, job: Download, body: _Body) -> None:
    """Let through only a body that goes on where the part file ends."""
    status = response.status_code
    if status == 416:
        body.restart()
        raise PassingError(f"{response.url.host} has no bytes from there on")
    if status >= 400:
        if status == 403 and _left_origin(response) and not body.expired:
            # The signed address has expired; the next try gets a new one, and one must do.
            body.expired = True
            raise PassingError(f"{response.url.host} answers 403")
        raise job.refusal(response)
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != body.done:
            raise PassingError(f"{response.url.host} sent another range than the one asked for")
        if found[3] != "*" and int(found[3]) != job.size:
            raise SizeMismatch(job.name, job.size, int(found[3]))
        return
    if status != 200:
        raise FetchError(f"{job.name}: {response.url.host} answers {status}")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > job.size:
        raise SizeMismatch(job.name, job.size, int(length))
    if body.done:
        body.restart()


def _left_origin(response: httpx2.Response) -> bool:
    return bool(response.history) and response.url.origin != response.history[0].request.url.origin
