"""Control tokens in message texts, which are text to the model and begin or end no turn.

A chat template writes control tokens such as ``<|im_end|>``. Where a message has the same letters,
a placeholder stands for them while the template is rendered, and what the template makes of that
stretch is tokenized as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

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
    """Stands in for the control tokens in the texts of ``messages``."""

    def __init__(self, messages: tuple[Message, ...], control_texts: ControlTexts) -> None:
        texts = [message.content for message in messages]
        self._control_texts = control_texts
        found = {control for text in texts for control in control_texts(text)}
        hidden = [control for control in found if not _THINKING.search(control)]
        used = set().union(*texts) if hidden else set()
        spare = (chr(code) for code in _PRIVATE_USE if chr(code) not in used)
        self._placeholders = dict(zip(_longest_first(hidden), spare, strict=False))
        self.messages = tuple(replace(each, content=self._hide(each.content)) for each in messages)

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

    def _hide(self, text: str) -> str:
        for control, placeholder in self._placeholders.items():
            text = text.replace(control, placeholder)
        return text

    def _restore(self, text: str) -> str:
        for control, placeholder in self._placeholders.items():
            text = text.replace(placeholder, control)
        return text


def _longest_first(controls: Collection[str]) -> list[str]:
    return sorted(controls, key=lambda control: (-len(control), control))
