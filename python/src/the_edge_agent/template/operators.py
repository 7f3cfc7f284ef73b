"""The operators, paths and methods of template expressions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from jinja2.runtime import LoopContext

from the_edge_agent import limits
from the_edge_agent.errors import LimitError, TemplateError
from the_edge_agent.value.value import (
    Absent,
    Group,
    before,
    describe,
    elements,
    is_null,
    is_number,
    same,
    text_form,
)

_LOOP = frozenset(
    {
        "index",
        "index0",
        "revindex",
        "revindex0",
        "first",
        "last",
        "length",
        "depth",
        "depth0",
        "previtem",
        "nextitem",
    }
)


def member(value: Any, key: Any, path: str) -> Any:
    """Return ``value.key`` or ``value[key]``; what is null or missing is an Absent of ``path``."""
    found: Any = Absent(path=path)
    if isinstance(key, Absent):
        raise key.error()
    if isinstance(value, Mapping):
        if isinstance(key, str):
            found = value.get(key, found)
    elif isinstance(value, LoopContext):
        found = getattr(value, key) if key in _LOOP else found
    elif isinstance(value, Group) and key in ("grouper", "list"):
        found = value[0 if key == "grouper" else 1]
    elif isinstance(value, list | tuple | str) and is_number(key) and isinstance(key, int):
        found = value[key] if -len(value) <= key < len(value) else found
    return Absent(path=path, null=True) if found is None else found


def slice_of(value: Any, start: Any, stop: Any, step: Any, path: str) -> Any:
    """Return ``value[start:stop:step]`` of a list or a text."""
    bounds = [None if is_null(bound) else bound for bound in (start, stop, step)]
    if any(
        bound is not None and (isinstance(bound, bool) or not isinstance(bound, int))
        for bound in bounds
    ):
        raise TemplateError("the bounds of a slice must be whole numbers")
    if bounds[2] == 0:
        raise TemplateError("the step of a slice must not be 0")
    if not isinstance(value, str | list | tuple):
        require(value, path)
        raise TemplateError(f"cannot slice {describe(value)}")
    part = value[slice(*bounds)]
    limits.charge_text(len(part)) if isinstance(part, str) else limits.charge(len(part))
    return part


def require(value: Any, path: str = "") -> Any:
    """Return ``value``. Raises TemplateError where it is null or missing."""
    if value is None:
        raise Absent(path=path or "the value", null=True).error()
    if isinstance(value, Absent):
        raise value.error()
    return value


def concat(*values: Any) -> str:
    """Join the text forms of values: the operator ``~``."""
    texts = [text_form(value) for value in values]
    limits.check_text(sum(map(len, texts)))
    return "".join(texts)


def calculate(left: Any, sign: str, right: Any) -> Any:
    """Return ``left sign right`` for ``+ - * / // %``.

    Raises:
        TemplateError: the operands do not fit, or a division by zero.
        LimitError: the result is too large.
    """
    require(left)
    require(right)
    if is_number(left) and is_number(right):
        return _number(left, sign, right)
    if sign == "+" and isinstance(left, str) and isinstance(right, str):
        limits.check_text(len(left) + len(right))
        return left + right
    if sign == "+" and isinstance(left, list | tuple) and isinstance(right, list | tuple):
        limits.charge(len(left) + len(right))
        return [*left, *right]
    if sign == "*":
        repeated = _repeat(left, right) if is_number(right) else _repeat(right, left)
        if repeated is not None:
            return repeated
    hint = "join texts with ~" if sign == "+" and str in (type(left), type(right)) else ""
    raise TemplateError(f"cannot calculate {describe(left)} {sign} {describe(right)}", hint=hint)


def _repeat(value: Any, times: Any) -> Any:
    if not isinstance(times, int) or isinstance(times, bool):
        return None
    if isinstance(value, str):
        limits.check_text(len(value) * times)
        return value * times
    if isinstance(value, list | tuple):
        limits.charge(len(value) * max(times, 0))
        return list(value) * times
    return None


def _number(left: Any, sign: str, right: Any) -> Any:
    if sign in ("/", "//", "%") and right == 0:
        raise TemplateError("division by zero")
    operations: dict[str, Callable[[Any, Any], Any]] = {
        "+": lambda a, b: a + b,
        "-": lambda a, b: a - b,
        "*": lambda a, b: a * b,
        "/": lambda a, b: a / b,
        "//": lambda a, b: a // b,
        "%": lambda a, b: a % b,
    }
    try:
        result = operations[sign](left, right)
    except OverflowError as error:
        raise TemplateError("the number is too large") from error
    if isinstance(result, int):
        return limits.check_integer(result)
    if not math.isfinite(result):
        raise TemplateError("the number is too large")
    return result


def negate(value: Any) -> Any:
    """Return ``-value``."""
    if not is_number(require(value)):
        raise TemplateError(f"cannot calculate - {describe(value)}")
    return -value


def compare(left: Any, sign: str, right: Any) -> bool:
    """Return whether ``left sign right`` holds; ordering null with anything does not.

    ``sign`` is one of eq, ne, lt, lteq, gt, gteq, in, notin.
    """
    if sign in ("eq", "ne"):
        return same(left, right) == (sign == "eq")
    if sign in ("in", "notin"):
        return contains(right, left) == (sign == "in")
    if any(value is None or isinstance(value, Absent) for value in (left, right)):
        return False
    if sign == "lt":
        return before(left, right)
    if sign == "gt":
        return before(right, left)
    # Not the opposite of the other order: same() is what makes 1 <= 1.0 hold.
    lower, upper = (left, right) if sign == "lteq" else (right, left)
    return before(lower, upper) or same(lower, upper)


def contains(container: Any, value: Any) -> bool:
    """Return whether ``value`` is an element, a key or a part of ``container``."""
    require(container)
    if isinstance(container, str):
        if not isinstance(require(value), str):
            raise TemplateError(f"cannot look for {describe(value)} in text")
        limits.charge_text(len(container))
        return value in container
    if isinstance(container, Mapping):
        return isinstance(value, str) and value in container
    return any(same(element, value) for element in elements(container))


def count(*bounds: Any) -> list[int]:
    """Return the numbers of ``range``: ``(stop)``, ``(start, stop)``, ``(start, stop, step)``."""
    if any(isinstance(require(bound), bool) or not isinstance(bound, int) for bound in bounds):
        raise TemplateError("range needs whole numbers")
    if not 1 <= len(bounds) <= 3 or (len(bounds) == 3 and bounds[2] == 0):
        raise TemplateError("range needs one to three numbers, the third not 0")
    numbers = range(*bounds)
    # len() fails for a range that does not fit into a machine word.
    if numbers and abs(numbers[-1] - numbers[0]) // abs(numbers.step) >= limits.MAX_RANGE:
        raise LimitError(f"range gives more than {limits.MAX_RANGE} numbers")
    return list(numbers)


def call_method(value: Any, name: str, path: str, *args: Any) -> Any:
    """Call one of the methods that maps and texts have."""
    require(value, path)
    for argument in args:
        if name != "get" and isinstance(argument, Absent):
            raise argument.error()
    if isinstance(value, Mapping) and name in MAP_METHODS:
        result = MAP_METHODS[name](value, *args)
        return Absent(path=f"{path}.{name}(…)", null=True) if result is None else result
    if isinstance(value, str) and name in TEXT_METHODS:
        limits.charge_text(len(value))
        return TEXT_METHODS[name](value, *args)
    raise TemplateError(f"{describe(value)} has no method {name}()")


def _get(value: Mapping[str, Any], key: str, default: Any = None, /) -> Any:
    return value.get(key, default)


def _items(value: Mapping[str, Any], /) -> list[Any]:
    return [list(pair) for pair in value.items()]


def _split(value: str, separator: str | None = None, most: int = -1, /) -> list[str]:
    if separator == "":
        raise TemplateError("split needs a separator that is not empty")
    pieces = value.split(separator, min(most, limits.MAX_STEPS) if most >= 0 else limits.MAX_STEPS)
    limits.charge(len(pieces))
    return pieces


def replace(value: str, old: str, new: str, most: int = -1, /) -> str:
    """Return ``value`` with ``old`` replaced, at most ``most`` times."""
    times = value.count(old) if most < 0 else min(value.count(old), most)
    limits.check_text(len(value) + times * max(len(new) - len(old), 0))
    return value.replace(old, new, most)


MAP_METHODS: Mapping[str, Callable[..., Any]] = {
    "get": _get,
    "items": _items,
    "keys": lambda value, /: list(value),
    "values": lambda value, /: list(value.values()),
}
TEXT_METHODS: Mapping[str, Callable[..., Any]] = {
    "upper": lambda value, /: value.upper(),
    "lower": lambda value, /: value.lower(),
    "strip": lambda value, characters=None, /: value.strip(characters),
    "split": _split,
    "startswith": lambda value, start, /: value.startswith(start),
    "endswith": lambda value, end, /: value.endswith(end),
    "replace": replace,
}
METHODS = frozenset({*MAP_METHODS, *TEXT_METHODS})
