"""JSON text, read as every engine here reads it.

What JSON leaves open is an error instead of a guess: a key that is there twice, a number out of
range, half of a character.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from the_edge_agent.limits import MAX_DEPTH

MAX_INTEGER = 2**127  # the first whole number that is too large
_MAX_DIGITS = 40
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read(data: str | bytes) -> Any:
    """Return what ``data`` means; a byte order mark before it is no part of it.

    Raises:
        ValueError: the reason why it is not JSON.
    """
    try:
        text = (data if isinstance(data, str) else data.decode()).removeprefix("\ufeff")
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=whole_number,
            parse_float=_fraction,
            object_pairs_hook=_map,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos + 1}") from error
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check_depth(value)
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError("a text has half of a character") from error
    return value


def find(text: str) -> Any:
    """Return what ``text`` means or, where it is not JSON, the longest map or list within it.

    Raises:
        ValueError: as ``read``, where there is none.
    """
    try:
        return read(text)
    except ValueError as error:
        failure = error
    found: list[str] = []
    at = 0
    for _ in range(_MAX_BEGINNINGS):
        begin = _BEGINNING.search(text, at)
        if begin is None:
            break
        try:
            _, at = _DECODER.raw_decode(text, begin.start())
            read(text[begin.start() : at])
            found.append(text[begin.start() : at])
        except (ValueError, RecursionError):
            at = begin.end()
    if not found:
        raise failure
    return read(max(found, key=len))


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        parts = (each.values() if isinstance(each, dict) else each for each in level)
        level = [part for each in parts for part in each if isinstance(part, dict | list)]
    if level:
        raise ValueError(_TOO_DEEP)


def whole_number(digits: str, base: int = 10) -> int:
    """Return the number that ``digits`` write. Raises ValueError where it is out of range."""
    number = int(digits, base) if base != 10 or len(digits) <= _MAX_DIGITS else MAX_INTEGER
    if -MAX_INTEGER <= number < MAX_INTEGER:
        return number
    raise ValueError(f"the number {digits[:_MAX_DIGITS]}… is out of range")


def _fraction(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:_MAX_DIGITS]} is out of range")
    return number


def _map(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f'duplicate key "{twice}"')
    return entries


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


_MAX_BEGINNINGS = 1000  # of maps and lists that are looked for in a text
_BEGINNING = re.compile(r"[\[{]")
_DECODER = json.JSONDecoder(
    parse_constant=_refuse_constant,
    parse_int=whole_number,
    parse_float=_fraction,
    object_pairs_hook=_map,
)
