"""``tea chat``: one answer, or a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from typing import Any

from the_edge_agent.cli import output, signals, values
from the_edge_agent.cli.registry import backends
from the_edge_agent.errors import ModelError, TeaError, UsageError
from the_edge_agent.llm import parameters
from the_edge_agent.llm.backend import Backend, ChatReply, ChatRequest, Message

PROMPT = "> "
HELP = "/reset begins anew, /quit or Ctrl-D leaves, Ctrl-C stops an answer"


def chat_command(options: Namespace) -> int:
    """Answer once, or hold a conversation when there is a terminal; return the exit code.

    Raises:
        TeaError: wrong options, no model, or (with one answer) anything that goes wrong.
    """
    settings = _settings(options)
    fields = parameters.sampling({}, settings)
    if options.prompt is None and sys.stdin.isatty() and sys.stdout.isatty():
        backend = _backend(options, settings)
        Conversation(backend, _system(options, backend), fields).hold()
        return 0
    if options.prompt is None:
        text = values.read_text(values.STDIN)
    else:
        text = values.as_typed(options.prompt)
    if not text.strip():
        raise UsageError("there is no question", hint='try: tea chat "Why is the sky blue?"')
    user = Message("user", text.rstrip("\n"))
    backend = _backend(options, settings)
    system = _system(options, backend)
    if system is None:
        request = ChatRequest((user,), user.content, **fields)
    else:
        request = ChatRequest((Message("system", system), user), **fields)
    asyncio.run(backend.chat(request, output.answer))
    output.answer("\n")
    return 0


def _backend(options: Namespace, settings: Mapping[str, Any]) -> Backend:
    return backends(options, output.log if options.verbose else None).select(settings, None)


def _system(options: Namespace, backend: Backend) -> str | None:
    """Return the system text: the user's, where an empty one means none, else the bundle's."""
    if options.system is not None:
        return values.as_typed(options.system) or None
    text: str | None = getattr(backend, "chat_system", None)
    return text


def _settings(options: Namespace) -> dict[str, Any]:
    """Return the options as ``settings.llm`` would have them, checked."""
    given = {
        key: getattr(options, key)
        for key in ("temperature", "max_tokens", "seed", "model", "api_base")
        if getattr(options, key) is not None
    }
    for key, message in parameters.problems(parameters.SETTINGS, given):
        raise UsageError(f"--{key.replace('_', '-')}: {message}")
    return given


class Conversation:
    """Turns of user and model on a terminal. The model's cache keeps what was said."""

    def __init__(
        self,
        backend: Backend,
        system: str | None,
        fields: Mapping[str, Any],
        *,
        read_line: Callable[[str], str] = input,
    ) -> None:
        self._backend = backend
        self._head = () if system is None else (Message("system", system),)
        self._fields = fields
        self._read_line = read_line
        self._said: tuple[Message, ...] = ()

    def hold(self) -> None:
        """Talk until the user leaves.

        Raises:
            TeaError: the model cannot be loaded. Later errors are printed, and the talk goes on.
        """
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # gives input() its line editing
        with asyncio.Runner() as runner:
            load = getattr(self._backend, "load", None)
            if load is not None:
                runner.run(load())
            output.say(HELP)
            while True:
                try:
                    line = self._read_line(PROMPT).strip()
                except EOFError:
                    output.answer("\n")
                    return
                except KeyboardInterrupt:
                    if signals.must_leave():
                        raise
                    output.answer("\n")
                    continue
                if line == "/quit":
                    return
                if line:
                    self._take(runner, line)

    def _take(self, runner: asyncio.Runner, line: str) -> None:
        if line == "/reset":
            self._said = ()
            output.say("A new conversation.")
        elif line.startswith("/") and line[1:].isalpha():
            output.say(f"There is no {line}. {HELP}.")
        else:
            self._answer(runner, line)

    def _answer(self, runner: asyncio.Runner, line: str) -> None:
        pieces: list[str] = []

        def on_text(text: str) -> None:
            pieces.append(text)
            output.answer(text)

        said = (*self._said, Message("user", line))
        request = ChatRequest((*self._head, *said), **self._fields)
        try:
            runner.run(self._chat(request, on_text))
        except KeyboardInterrupt:
            if signals.must_leave():
                raise
            output.answer(" …")  # what was said stays part of the conversation
        except TeaError as error:
            if isinstance(error, ModelError) and not self._said:
                raise  # it cannot chat at all
            output.report(error)
            return
        output.answer("\n")
        if pieces:
            self._said = (*said, Message("assistant", "".join(pieces)))

    async def _chat(self, request: ChatRequest, on_text: Callable[[str], None]) -> ChatReply:
        return await self._backend.chat(request, on_text)
