"""A model's own chat template, rendered the way its publisher's tools render it.

Source: Hugging Face's documentation of chat templates (the environment's options and names).
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from jinja2 import TemplateError as JinjaError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from the_edge_agent.errors import ModelError
from the_edge_agent.llm import tool_form
from the_edge_agent.llm.backend import Message

# {% generation %} marks the model's own words for training and has no effect here. A comment
# with the same white space control takes its place.
_GENERATION = re.compile(r"\{%([-+]?)\s*(?:end)?generation\s*([-+]?)%\}")

_OTHER_TEXT = "Be brief."  # in place of one that a template may have taken out


class _RefusedError(Exception):
    """The template called raise_exception."""


class ChatTemplate:
    """One model's template with its special tokens."""

    def __init__(
        self,
        source: str,
        *,
        bos_token: str,
        eos_token: str,
        now: Callable[[], datetime.datetime] = datetime.datetime.now,
    ) -> None:
        """Compile ``source``.

        Raises:
            ModelError: it is not a template.
        """
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = lambda form: now().strftime(form)
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        try:
            self._template = environment.from_string(_GENERATION.sub(r"{#\1 \2#}", source))
        except JinjaError as error:
            raise ModelError(f"the model's chat template is damaged: {error}") from error

    def render(
        self,
        messages: tuple[Message, ...],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool | None = None,
    ) -> str:
        """Return the text that the model is to go on with.

        ``tools`` are what it may call, each in OpenAI's frame, for a template that knows tools.
        ``thinking`` is the template's switch, where it has one; None leaves it alone.

        A template that refuses or ignores the system text gets it at the head of the first
        user turn, which is what templates of such models do when they do anything.

        Raises:
            ModelError: the template refuses the order of roles, fails, or leaves out a text.
        """
        folded = _fold_system(messages)
        given: dict[str, Any] = {"tools": tools or None}
        if thinking is not None:
            given["enable_thinking"] = thinking
        try:
            text = self._render(messages, given)
        except ModelError:
            if folded is None:
                raise
        else:
            ignored = self._ignored(messages, text, given)
            if ignored is None:
                return text
            if folded is None or ignored.role != "system":
                raise _left_out(ignored)
        text = self._render(folded, given)
        ignored = self._ignored(folded, text, given)
        if ignored is not None:
            raise _left_out(ignored)
        return text

    def _ignored(
        self, messages: tuple[Message, ...], text: str, given: Mapping[str, Any]
    ) -> Message | None:
        """Return a message that makes no difference to ``text``, which they were rendered to.

        A template may take words out on purpose, such as ``/no_think``: then another text in the
        message's place gives another result. Answers are not looked at: templates take the
        reasoning out of earlier ones.
        """
        for number, message in enumerate(messages):
            if message.role == "assistant" or message.content.strip() in text:
                continue
            other = replace(message, content=_OTHER_TEXT)
            others = (*messages[:number], other, *messages[number + 1 :])
            try:
                if self._render(others, given) != text:
                    continue
            except ModelError:
                pass
            return message
        return None

    def _render(self, messages: tuple[Message, ...], given: Mapping[str, Any]) -> str:
        try:
            return self._template.render(
                messages=[_message_data(each) for each in messages],
                add_generation_prompt=True,
                documents=None,
                **self._tokens,
                **given,
            )
        except _RefusedError as error:
            raise ModelError(
                f"the model's chat template refuses these messages: {error}",
                hint="most models want one system text, then user and assistant in turns",
            ) from error
        except Exception as error:  # a template can raise whatever Python can
            raise ModelError(
                f"the model's chat template failed: {type(error).__name__}: {error}"
            ) from error


def _message_data(message: Message) -> dict[str, Any]:
    """Return a message as templates take it: what it lacks is left out."""
    data: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        data["tool_calls"] = [tool_form.call_data(call) for call in message.tool_calls]
    if message.tool_call_id is not None:
        data["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        data["name"] = message.name
    return data


def _fold_system(messages: tuple[Message, ...]) -> tuple[Message, ...] | None:
    """Return the messages with the system text at the head of the first user turn."""
    if len(messages) < 2 or messages[0].role != "system" or messages[1].role != "user":
        return None
    system, user = messages[0].content.strip(), messages[1].content
    return (Message("user", f"{system}\n\n{user}" if system else user), *messages[2:])


def _left_out(message: Message) -> ModelError:
    return ModelError(
        f"the model's chat template leaves out a {message.role} text",
        hint="put the text into a user message",
    )


def _raise_exception(message: str) -> NoReturn:
    raise _RefusedError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
