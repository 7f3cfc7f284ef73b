"""``tea chat``: one answer, or a conversation."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from the_edge_agent import spec
from the_edge_agent.cli import output, signals, streams, values
from the_edge_agent.cli.registry import backends
from the_edge_agent.errors import LimitError, ModelError, TeaError, UsageError
from the_edge_agent.llm import parameters
from the_edge_agent.llm.backend import MAX_PROMPT, Backend, ChatRequest, Message
from the_edge_agent.workflow import types

PROMPT = "> "
HELP = "/reset begins anew, /quit or Ctrl-D leaves, Ctrl-C stops an answer"


def chat_command(options: Namespace) -> int:
    """Answer once, or hold a conversation when there is a terminal; return the exit code.

    Raises:
        TeaError: wrong options, no model, or (with one answer) anything that goes wrong.
    """
    settings = _settings(options)
    fields = parameters.sampling({}, settings)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    question = None if options.prompt is None and on_terminal else _question(options.prompt)
    backend = _backend(options, settings)
    with asyncio.Runner() as runner:
        if options.max_tokens is None:
            _leave_room(fields, backend, runner)
        talk = Conversation(
            backend, _system(options, backend), fields, runner, forgets=options.forget
        )
        if question is None:
            talk.hold()
        else:
            talk.answer(question)
    return 0


def _question(prompt: str | None) -> str:
    """Return what to ask: the prompt, a blank line and what is piped in, or either alone."""
    asked = None if prompt in (None, values.STDIN) else values.as_typed(prompt)
    parts = [] if asked is None else [asked]
    if asked is None or values.is_piped():
        parts.append(values.read_text(values.STDIN, MAX_PROMPT))
    text = "\n\n".join(part.rstrip("\n") for part in parts if part.strip())
    if not text:
        raise UsageError("there is no question", hint='try: tea chat "Why is the sky blue?"')
    return text


def _backend(options: Namespace, settings: Mapping[str, Any]) -> Backend:
    return backends(options, streams.log if options.verbose else None).select(settings, None)


def _leave_room(fields: dict[str, Any], backend: Backend, runner: asyncio.Runner) -> None:
    """Load a local model, and have its answers take at most half of its context."""
    load = getattr(backend, "load", None)
    if load is not None:
        context: int = signals.run(load(), runner)
        chosen = fields.get("max_tokens", spec.Sampling().max_tokens)
        fields["max_tokens"] = min(chosen, context // 2)


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
    for key, message in types.problems(spec.LLM.known, given):
        raise UsageError(f"--{key.replace('_', '-')}{message.removeprefix(key)}")
    return given


class Conversation:
    """Turns of user and model. The model's cache keeps what was said."""

    def __init__(
        self,
        backend: Backend,
        system: str | None,
        fields: Mapping[str, Any],
        runner: asyncio.Runner,
        *,
        forgets: bool = False,
    ) -> None:
        """``forgets``: the oldest turns are dropped when the context is full."""
        self._backend = backend
        self._head = () if system is None else (Message("system", system),)
        self._fields = fields
        self._runner = runner
        self._forgets = forgets
        self._said: tuple[Message, ...] = ()

    def hold(self) -> None:
        """Talk on a terminal until the user leaves.

        Raises:
            TeaError: the model cannot chat. Later errors are printed, and the talk goes on.
        """
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # gives input() its line editing
        streams.say(HELP)
        while True:
            try:
                line = input(PROMPT).strip()
            except EOFError:
                streams.answer("\n")
                return
            except KeyboardInterrupt:
                self._survive("\n")
                continue
            if line == "/quit":
                return
            if line:
                self._take(line)

    def answer(self, text: str) -> None:
        """Ask ``text`` and print the answer as it comes; both become part of the conversation.

        Raises:
            TeaError: there is no answer, or only the beginning of one.
        """
        user = Message("user", text)
        with self._printing(user) as on_text:
            while True:
                request = ChatRequest((*self._head, *self._said, user), **self._fields)
                if len(request.messages) == 1:  # a model without a chat template completes it
                    request = replace(request, prompt=text)
                try:
                    signals.run(self._backend.chat(request, on_text), self._runner)
                except LimitError:
                    if not self._forgets or not self._said:
                        raise
                    self._said = self._said[2:]
                    streams.say("(the oldest question and its answer are forgotten)")
                else:
                    return

    @contextlib.contextmanager
    def _printing(self, user: Message) -> Iterator[Callable[[str], None]]:
        """Print an answer, which ends its line however it ends; remember what came of it."""
        pieces: list[str] = []

        def on_text(text: str) -> None:
            pieces.append(text)
            streams.answer(text)

        try:
            yield on_text
        except TeaError:
            if pieces:
                streams.answer("\n")
            raise
        except KeyboardInterrupt:
            if pieces:
                streams.answer(" …\n")
            self._remember(user, pieces)
            raise
        streams.answer("\n")
        self._remember(user, pieces)

    def _remember(self, user: Message, pieces: list[str]) -> None:
        if pieces:
            self._said = (*self._said, user, Message("assistant", "".join(pieces)))

    def _take(self, line: str) -> None:
        if line == "/reset":
            self._said = ()
            streams.say("A new conversation.")
        elif line.startswith("/") and line[1:].isalpha():
            streams.say(f"There is no {line}. {HELP}.")
        else:
            try:
                self.answer(line)
            except KeyboardInterrupt:
                self._survive("")
            except TeaError as error:
                if isinstance(error, ModelError) and not self._said:
                    raise  # it cannot chat at all
                if isinstance(error, LimitError) and self._said:
                    error.hint = "/reset begins anew; tea chat --forget drops the oldest turns"
                output.report(error)

    def _survive(self, text: str) -> None:
        """Go on after a Ctrl-C. Raises KeyboardInterrupt where it was more than that."""
        if signals.must_leave():
            raise KeyboardInterrupt
        signals.install()
        streams.answer(text)
