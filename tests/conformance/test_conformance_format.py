"""The cases themselves: well-formed, and one for every rule of the format."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from typing import Any

import pytest

from .case import CASES, FOLDER, Case, checker, load_cases

ALL = load_cases()
NAMES = {case.name for case in ALL}
RULES: dict[str, list[dict[str, Any]]] = tomllib.loads(
    (FOLDER / "rules.toml").read_text(encoding="utf-8")
)


def test_every_case_fits_the_schema() -> None:
    fault_of = checker()
    faults = [f"{case.name}: {fault}" for case in ALL if (fault := fault_of(case.data))]
    assert not faults, "\n".join(faults)


def test_every_file_is_a_case_with_a_plain_name() -> None:
    files = [path for path in CASES.rglob("*") if path.is_file()]
    assert len(files) == len(ALL)
    assert [name for name in NAMES if not re.fullmatch(r"[a-z-]+/[a-z0-9-]+", name)] == []


def test_no_two_cases_are_about_the_same() -> None:
    counts = Counter(case.about for case in ALL)
    assert [about for about, count in counts.items() if count > 1] == []


def test_every_case_is_about_one_sentence() -> None:
    assert [case.name for case in ALL if not case.about.endswith(".")] == []


def test_every_rule_has_a_case_that_exists() -> None:
    lost = {rule["says"]: set(rule["cases"]) - NAMES for rule in RULES["rule"]}
    assert {says: names for says, names in lost.items() if names} == {}
    assert [rule["says"] for rule in RULES["rule"] if not rule["cases"]] == []


def test_every_case_belongs_to_a_rule() -> None:
    assert NAMES - {name for rule in RULES["rule"] for name in rule["cases"]} == set()


def test_no_rule_is_written_twice() -> None:
    counts = Counter(rule["says"] for rules in RULES.values() for rule in rules)
    assert [says for says, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("engine", ["rust", "browser"])
def test_cases_with_python_code_say_that_other_engines_refuse_them(engine: str) -> None:
    code = re.compile(r"^\s*(- )?(run|script): \|", re.MULTILINE)
    silent = [
        case.name
        for case in ALL
        if code.search(case.data.get("workflow", ""))
        and "language:" not in case.data["workflow"]
        and engine not in case.data.get("refused_by", {})
    ]
    assert silent == []


def test_cases_with_file_actions_do_not_expect_them_in_the_browser() -> None:
    silent = [
        case.name
        for case in ALL
        if re.search(r"uses: file\.", case.data.get("workflow", ""))
        and case.runs_on("browser")
        and "browser" not in case.data.get("refused_by", {})
    ]
    assert silent == []


def test_the_schema_refuses_an_unknown_key() -> None:
    good: dict[str, Any] = {"about": "A case of a test.", "workflow": "", "expect": {"state": {}}}
    fault_of = checker()
    assert fault_of(good) is None
    assert fault_of({**good, "expcet": {}})
    assert fault_of({**good, "expect": {"stat": {}}})
    assert fault_of({**good, "expect": {}})


def test_a_case_is_not_meant_for_an_engine_that_it_does_not_name() -> None:
    case = Case("a/b", {"runs_on": ["python", "rust"]})
    assert case.runs_on("rust")
    assert not case.runs_on("browser")
