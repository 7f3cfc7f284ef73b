"""The body of one file over HTTP, into a part file that any later run goes on with.

Every try asks the first address again, since the signed ones that it redirects to expire.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tasks.base import console, files
from tasks.base.errors import DigestMismatch, FetchError, SizeMismatch
from tasks.fetch import hub
from tasks.fetch.retry import Retrier, RetryPolicy, TransientError

if TYPE_CHECKING:
    import httpx2

BLOCK = 1 << 18  # bytes read at once: fewer calls, and still in a core's cache when written
QUEUE = 32  # times BLOCK bytes that wait to be hashed
_HTML = ("text/html", "application/xhtml+xml")
_PAGE = re.compile(rb"\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Download:
    """A file at an address. ``refusal`` says what a status of 400 or more means there."""

    name: str
    url: str
    headers: Mapping[str, str]
    size: int
    sha256: str
    refusal: Callable[[httpx2.Response], FetchError | TransientError]


def to_part(job: Download, part: Path, policy: RetryPolicy) -> None:
    """Complete ``part`` until it is the promised file, synced by whoever adopts it.

    Wrong bytes are deleted and fetched once more: they may be the remains of another run.

    Raises:
        DigestMismatch, SizeMismatch: the bytes are wrong twice; ``part`` is deleted.
        Unreachable: nothing came for several tries; ``part`` is kept for the next run.
        FetchError: or a kind of it, for what no further try mends.
        OSError: the disk is full or not writable; ``part`` is kept.
    """
    try:
        return _complete(job, part, policy)
    except (DigestMismatch, SizeMismatch) as error:
        part.unlink()
        console.warn(f"{error.message}; deleted, fetching it once more")
    try:
        return _complete(job, part, policy)
    except (DigestMismatch, SizeMismatch):
        part.unlink()
        raise


def _complete(job: Download, part: Path, policy: RetryPolicy) -> None:
    retrier = Retrier(job.name, policy)
    with (
        part.open("ab", buffering=0) as file,
        files.syncing(part),
        contextlib.closing(_Hasher()) as hasher,
    ):
        body = _Body(file, hasher, part, job, retrier)
        if body.done:
            console.note(f"{job.name}: going on from {body.done / 1e6:,.0f} MB")
        with console.transfer(job.name, job.size, done=body.done) as advance:
            body.advance = advance
            retrier.run(lambda: _attempt(job, body, policy))
        digest = hasher.hexdigest()
    if digest != job.sha256:
        raise DigestMismatch(job.name, job.sha256, digest)


class _Hasher:
    """Computes a sha256 in a thread of its own, while the next bytes come in and are written."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._gathered: list[bytes] = []
        self._size = 0  # bytes gathered
        self._queue: queue.Queue[list[bytes]] = queue.Queue(QUEUE)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def put(self, block: bytes) -> None:
        """Take the next bytes; waits where too many are not hashed yet."""
        # TLS gives 16 kB at a time, and handing them over takes longer than hashing them.
        self._gathered.append(block)
        self._size += len(block)
        if self._size >= BLOCK:
            self._hand_over()

    def restart(self) -> None:
        """Forget all bytes."""
        self.hexdigest()
        self._digest = hashlib.sha256()

    def hexdigest(self) -> str:
        """The digest of all that was put."""
        self._hand_over()
        self._queue.join()
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the thread."""
        self._queue.put([])
        self._thread.join()

    def _hand_over(self) -> None:
        if self._gathered:
            self._queue.put(self._gathered)
        self._gathered, self._size = [], 0

    def _run(self) -> None:
        while blocks := self._queue.get():
            for block in blocks:
                self._digest.update(block)
            self._queue.task_done()


class _Body:
    """The file as far as it has come: what is appended is written, hashed and counted."""

    def __init__(
        self, file: IO[bytes], hasher: _Hasher, part: Path, job: Download, retrier: Retrier
    ) -> None:
        self._file = file
        self._hasher = hasher
        self._job = job
        self._retrier = retrier
        self.advance: Callable[[int], None] = lambda _count: None
        self.expired = False
        self.done = self._start_from(part)
        if self.done > job.size:
            self.restart()
        self._furthest = self.done

    def restart(self) -> None:
        """Throw away what is there."""
        self._file.truncate(0)
        self._hasher.restart()
        self.advance(-self.done)
        self.done = 0

    def append(self, block: bytes) -> None:
        """Take the next bytes. Only what was never reached before counts as progress."""
        if self.done + len(block) > self._job.size:
            raise SizeMismatch(self._job.name, self._job.size, self.done + len(block))
        self._write(block)
        self._hasher.put(block)
        self.done += len(block)
        self.advance(len(block))
        if self.done > self._furthest:
            self._furthest = self.done
            self.expired = False
            self._retrier.progressed()

    def _start_from(self, part: Path) -> int:
        """Hash what an earlier run has written; returns how many bytes that is."""
        size = 0
        with part.open("rb") as before:
            while block := before.read(BLOCK):
                self._hasher.put(block)
                size += len(block)
        return size

    def _write(self, block: bytes) -> None:
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]


def _attempt(job: Download, body: _Body, policy: RetryPolicy) -> None:
    """One request for all that is missing."""
    import httpx2

    if body.done == job.size:
        return
    with _stream(job, body.done, policy) as response:
        _check(response, job, body)
        try:
            for block in _blocks(response, policy):
                if body.done == 0 and _PAGE.match(block):
                    raise _page(response, job)
                body.append(block)
        except httpx2.RequestError as error:
            raise hub.failure(error) from error
    if body.done < job.size:
        raise TransientError(f"the body ended after {body.done:,} of {job.size:,} bytes")


def _blocks(response: httpx2.Response, policy: RetryPolicy) -> Iterator[bytes]:
    """The body as it comes.

    The library takes 64 kB at a time and copies them thrice. What it has read along with the
    headers is taken from it; where the rest's length is known, that is read past it.
    """
    import httpcore2

    blocks = response.iter_raw()  # to be kept: the connection is closed with it
    left = _length(response)
    if left is None:
        yield from blocks
        return
    for block in itertools.islice(blocks, 1):
        left -= len(block)
        yield block
    stream = response.extensions["network_stream"]
    while left > 0:
        try:
            block = stream.read(min(left, BLOCK), policy.read_timeout)
        except (httpcore2.TimeoutException, httpcore2.NetworkError) as error:
            said = str(error) or type(error).__name__
            raise TransientError(f"{response.url.host}: {said}") from error
        if not block:
            return
        left -= len(block)
        yield block


def _length(response: httpx2.Response) -> int | None:
    """Bytes of the body; None where they come wrapped in something, or none is said."""
    length = response.headers.get("Content-Length", "")
    plain = response.http_version in ("HTTP/1.0", "HTTP/1.1")
    if not plain or "Transfer-Encoding" in response.headers or not length.isdecimal():
        return None
    return int(length)


@contextlib.contextmanager
def _stream(job: Download, start: int, policy: RetryPolicy) -> Iterator[httpx2.Response]:
    import httpx2

    headers = {**job.headers, "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    timeout = httpx2.Timeout(policy.read_timeout, connect=policy.connect_timeout)
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
        raise TransientError(f"{response.url.host} has no bytes from there on")
    if status >= 400:
        if status == 403 and _left_origin(response) and not body.expired:
            # The signed address has expired; the next try gets a new one, and one must do.
            body.expired = True
            raise TransientError(f"{response.url.host} answers 403")
        raise job.refusal(response)
    if status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != body.done:
            raise TransientError(f"{response.url.host} sent another range than the one asked for")
        if found[3] != "*" and int(found[3]) != job.size:
            raise SizeMismatch(job.name, job.size, int(found[3]))
        return
    if status != 200:
        raise FetchError(f"{job.name}: {response.url.host} answers {status}")
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() in _HTML:
        raise _page(response, job)
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > job.size:
        raise SizeMismatch(job.name, job.size, int(length))
    if body.done:
        body.restart()


def _page(response: httpx2.Response, job: Download) -> FetchError:
    return FetchError(
        f"{job.name}: {response.url.host} answers with a web page in the file's place",
        hint="mostly a login of the network or its proxy: log in with a browser, and run it again",
    )


def _left_origin(response: httpx2.Response) -> bool:
    return bool(response.history) and response.url.origin != response.history[0].request.url.origin
