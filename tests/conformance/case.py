"""Conformance cases: one YAML file each, read into a mapping and checked against the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "conformance"
CASES = FOLDER / "cases"


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``name`` is its path below cases/ without the ending: group/name."""

    name: str
    data: dict[str, Any]

    @property
    def about(self) -> str:
        """The sentence that the case shows to be true."""
        return str(self.data["about"])

    @property
    def expect(self) -> dict[str, Any]:
        """What must come of it."""
        return dict(self.data["expect"])

    def runs_on(self, engine: str) -> bool:
        """Whether the case is meant for ``engine``: python, rust or browser."""
        return engine in self.data.get("runs_on", (engine,))


class _CoreLoader(yaml.CSafeLoader):
    """YAML 1.2's core schema, so that every engine's runner reads the same values.

    A key that is written twice is an error, as it is in a workflow.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return the number; a leading zero does not make it octal."""
        return int(node.value)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the map of ``node``."""
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(f"the key {key} is written twice", node.start_mark)
        return super().construct_mapping(node, deep)


_CoreLoader.add_constructor("tag:yaml.org,2002:int", _CoreLoader.construct_yaml_int)
_CORE = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?",
}
for _kind, _pattern in _CORE.items():
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_kind}", re.compile(rf"^(?:{_pattern})$"), None
    )


def parse(text: str) -> Any:
    """Return the value of a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, _CoreLoader)  # a SafeLoader with fewer types


def load_cases() -> tuple[Case, ...]:
    """Return every case, by name."""
    return tuple(_load_cases())


def _load_cases() -> Iterator[Case]:
    for path in sorted(CASES.rglob("*.yaml")):
        name = path.relative_to(CASES).with_suffix("").as_posix()
        yield Case(name, parse(path.read_text(encoding="utf-8")))


def checker() -> Callable[[Any], str | None]:
    """Return what says how a value is no case by the schema, and None for a case."""
    import fastjsonschema  # type: ignore[import-untyped]

    schema = json.loads((FOLDER / "case.schema.json").read_text(encoding="utf-8"))
    check = fastjsonschema.compile(schema, use_default=False)

    def fault(data: Any) -> str | None:
        try:
            check(data)
        except fastjsonschema.JsonSchemaException as error:
            return str(error)
        return None

    return fault
