"""The filters of texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from the_edge_agent import limits
from the_edge_agent.errors import TemplateError
from the_edge_agent.template.filters.numbers import whole
from the_edge_agent.template.operators import replace as replace_text
from the_edge_agent.template.operators import require
from the_edge_agent.value import json_reader
from the_edge_agent.value.value import Absent, describe, json_text, text_form


def tojson(value: Any, indent: int | None = None) -> str:
    """Return the value as JSON, keys in their order and characters as they are."""
    if isinstance(value, Absent) and not value.null:
        raise value.error()
    return json_text(value, whole(indent, "indent") if indent is not None else None)


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
    most = -1 if count is None else whole(count, "count")
    return replace_text(text_form(value), text_form(old), text_form(new), most)


def indent(value: Any, width: Any = 4, first: Any = False, blank: Any = False) -> str:
    """Return the text with its lines moved right by ``width`` spaces, or by that text.

    The first line and empty lines stay, unless ``first`` and ``blank`` say otherwise.
    """
    prefix = width if isinstance(width, str) else " " * whole(width, "width")
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
    size, spare = whole(length, "length"), whole(leeway, "leeway")
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


def urlencode(value: Any) -> str:
    """Return the text percent-encoded, or the query of a map or of a list of pairs."""
    if isinstance(value, Mapping):
        pairs: list[Any] = [list(item) for item in value.items()]
    elif isinstance(value, list | tuple):
        pairs = list(value)
    else:
        return quote(_text(value), safe="/")
    limits.charge(len(pairs))
    if any(not isinstance(pair, list | tuple) or len(pair) != 2 for pair in pairs):
        raise TemplateError("urlencode needs text, a map, or a list of pairs")
    query = "&".join(f"{quote_plus(_text(key))}={quote_plus(_text(item))}" for key, item in pairs)
    limits.check_text(len(query))
    return query


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
