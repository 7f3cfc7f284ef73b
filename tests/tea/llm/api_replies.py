"""Replies of APIs that are huge, endless, slow, malformed or odd, and what comes of each.

The table plays the Python engine (test_api_replies.py here) and the Rust program
(tests/tea/rust/test_api_replies.py): each reply ends in time, with its answer or its error.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.tea.llm.api_server import USAGE, Handler, Script, answer, chat, delta, events, hang_up

KEY = "sk-very-secret-key"
SOON = 3.0  # seconds that a call may take whose time is to run out
LATE = 60.0  # for the others: a limit ends them long before


@dataclass(frozen=True)
class Reply:
    """What the server does, and what must come of it: a text, or the words of an error."""

    name: str
    script: Script
    text: str | None = None
    words: str = ""
    kind: str = "ApiError"
    reason: str = "stop"

    @property
    def timeout(self) -> float:
        return SOON if self.kind == "Timeout" else LATE


def typed(kind: str, body: bytes, status: int = 200, **headers: str) -> Script:
    """Send ``body`` as this type."""
    return lambda handler: handler.send(status, body, kind, headers)


def raw(*parts: bytes, pause: float = 0.0) -> Script:
    """Write bytes as they are, then close."""

    def script(handler: Handler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for part in parts:
                handler.wfile.write(part)
                handler.wfile.flush()
                time.sleep(pause)

    return script


def flood(kind: str, pieces: Iterator[bytes], pause: float = 0.0, status: int = 200) -> Script:
    """Send pieces until nobody takes them."""

    def script(handler: Handler) -> None:
        handler.close_connection = True
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        with contextlib.suppress(OSError):
            for piece in pieces:
                handler.wfile.write(piece)
                if pause:
                    time.sleep(pause)

    return script


def forever(piece: bytes, first: bytes = b"") -> Iterator[bytes]:
    yield first
    deadline = time.monotonic() + 60  # a test that fails does not leave a server behind
    while time.monotonic() < deadline:
        yield piece


def line(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode()


def message(**fields: Any) -> dict[str, Any]:
    reason = fields.pop("reason", "stop")
    return {"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": reason}]}


EVENTS = "text/event-stream"
JSON = "application/json"
DONE = b"data: [DONE]\n\n"
STOP = line(delta("a", "stop"))
MEGABYTE = b"x" * 1_000_000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
GREETING = json.dumps(chat("Hi")).encode()
DEEP = b'{"choices": ' + b"[" * 200 + b"]" * 200 + b"}"
DEEPEST = b"[" * 1_000_000

REPLIES = [
    # huge and endless
    Reply("endless JSON", flood(JSON, forever(MEGABYTE, b'{"a": "')), words="longer than 64 MB"),
    Reply("endless blanks", flood(JSON, forever(b" " * 1_000_000)), words="longer than 64 MB"),
    Reply("endless stream", flood(EVENTS, forever(MEGABYTE, b"data: ")), words="than 64 MB"),
    Reply(
        "endless comments",
        flood(EVENTS, forever((b":" + b"x" * 998 + b"\n") * 1000)),
        words="than 64 MB",
    ),
    Reply(
        "endless lines",
        flood(EVENTS, forever((b"\n:" + b"x" * 998) * 1000, STOP)),
        words="than 64 MB",
    ),
    Reply("endless HTML", flood("text/html", forever(MEGABYTE, b"<p>")), words="than 64 MB"),
    Reply("endless refusal", flood(JSON, forever(MEGABYTE), status=401), words="answered 401: xxx"),
    Reply("endless retries", answer({}, 503, Retry_After="1"), kind="Timeout", words="3 seconds"),
    Reply(
        "length that is too large", raw(HEAD + b"Content-Length: 999999999999\r\n\r\n{"), words=""
    ),
    Reply("a long text", answer(chat("é" * 1_000_000)), text="é" * 1_000_000),
    Reply("a long error", answer({"error": {"message": "e" * 9999}}, 400), words="e" * 290),
    Reply("a long error in a stream", events({"error": "e" * 9999}), words="e" * 290),
    Reply("JSON that is deep", answer(DEEP), words="something other than JSON"),
    Reply("JSON that is deepest", answer(DEEPEST), words="something other than JSON"),
    Reply("a number of 5,000 digits", answer(b'{"a": ' + b"9" * 5000 + b"}"), words="other than"),
    # slow
    Reply("silence", lambda _: time.sleep(SOON + 2), kind="Timeout", words="no answer within"),
    Reply(
        "a slow stream",
        flood(EVENTS, forever(b": still there\n"), pause=0.2),
        kind="Timeout",
        words="no answer within",
    ),
    Reply(
        "a slow body",
        flood(JSON, forever(b" "), pause=0.2),
        kind="Timeout",
        words="no answer within",
    ),
    Reply(
        "a slow head",
        raw(b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 50, pause=0.2),
        kind="Timeout",
        words="no answer within",
    ),
    # malformed
    Reply("hanging up", hang_up, words="http://127.0.0.1"),
    Reply("no HTTP", raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), words="http://127.0.0.1"),
    Reply("half a head", raw(b"HTTP/1.1 200 OK\r\nConte"), words="http://127.0.0.1"),
    Reply("half a body", raw(HEAD + b"Content-Length: 90\r\n\r\n{}"), words="http://127.0.0.1"),
    Reply(
        "a chunk that is none",
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        words="http://127.0.0.1",
    ),
    Reply("an empty body", answer(b""), words="something other than JSON"),
    Reply("half of JSON", answer(GREETING[:-9]), words="something other than JSON"),
    Reply("two values", answer(GREETING * 2), words="something other than JSON"),
    Reply("bytes that are no UTF-8", answer(b'{"a": "\xff"}'), words="something other than JSON"),
    Reply("NaN", answer(b'{"a": NaN}'), words="something other than JSON"),
    Reply("a list", answer([1]), words="JSON of another shape"),
    Reply("a text", answer("hi"), words="JSON of another shape"),
    Reply("null", answer(None), words="JSON of another shape"),
    Reply("a login page", typed("text/html", b"<html>Log in</html>"), words="<html>Log in"),
    Reply("no choices", answer({"choices": []}), words="without an answer"),
    Reply("choices that are none", answer({"choices": {"a": 1}}), words="without an answer"),
    Reply("a choice that is none", answer({"choices": [1]}), words="without an answer"),
    Reply("a message that is none", answer({"choices": [{"message": 1}]}), words="without a text"),
    Reply("a text that is a number", answer(message(content=1)), words="without a text"),
    Reply(
        "a reason that is a list", answer(message(content="a", reason=[1])), words="no text: [1]"
    ),
    Reply("an error with status 200", answer({"error": {"code": 5}}), words="with an error"),
    Reply("a stream without an end", events(delta("a")), words="broke off"),
    Reply("a stream that is cut", events(delta("a"), breaks_off=True), words="http://127.0.0.1"),
    Reply("a stream of junk", events("data: {junk\n"), words="something other than JSON"),
    Reply("a stream of a list", events("data: [1]\n"), words="JSON of another shape"),
    Reply("an error in mid-stream", events(delta("a"), {"error": "boom"}), words="error: boom"),
    # refusals
    Reply("the key in an error", answer({"error": f"bad {KEY}"}, 401), words="401: bad ***"),
    Reply("the key at the cut", answer({"error": "e" * 290 + KEY}, 401), words="e***"),
    Reply("a redirect", answer(b"", 307, Location="https://u:p@h/x"), words="to https://h/x"),
    Reply("a wait of a year", answer({}, 429, Retry_After="31536000"), words="more than a day"),
    Reply("an endless wait", answer({}, 429, Retry_After="1e999"), words="more than a day"),
    # accents
    Reply("another reason", answer(chat("a", "eos")), text="a", reason="eos"),
    Reply(
        "a filter",
        answer(message(content=None, reason="content_filter")),
        text="",
        reason="content_filter",
    ),
    Reply(
        "reasoning alone",
        answer(message(content=None, reasoning_content="hm", reason="length")),
        words="reasoning but no text and ended with length",
    ),
    Reply("text in parts", answer(message(content=[{"type": "text", "text": "a"}])), text="a"),
    Reply(
        "events as text/plain",
        typed("text/plain", line(delta("a\u2028b\x85c")) + b"\n\n" + STOP + b"\n\n" + DONE),
        text="a\u2028b\x85ca",
    ),
    Reply(
        "all three line ends",
        typed(EVENTS, line(delta("a")) + b"\r\r" + line(USAGE) + b"\r\n\r\n" + STOP + b"\n\n"),
        text="aa",
    ),
    Reply(
        "separators inside of a line",
        typed(EVENTS, b'data: {"choices": [{"delta": {"content": "a\xe2\x80\xa8b"}}]}\n\n' + DONE),
        text="a\u2028b",
    ),
    Reply("no empty lines", typed(EVENTS, line(delta("a")) + b"\n" + STOP + b"\n"), text="aa"),
    Reply(
        "an event of two lines",
        typed(EVENTS, b'data: {"choices":\ndata: [{"delta": {"content": "a"}}]}\n\n' + DONE),
        text="a",
    ),
    Reply("a byte order mark", typed(JSON, b"\xef\xbb\xbf" + GREETING), text="Hi"),
]
