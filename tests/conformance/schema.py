"""Says where a file of conformance/ is not of the shape of rule.schema.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fastjsonschema  # type: ignore[import-untyped]

from .suite import FOLDER, Rule

SCHEMA: dict[str, Any] = json.loads((FOLDER / "rule.schema.json").read_text(encoding="utf-8"))
_check = fastjsonschema.compile(SCHEMA, use_default=False)


def faults(rule: Rule) -> Iterator[str]:
    """Yield what is wrong in a rule's file, as FILE: KEY: REASON."""
    try:
        _check(rule.data)
        return
    except fastjsonschema.JsonSchemaException:
        # The library that can say where and why takes a second to import.
        from jsonschema import Draft7Validator  # type: ignore[import-untyped]
        from jsonschema.exceptions import best_match  # type: ignore[import-untyped]
    for error in Draft7Validator(SCHEMA).iter_errors(rule.data):
        cause = best_match([error])
        key = ".".join(str(part) for part in cause.absolute_path)
        yield f"conformance/{rule.name}.yaml: {key or 'the file'}: {cause.message}"
