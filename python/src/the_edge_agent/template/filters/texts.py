"""The filters of templates for texts and numbers."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from the_edge_agent import limits
from the_edge_agent.errors import TemplateError
from the_edge_agent.template.operators import replace as replace_text
from the_edge_agent.template.operators import require
from the_edge_agent.value import json_reader
from the_edge_agent.value.value import Absent, describe, is_number, json_text, text_form

_NO_DEFAULT = object()


def tojson(value: Any, indent: int | None = None) -> str:
    """Return the value as JSON, keys in their order and characters as they are."""
    if isinstance(value, Absent) and not value.null:
        raise value.error()
    return json_text(value, _whole(indent, "indent") if indent is not None else None)


def fromjson(value: Any) -> Any:
    """Return what the JSON text means."""
    text = _only_text(value, "fromjson")
    limits.charge_text(len(text))
    return parse_json(text)


def parse_json(text: str) -> Any:
    """Return what ``text`` means. Raises TemplateError where it is not JSON."""
    try:
        return json_reader.read(text)
    except ValueError as error:
        raise TemplateError(f"the text is not JSON: {error}") from error


def trim(value: Any, characters: str | None = None) -> str:
    """Return the text without white space (or ``characters``) at its ends."""
    return _text(value).strip(characters)


def replace(value: Any, old: Any, new: Any, count: Any = None) -> str:
    """Return the text with ``old`` replaced by ``new``, at most ``count`` times."""
    most = -1 if count is None else _whole(count, "count")
    return replace_text(text_form(value), text_form(old), text_form(new), most)


def round_number(value: Any, precision: Any = 0, method: Any = "common") -> Any:
    """Return the number rounded, halves away from zero; ``method`` common, ceil or floor."""
    if not is_number(require(value)):
        raise TemplateError(f"cannot round {describe(value)}")
    methods = {
        "ceil": math.ceil,
        "floor": math.floor,
        "common": lambda number: math.copysign(math.floor(abs(number) + 0.5), number),
    }
    if method not in methods:
        raise TemplateError("the method of round is common, ceil or floor")
    digits = _whole(precision, "precision")
    if isinstance(value, int) or digits > 15:
        return value
    factor = 10.0**digits
    if not math.isfinite(value * factor):
        return value  # so large that it has no fraction
    return float(methods[method](value * factor)) / factor


def to_int(value: Any, default: Any = _NO_DEFAULT, base: Any = 10) -> Any:
    """Return the whole number that the value is or means, without its fraction."""
    try:
        if isinstance(value, str):
            text = value.strip()
            is_whole = base != 10 or re.fullmatch(r"[-+]?[0-9]+", text)
            return limits.check_integer(int(text, base) if is_whole else int(_float(text)))
        if isinstance(value, bool) or is_number(value):
            return limits.check_integer(int(value))
    except (ValueError, OverflowError):
        pass
    return _converted_or(default, value, "a whole number")


def to_float(value: Any, default: Any = _NO_DEFAULT) -> Any:
    """Return the number that the value is or means."""
    try:
        if isinstance(value, str):
            return _float(value.strip())
        if isinstance(value, bool) or is_number(value):
            return float(value)
    except (ValueError, OverflowError):
        pass
    return _converted_or(default, value, "a number")


def _float(text: str) -> float:
    if not re.fullmatch(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", text):
        raise ValueError(text)
    return float(text)


def _converted_or(default: Any, value: Any, wanted: str) -> Any:
    if default is not _NO_DEFAULT:
        return default
    raise TemplateError(
        f"{describe(require(value))} is not {wanted}",
        hint="or give a default: int(0)"
        if wanted == "a whole number"
        else "or give a default: float(0)",
    )


def absolute(value: Any) -> Any:
    """Return the number without its sign."""
    if not is_number(require(value)):
        raise TemplateError(f"abs needs a number, not {describe(value)}")
    return abs(value)


def indent(value: Any, width: Any = 4, first: Any = False, blank: Any = False) -> str:
    """Return the text with its lines moved right by ``width`` spaces, or by that text.

    The first line and empty lines stay, unless ``first`` and ``blank`` say otherwise.
    """
    prefix = width if isinstance(width, str) else " " * _whole(width, "width")
    lines = text_form(value).split("\n")
    limits.check_text(sum(map(len, lines)) + len(lines) * (len(prefix) + 1))
    moved = [
        prefix + line if (first or number) and (blank or line) else line
        for number, line in enumerate(lines)
    ]
    return "\n".join(moved)


def truncate(
    value: Any,
    length: Any = 255,
    killwords: Any = False,
    end: Any = "...",
    leeway: Any = 5,
) -> str:
    """Return the text cut to ``length`` with ``end`` on it, at a space unless ``killwords``.

    A text that is at most ``leeway`` characters too long stays whole.
    """
    text, ending = _text(value), text_form(end)
    size, spare = _whole(length, "length"), _whole(leeway, "leeway")
    if size < len(ending):
        raise TemplateError("truncate needs a length that has room for its end")
    if len(text) <= size + spare:
        return text
    kept = text[: size - len(ending)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + ending


def wordcount(value: Any) -> int:
    """Return the number of words: runs of letters, digits and underscores."""
    return sum(1 for _ in re.finditer(r"\w+", _text(value)))


def sha256(value: Any) -> str:
    """Return the SHA-256 digest of the text in UTF-8, in hexadecimal."""
    data = text_form(value).encode("utf-8", "surrogatepass")
    limits.charge_text(len(data))
    return hashlib.sha256(data).hexdigest()


def upper(value: Any, /) -> str:
    """Return the text in capital letters."""
    return _text(value).upper()


def lower(value: Any, /) -> str:
    """Return the text in small letters."""
    return _text(value).lower()


def _text(value: Any) -> str:
    """Return the text form of ``value``, to be gone through as a whole."""
    text = text_form(value)
    limits.charge_text(len(text))
    return text


def _only_text(value: Any, name: str) -> str:
    if isinstance(require(value), str):
        return str(value)
    raise TemplateError(f"{name} needs text, not {describe(value)}")


def _whole(value: Any, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limits.MAX_TEXT:
        return value
    raise TemplateError(f"{name} must be a whole number from 0 on, not {describe(value)}")
