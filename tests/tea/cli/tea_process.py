"""``tea`` as a process of its own, in a home of its own, with or without a terminal."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from tests.support.fork_server import ForkServer

SOURCES = Path(__file__).resolve().parents[3] / "python/src"
DEADLINE = 20.0  # seconds; only a test that fails waits so long
PYTHON = [sys.executable, "-m", "the_edge_agent"]
KEPT = ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
IMPORTED = (
    *(f"the_edge_agent.cli.{name}" for name in ("main", "run", "validate", "chat", "model")),
    *("the_edge_agent.llm.api", "httpx", "httpcore", "socksio", "anyio._backends._asyncio"),
)

# Makes standard input the terminal that Ctrl-C comes from, then becomes tea.
ON_A_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("the_edge_agent", run_name="__main__")
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without anything of the machine's own that tea looks at."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(SOURCES),
        **{name: value for name, value in os.environ.items() if name in KEPT},
        "TERM": "dumb",
        **more,
    }


def command(*arguments: str) -> list[str]:
    return [*PYTHON, *arguments]


@cache
def _fork_server() -> ForkServer:
    return ForkServer(IMPORTED, environment(Path("/")))


def tea(
    home: Path, *arguments: str, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run tea to its end and return what it wrote."""
    if command() != PYTHON:  # another program is under test
        return tea_anew(home, *arguments, stdin=stdin, **more)
    return _fork_server().run(
        "the_edge_agent",
        arguments,
        env=environment(home, **more),
        cwd=home,
        stdin=stdin,
        timeout=DEADLINE,
    )


def tea_anew(
    home: Path, *arguments: str, stdin: bytes = b"", **more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run tea to its end in a process that nothing was prepared for."""
    return subprocess.run(
        command(*arguments),
        input=stdin,
        capture_output=True,
        env=environment(home, **more),
        cwd=home,
        timeout=DEADLINE,
        check=False,
    )


def tea_in_shell(home: Path, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of sh in which ``tea`` is the program under test."""
    program = f'tea() {{ {shlex.join(command())} "$@"; }}'
    return subprocess.run(
        ["sh", "-c", f"{program}\n{script}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(home),
        cwd=home,
        timeout=DEADLINE,
        check=False,
    )


def start(home: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start tea and return the running process, its outputs in pipes."""
    return subprocess.Popen(
        command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home),
        cwd=home,
    )


class Terminal:
    """Tea on a terminal; a test types and reads like a person."""

    def __init__(self, home: Path, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        self._ours = ours
        self._process = subprocess.Popen(
            [sys.executable, "-c", ON_A_TERMINAL, *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(home),
            cwd=home,
            start_new_session=True,
        )
        os.close(theirs)
        self._unread = ""

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def read_until(self, text: str) -> str:
        """Return what the screen shows up to and with ``text``."""
        deadline = time.monotonic() + DEADLINE
        while text not in self._unread:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} never came; the screen shows {self._unread!r}"
            if select.select([self._ours], [], [], left)[0]:
                try:
                    self._unread += os.read(self._ours, 65536).decode("utf-8", "replace")
                except OSError:
                    raise AssertionError(f"tea left; the screen shows {self._unread!r}") from None
        shown, _, rest = self._unread.partition(text)
        self._unread = rest
        return shown + text

    def wait_until_it_listens(self) -> None:
        """Return when tea sleeps until a key is pressed.

        Python looks at signals before it waits for keys and after, so one that comes in between
        is seen at the next key only. People are not that quick; tests are.
        """
        deadline = time.monotonic() + DEADLINE
        stat = Path(f"/proc/{self._process.pid}/stat")
        while stat.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline, "tea never came to rest"
            select.select([self._ours], [], [], 0.001)

    def wait(self) -> int:
        code = self._process.wait(DEADLINE)
        os.close(self._ours)
        return code

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
