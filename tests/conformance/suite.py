"""The conformance suite: one YAML file a rule of the format, with the cases that show it."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "conformance"


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``name`` is group/rule/case."""

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


@dataclass(frozen=True, slots=True)
class Rule:
    """One file. ``name`` is its path below conformance/ without the ending: group/rule."""

    name: str
    data: dict[str, Any]

    def cases(self) -> Iterator[Case]:
        """Yield its cases, those of its table of templates too."""
        for name, data in self.data.get("cases", {}).items():
            yield Case(f"{self.name}/{name}", data)
        for number, row in enumerate(self.data.get("rows", ()), 1):
            yield Case(f"{self.name}/{number}", _case_of_row(row, self.data.get("given", {})))


class _CoreLoader(yaml.CSafeLoader):
    """YAML 1.2's core schema, so that values are those that an engine reads in a workflow.

    A key that is written twice is an error, as it is in a workflow.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        """Return the number; a leading zero does not make it octal."""
        return int(node.value)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Return the map of ``node``."""
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value} is written twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
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


def load_rules() -> tuple[Rule, ...]:
    """Return every rule, by name. Raises ValueError, with the file, for one that is no mapping."""
    return tuple(_load_rules())


def _load_rules() -> Iterator[Rule]:
    for path in sorted(FOLDER.rglob("*.yaml")):
        file = path.relative_to(FOLDER.parent)
        try:
            data = parse(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{file}: {error}") from None
        if not isinstance(data, dict) or not isinstance(data.get("cases", {}), dict):
            raise ValueError(f"{file}: expected a map with rule and cases, each case by its name")
        yield Rule(path.relative_to(FOLDER).with_suffix("").as_posix(), data)


def load_cases() -> tuple[Case, ...]:
    """Return the cases of all rules."""
    return tuple(case for rule in load_rules() for case in rule.cases())


# Characters that end a line in YAML but not in JSON, and those that YAML wants escaped.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def workflow_of(row: dict[str, Any], variables: dict[str, Any]) -> str:
    """Return a workflow that computes a row's template or expression into ``state.value``."""
    if "expression" in row:
        run = {"type": "expression", "value": row["expression"], "output_key": "value"}
        node: dict[str, Any] = {"name": "row", "run": run}
    else:
        given = {"template": row["template"]}
        node = {"name": "row", "uses": "template", "with": given, "output": "value"}
    text = json.dumps({"variables": variables, "nodes": [node]}, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_WRONG = "{% for e in result.errors %}{{ e.path }} {{ e.keyword }}{{ '\n' }}{% endfor %}"


def _case_of_schema(row: dict[str, Any]) -> dict[str, Any]:
    """Return the case that checks each value of a row, or refuses its schema."""
    values = row.get("accepts", []) + [value for value, *_ in row.get("refuses", ())] or [None]
    nodes = [
        {
            "name": f"value-{number}",
            "uses": "validate.schema",
            "with": {"data": value, "schema": row["schema"]},
            "output": {f"valid-{number}": "{{ result.valid }}", f"wrong-{number}": _WRONG},
        }
        for number, value in enumerate(values)
    ]
    if "refused" in row:
        error = {"stage": "load", "message": [row["refused"]], "any_number": True}
        expect: dict[str, Any] = {"error": error}
    else:
        errors = [[] for _ in row.get("accepts", ())] + [
            wrong for _, *wrong in row.get("refuses", ())
        ]
        expect = {"state": {}}
        for number, wrong in enumerate(errors):
            expect["state"][f"valid-{number}"] = not wrong
            expect["state"][f"wrong-{number}"] = "".join(f"{each}\n" for each in wrong)
    workflow = json.dumps({"nodes": nodes}, ensure_ascii=False)
    about = f"{json.dumps(row['schema'])} is the schema."
    return {"about": about, "workflow": workflow, "expect": expect}


def _case_of_row(row: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    if "schema" in row:
        return _case_of_schema(row)
    if "error" in row:
        error = {"kind": row["error"], "message": row.get("message", []), "any_number": True}
        expect: dict[str, Any] = {"error": error}
    else:
        expect = {"value": row["gives"]}
    return {
        "about": row.get("template", row.get("expression")),
        "workflow": workflow_of(row, given.get("variables", {})),
        "input": given.get("state", {}),
        "expect": expect,
    }
