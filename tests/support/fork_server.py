"""Programs of Python, each in a process that was forked from one that has imported their modules.

The process is the program's own: its arguments, environment, folder, standard streams and exit
code. Only what Python does as it starts is not done again, which takes longer than most programs.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

LONGEST = 1 << 20  # bytes of a message, which holds the arguments and the environment


class ForkServer:
    """A process that has imported ``modules`` and becomes a program as often as it is asked to."""

    def __init__(self, modules: Sequence[str], env: Mapping[str, str]) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for each in (self._socket, theirs):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST)
        number = theirs.fileno()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(number), *modules],
                env=env,
                pass_fds=[number],
                start_new_session=True,
            )

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        stdin: bytes = b"",
        timeout: float,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``python -m module arguments`` to its end; ``timeout`` is in seconds."""
        message = json.dumps([module, *arguments]), json.dumps([str(cwd), dict(env)])
        with ExitStack() as stack:
            streams = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            streams[0].write(stdin)
            streams[0].seek(0)
            numbers = [stream.fileno() for stream in streams]
            self._socket.settimeout(timeout)
            socket.send_fds(self._socket, ["\n".join(message).encode()], numbers)
            try:
                code = int(self._socket.recv(16))
            except TimeoutError:
                os.killpg(self._process.pid, signal.SIGKILL)
                raise
            output = [os.pread(number, os.fstat(number).st_size, 0) for number in numbers[1:]]
            return subprocess.CompletedProcess([module, *arguments], code, *output)


def _become(message: bytes, streams: Sequence[int]) -> None:
    """Turn this process into the program that is asked for."""
    (_, *arguments), (cwd, env) = (json.loads(line) for line in message.splitlines())
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments


def _serve(connection: socket.socket) -> str:
    """Fork as often as is asked; return, in each process forked, the module to run."""
    while True:
        message, streams, *_ = socket.recv_fds(connection, LONGEST, 3)
        if not message:
            sys.exit()
        child = os.fork()
        if child == 0:
            connection.close()
            _become(message, streams)
            return str(json.loads(message.splitlines()[0])[0])
        for stream in streams:
            os.close(stream)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.send(str(code).encode())


if __name__ == "__main__":
    for name in sys.argv[2:]:
        import_module(name)
    sys.path.pop(0)  # this file's folder
    gc.freeze()  # no program looks through what is here, which would copy it
    runpy.run_module(
        _serve(socket.socket(fileno=int(sys.argv[1]))), run_name="__main__", alter_sys=True
    )
