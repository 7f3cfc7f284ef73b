"""The files of conformance/: of the schema's shape, each with what shows its rule."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from the_edge_agent.spec import KEYWORDS

from .schema import faults
from .suite import FOLDER, Case, Rule, load_rules

RULES = load_rules()
CASES = [case for rule in RULES for case in rule.cases()]
WRITTEN = [case for rule in RULES if "cases" in rule.data for case in rule.cases()]
GOOD: dict[str, Any] = {
    "rule": "A rule of a test.",
    "cases": {"one": {"about": "A case of a test.", "workflow": "", "expect": {"state": {}}}},
}


def test_every_file_has_the_shape_of_the_schema() -> None:
    found = [fault for rule in RULES for fault in faults(rule)]
    assert not found, "\n".join(found)


def test_every_file_is_a_rule_in_a_group() -> None:
    beside = {"README.md", "rule.schema.json"}
    files = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()}
    lost = [name for name in files - beside if not re.fullmatch(r"[a-z-]+/[a-z0-9-]+\.yaml", name)]
    assert lost == [], "a case stands in conformance/GROUP/RULE.yaml (README.md)"


def test_no_rule_is_written_twice() -> None:
    counts = Counter(rule.data["rule"] for rule in RULES)
    assert [says for says, count in counts.items() if count > 1] == []


def test_no_two_cases_are_about_the_same() -> None:
    counts = Counter(case.about for case in WRITTEN)
    assert [about for about, count in counts.items() if count > 1] == []


def test_every_keyword_of_a_schema_has_a_rule_of_its_name() -> None:
    def name(keyword: str) -> str:
        return "schema/" + re.sub("([A-Z])", r"-\1", keyword.removeprefix("$")).lower()

    missing = {name(keyword) for keyword in KEYWORDS} - {rule.name for rule in RULES}
    assert missing == set()


@pytest.mark.parametrize("engine", ["rust", "browser"])
def test_python_code_is_refused_elsewhere(engine: str) -> None:
    code = re.compile(r"^\s*(- )?(run|script): \|", re.MULTILINE)
    silent = [
        case.name
        for case in CASES
        if code.search(case.data.get("workflow", ""))
        and not re.search(r"language:|-- lua|% prolog", case.data["workflow"])
        and engine not in case.data.get("refused_by", {})
    ]
    assert silent == []


def test_file_actions_are_not_expected_in_the_browser() -> None:
    silent = [
        case.name
        for case in CASES
        if re.search(r"uses: file\.", case.data.get("workflow", ""))
        and case.runs_on("browser")
        and "browser" not in case.data.get("refused_by", {})
    ]
    assert silent == []


def test_commands_are_not_expected_in_the_browser() -> None:
    silent = [case.name for case in CASES if "command" in case.data and case.runs_on("browser")]
    assert silent == []


def changed(**keys: Any) -> Rule:
    """The good rule with other keys in its case."""
    return Rule("a/b", {**GOOD, "cases": {"one": {**GOOD["cases"]["one"], **keys}}})


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (changed(expcet={}), "conformance/a/b.yaml: cases.one: "),
        (changed(expect={"stat": {}}), "conformance/a/b.yaml: cases.one.expect: "),
        (changed(expect={}), "conformance/a/b.yaml: cases.one.expect: "),
        (changed(about="no full stop here"), "conformance/a/b.yaml: cases.one.about: "),
        (changed(runs_on=["pyhton"]), "conformance/a/b.yaml: cases.one.runs_on.0: "),
        (changed(warned_by={"rust": [{"place": "2"}]}), "cases.one.warned_by.rust.0: "),
        (Rule("a/b", {"rule": "A rule of a test."}), "conformance/a/b.yaml: the file: "),
        (Rule("a/b", {**GOOD, "case": {}}), "conformance/a/b.yaml: the file: "),
        (Rule("a/b", {**GOOD, "cases": {"One": {}}}), "conformance/a/b.yaml: cases: "),
        (Rule("a/b", {"rule": "A rule of rows.", "rows": [{"template": "x"}]}), "rows.0: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_file_is_named_with_its_key(rule: Rule, said: str) -> None:
    assert list(faults(Rule("a/b", GOOD))) == []
    found = list(faults(rule))
    assert len(found) >= 1
    assert said in found[0]


def test_a_case_is_for_the_engines_that_it_names() -> None:
    case = Case("a/b/c", {"runs_on": ["python", "rust"]})
    assert case.runs_on("rust")
    assert not case.runs_on("browser")


def test_the_suite_has_not_shrunk() -> None:
    assert len(RULES) >= 177
    assert len(WRITTEN) >= 561
