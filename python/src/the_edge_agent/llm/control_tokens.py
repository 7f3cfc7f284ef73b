"""Control tokens in message texts, which are text to the model and begin or end no turn.

A chat template writes control tokens such as ``<|im_end|>``. Where a message has the same letters,
a placeholder stands for them while the template is rendered, and what the template makes of that
stretch is tokenized as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from the_edge_agent.llm.backend import Message

ControlTexts = Callable[[str], Collection[str]]  # the control tokens that a text has in it

# Templates look for these marks, to take the reasoning out of earlier answers.
_THINKING = re.compile("think|thought", re.IGNORECASE)
_PRIVATE_USE = range(0xF0000, 0xFFFFE)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a prompt. ``special``: the names of control tokens in it are these tokens."""

    text: str
    special: bool


class Placeholders:
    """Stands in for the control tokens in the texts of ``messages`` and ``tools``."""

    def __init__(
        self,
        messages: tuple[Message, ...],
        control_texts: ControlTexts,
        tools: list[dict[str, Any]] | None = None,
    ) -> None:
        calls = [call.arguments for message in messages for call in message.tool_calls]
        texts = [message.content for message in messages]
        texts += [text for value in (*calls, tools) for text in _texts_in(value)]
        self._control_texts = control_texts
        found = {control for text in texts for control in control_texts(text)}
        hidden = [control for control in found if not _THINKING.search(control)]
        used = set().union(*texts) if hidden else set()
        spare = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
        self._placeholders = dict(zip(_longest_first(hidden), spare, strict=False))
        self.messages = tuple(map(self._hidden, messages))
        self.tools: list[dict[str, Any]] | None = self._hide(tools)

    def parts(self, prompt: str) -> Iterator[Part]:
        """Split ``prompt``, rendered from ``messages``, and put the control tokens back as text.

        A part of plain text goes from one control token of the template to the next, so that it is
        tokenized as if nothing in it had a special meaning.
        """
        marks = set(self._placeholders.values())
        if not marks.intersection(prompt):
            yield Part(prompt, special=True)
            return
        controls = _longest_first(self._control_texts(prompt))
        split = (
            re.split(f"({'|'.join(map(re.escape, controls))})", prompt) if controls else [prompt]
        )
        special = ""
        for piece in split:
            if marks.isdisjoint(piece):
                special += piece
                continue
            if special:
                yield Part(special, special=True)
                special = ""
            yield Part(self._restore(piece), special=False)
        if special:
            yield Part(special, special=True)

    def _hidden(self, message: Message) -> Message:
        calls = tuple(
            replace(call, arguments=self._hide(call.arguments)) for call in message.tool_calls
        )
        return replace(message, content=self._hide(message.content), tool_calls=calls)

    def _hide(self, value: Any) -> Any:
        """Return a text, or JSON data, with placeholders in its texts."""
        if isinstance(value, dict):
            return {self._hide(key): self._hide(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self._hide(each) for each in value]
        if isinstance(value, str):
            for control, placeholder in self._placeholders.items():
                value = value.replace(control, placeholder)
        return value

    def _restore(self, text: str) -> str:
        for control, placeholder in self._placeholders.items():
            text = text.replace(placeholder, control)
        return text


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in (*value, *value.values()):
            yield from _texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts_in(each)


def _longest_first(controls: Collection[str]) -> list[str]:
    return sorted(controls, key=lambda control: (-len(control), control))
