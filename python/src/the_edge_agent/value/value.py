"""The values of templates: text form, truth, equality, order and what is absent.

They are those of JSON. What differs between languages is decided here once: a truth value is no
number, null has no text form, and lists and maps compare element by element.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jinja2 import Undefined
from jinja2.utils import missing

from the_edge_agent import limits
from the_edge_agent.errors import ActionError, LimitError, TemplateError
from the_edge_agent.redact import MASK, MIN_PART

MAX_VALUES = 2_000_000
_GUARD = "give it a value, or write: | default(...)"


class Absent(Undefined):
    """A path of a template that leads to null or to nothing; it knows the path.

    By itself it is null. It is false, and any use that needs a value is an error.
    """

    __slots__ = ("null", "path")

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[Exception] = TemplateError,
        *,
        path: str = "",
        null: bool = False,
    ) -> None:
        super().__init__(hint=hint, obj=obj, name=name)
        self.path = path or name or ""
        self.null = null

    def error(self) -> TemplateError:
        """Return the error of using it as a value."""
        if not self.path:
            return TemplateError(self._undefined_hint or "the value is missing", hint=_GUARD)
        return TemplateError(f"{self.path} is {'null' if self.null else 'missing'}", hint=_GUARD)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Absent) and other.null == self.null

    def __hash__(self) -> int:
        return hash(self.null)

    def __bool__(self) -> bool:
        return False


class Group(list[Any]):
    """What ``groupby`` gives: the pair of a ``grouper`` and its ``list``."""


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number; truth values are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_null(value: Any) -> bool:
    """Whether ``value`` is null; what is missing is not."""
    return value is None or (isinstance(value, Absent) and value.null)


def describe(value: Any) -> str:
    """Name the type of ``value`` for a message."""
    names: tuple[tuple[Any, str], ...] = (
        (bool, "a truth value"),
        (str, "text"),
        (int, "a whole number"),
        (float, "a number"),
        (Mapping, "a map"),
        (list | tuple, "a list"),
    )
    if value is None:
        return "null"
    if isinstance(value, Absent):
        return value.error().message
    return next((name for kind, name in names if isinstance(value, kind)), "a value of no type")


def text_form(value: Any, path: str = "") -> str:
    """Return the text that stands for ``value`` inside a text.

    Raises:
        TemplateError: it is null or missing, or has no JSON form. ``path`` names it.
    """
    if isinstance(value, str):
        return str(value)
    if value is None:
        value = Absent(path=path or "the value", null=True)
    if isinstance(value, Absent):
        raise value.error()
    return json_text(value)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return ``value`` as JSON: keys in their order, characters as they are.

    Raises:
        TemplateError: a part that JSON does not have.
        LimitError: the text would be too long.
    """
    try:
        data = to_data(value)
    except ActionError as error:
        raise TemplateError(error.message) from error
    limits.check_text(_least_length(data, indent or 0, 0))
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    limits.check_text(len(text))
    return text


def _least_length(data: Any, indent: int, level: int) -> int:
    """Return the characters of the texts in ``data`` and of the spaces before its parts."""
    if isinstance(data, str):
        return len(data)
    if not isinstance(data, dict | list) or not data:
        return 0
    parts = data.values() if isinstance(data, dict) else data
    spaces = indent * (level + 1) * len(data) + indent * level
    return spaces + sum(_least_length(part, indent, level + 1) for part in parts)


class _Copier:
    """Copies values as JSON data and counts what it copies."""

    def __init__(self, mask: Callable[[str], str] | None) -> None:
        self._mask = mask
        self._values = 0
        self._characters = 0

    def copy(self, value: Any, depth: int = 0) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise LimitError(f"the value has more than {MAX_VALUES} parts")
        if depth > limits.MAX_DEPTH:
            raise LimitError(f"the value is nested deeper than {limits.MAX_DEPTH} levels")
        if value is None or isinstance(value, Absent):
            return None
        if isinstance(value, bool | int | float):
            return self._number(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._key(key): self.copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.copy(item, depth + 1) for item in value]
        raise ActionError(f"a value of type {type(value).__name__} is not JSON data")

    def _number(self, value: float) -> Any:
        if not math.isfinite(value):
            raise ActionError("infinity and not-a-number are not JSON data")
        if self._mask and not isinstance(value, bool):
            text = json.dumps(value)
            return MASK if len(text) >= MIN_PART and self._mask(text) == MASK else value
        return value

    def _text(self, value: str) -> str:
        text = self._mask(value) if self._mask else str(value)
        self._characters += len(text)
        if self._characters > 10 * limits.MAX_TEXT:
            raise LimitError(f"the value has more than {10 * limits.MAX_TEXT} characters")
        return text

    def _key(self, key: Any) -> str:
        if not isinstance(key, str):
            raise ActionError(f"a key of type {type(key).__name__} is not JSON data; use text")
        return self._text(key)


def to_data(value: Any, mask: Callable[[str], str] | None = None) -> Any:
    """Copy ``value`` as JSON data; what is absent becomes null, ``mask`` is laid over all text.

    Raises:
        ActionError: a part is of a type that JSON does not have.
        LimitError: it is too large or nested too deep.
    """
    return _Copier(mask).copy(value)


def truth(value: Any) -> bool:
    """Return the truth of the result of a condition."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "false", "0", "no", "none", "null")
    return bool(value)


def same(left: Any, right: Any) -> bool:
    """Return whether two values are equal; a truth value equals no number."""
    limits.charge(1)
    if is_null(left) or is_null(right):
        return is_null(left) and is_null(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, str) and isinstance(right, str):
        limits.charge_text(min(len(left), len(right)))
    return bool(left == right)


def before(left: Any, right: Any) -> bool:
    """Return whether ``left`` is less than ``right``: numbers, texts, or false before true.

    Raises:
        TemplateError: the two have no order.
    """
    limits.charge(1)
    both = (left, right)
    if all(map(is_number, both)) or any(
        all(isinstance(value, kind) for value in both) for kind in (str, bool)
    ):
        if isinstance(left, str):
            limits.charge_text(min(len(left), len(right)))
        return bool(left < right)
    for value in (left, right):
        if isinstance(value, Absent):
            raise value.error()
    raise TemplateError(f"cannot order {describe(left)} and {describe(right)}")


def elements(value: Any, path: str = "") -> list[Any]:
    """Return what a loop over ``value`` sees: elements, keys of a map, characters of a text.

    Raises:
        TemplateError: it is null, missing, a number or a truth value.
    """
    if value is None:
        value = Absent(path=path or "the value", null=True)
    if isinstance(value, Absent):
        raise value.error()
    if isinstance(value, str | Mapping | Sequence) or (
        isinstance(value, Iterable) and not isinstance(value, bytes)
    ):
        if isinstance(value, str):
            limits.charge(len(value))
        result = list(value)
        if not isinstance(value, str):
            limits.charge(len(result))
        return result
    raise TemplateError(f"{path or 'the value'} is {describe(value)}, not a list")
