"""Conditions: ``when``, ``condition``, ``if`` and what a while loop tests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from the_edge_agent import limits
from the_edge_agent.errors import TeaError, TemplateError
from the_edge_agent.template.template import SCOPES, Template, compile_expression, compile_text
from the_edge_agent.value.value import truth

_NAME = re.compile(r"(!?)\s*([A-Za-z_][A-Za-z0-9_]*)\Z")
_WORDS = frozenset({
    "true", "True", "false", "False", "none", "None",
    "and", "or", "not", "in", "is", "if", "else",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition as written, and how to judge it. ``expected`` is the truth it must equal."""

    source: str
    value: bool | Template
    negated: bool = False
    expected: Condition | None = None

    def holds(self, scope: Mapping[str, Any]) -> bool:
        """Judge it. Raises TemplateError, LimitError."""
        value = self.value
        try:
            result = value if isinstance(value, bool) else truth(value.render(scope))
        except TeaError as error:
            error.message = f"condition {self.source}: {error.message}"
            raise
        if self.negated:
            result = not result
        return result if self.expected is None else result == self.expected.holds(scope)


def compile_condition(value: Any, scopes: Iterable[str] = SCOPES) -> Condition:
    """Compile a truth value, a name, ``!name``, an expression or a template.

    Raises:
        TemplateError: it is none of these, or not well formed.
    """
    if isinstance(value, bool):
        return Condition(str(value).lower(), value)
    if not isinstance(value, str) or not value.strip():
        raise TemplateError("a condition must be text or a truth value")
    text = value.strip()
    if len(text.encode("utf-8", "surrogatepass")) > limits.MAX_CONDITION:
        raise TemplateError(f"the condition is longer than {limits.MAX_CONDITION} bytes")
    if name := _NAME.match(text):
        negated, word = name.groups()
        expression = word if word in _WORDS else f"state.{word}"
        return Condition(text, compile_expression(expression, scopes), bool(negated))
    if "{{" in text or "{%" in text:
        return Condition(text, compile_text(value, scopes))
    if text.startswith("!"):
        raise TemplateError("! stands before a name alone", hint=f"write: not {text[1:].strip()}")
    return Condition(text, compile_expression(text, scopes))
