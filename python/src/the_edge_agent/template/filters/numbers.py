"""The filters of numbers."""

from __future__ import annotations

import math
import re
from typing import Any

from the_edge_agent import limits
from the_edge_agent.errors import TemplateError
from the_edge_agent.template.operators import require
from the_edge_agent.value.value import describe, is_number

_NO_DEFAULT = object()


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
    digits = whole(precision, "precision")
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


def whole(value: Any, name: str) -> int:
    """Return an argument that must be a whole number from 0 on. Raises TemplateError."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= limits.MAX_TEXT:
        return value
    raise TemplateError(f"{name} must be a whole number from 0 on, not {describe(value)}")
