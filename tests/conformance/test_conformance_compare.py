"""The comparison itself: a case that should fail does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .compare import differences, refusal_differences, same
from .sandbox import Outcome, Sandbox
from .suite import Case, parse


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(Case("a/b", {"about": "", "workflow": "", "expect": {}}), tmp_path)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [(1, 1.0), (1, True), (0, False), ("1", 1), ([1], [1, 2]), ({"a": 1}, {"a": 1.0}), (None, 0)],
)
def test_values_of_other_types_are_not_the_same(expected: Any, actual: Any) -> None:
    assert not same(expected, actual)
    assert same(actual, actual)


def failed(kind: str, message: str) -> dict[str, Any]:
    """A failure of a node."""
    return {"kind": kind, "message": message, "hint": "", "node": "n", "action": "x"}


PROBLEM = {"file": "workflow.yaml", "line": 2, "column": 3, "message": "bad", "hint": "use good"}
DONE = Outcome(state={"a": 1}, events=[{"type": "start"}], exit=0)
FAILED = Outcome(failure=failed("ActionError", "no good"), exit=1)
INVALID = Outcome(problems=[PROBLEM], exit=2)
COMMAND = Outcome(exit=0, stdout='{"a": 1}', stderr="hm")


@pytest.mark.parametrize(
    ("expect", "outcome"),
    [
        ({"state": {"a": 2}}, DONE),
        ({"state": {"a": 1, "b": 1}}, DONE),
        ({"state_has": {"b": 1}}, DONE),
        ({"state_lacks": ["a"]}, DONE),
        ({"state_order": ["b"]}, DONE),
        ({"error_state": {"type": "ActionError"}}, DONE),
        ({"error": {"kind": "ActionError"}}, DONE),
        ({"events": []}, DONE),
        ({"events_include": [{"type": "complete"}]}, DONE),
        ({"events_lack": ["start"]}, DONE),
        ({"requests": [{}]}, DONE),
        ({"sleeps": [1.0]}, DONE),
        ({"model": "a.gguf"}, DONE),
        ({"files": {"a.txt": "a"}}, DONE),
        ({"exit": 1}, DONE),
        ({"warnings": [{"message": ["x"]}]}, DONE),
        ({"state": {"a": 1}}, Outcome(state={"a": 1}, sleeps=[1.0])),
        ({"state": {"a": 1}}, Outcome(state={"a": 1}, warnings=[PROBLEM])),
        ({"hidden": ["start"]}, DONE),
        ({"state": {}}, FAILED),
        ({"error": {"stage": "load"}}, FAILED),
        ({"error": {"kind": "FileError"}}, FAILED),
        ({"error": {"node": "m"}}, FAILED),
        ({"error": {"action": "y"}}, FAILED),
        ({"error": {"message": ["very good"]}}, FAILED),
        ({"problems": [{"message": ["bad"]}]}, FAILED),
        ({"error": {"stage": "run"}}, INVALID),
        ({"error": {"place": "1"}}, INVALID),
        ({"error": {"place": "2:4"}}, INVALID),
        ({"error": {"message": ["worse"]}}, INVALID),
        ({"problems": [{"message": ["bad"]}, {"message": ["bad"]}]}, INVALID),
        ({"end": "any"}, Outcome(faults=["a bug"])),
        ({"end": "any"}, Outcome(failure=failed("ModelError", "gone"), exit=1)),
        ({"value": 1}, Outcome(state={"value": 1.0})),
        ({"value": {"a": 1, "b": 1}}, Outcome(state={"value": {"b": 1, "a": 1}})),
        ({"exit": 1}, COMMAND),
        ({"exit": 0, "stdout": ""}, COMMAND),
        ({"exit": 0, "stderr": ""}, COMMAND),
        ({"exit": 0, "stdout_json": {"a": 2}}, COMMAND),
        ({"exit": 0, "stdout_order": ["b"]}, COMMAND),
        ({"exit": 0, "stdout_has": ["b"]}, COMMAND),
        ({"exit": 0, "stdout_matches": "a"}, COMMAND),
        ({"exit": 0, "stdout_events": []}, COMMAND),
        ({"exit": 0, "stderr_has": ["ha"]}, COMMAND),
        ({"exit": 0, "stderr_lacks": ["hm"]}, COMMAND),
        ({"exit": 0, "output_has": ["ha"]}, COMMAND),
        ({"exit": 0, "stdout_is_json": True}, Outcome(exit=0, stdout="{", stderr="")),
    ],
    ids=str,
)
def test_an_expectation_that_is_not_met_is_a_difference(
    expect: dict[str, Any], outcome: Outcome, sandbox: Sandbox
) -> None:
    assert differences(expect, outcome, sandbox)


@pytest.mark.parametrize(
    ("expect", "outcome"),
    [
        ({"state": {"a": 1}, "state_order": ["a"], "events": [{"type": "start"}]}, DONE),
        ({"error": {"stage": "run", "kind": "ActionError", "node": "n", "action": "x"}}, FAILED),
        ({"error": {"stage": "load", "place": "2:3", "message": ["BAD", "good"]}}, INVALID),
        ({"error": {"message": ["good"]}}, INVALID),
        ({"exit": 3, "error": {}}, Outcome(failure=failed("ModelError", "gone"), exit=3)),
        ({"exit": 0, "stdout_json": {"a": 1}, "output_has": ["hm", '"a"']}, COMMAND),
    ],
    ids=str,
)
def test_expectations_that_are_met_are_no_difference(
    expect: dict[str, Any], outcome: Outcome, sandbox: Sandbox
) -> None:
    assert differences(expect, outcome, sandbox) == []


def test_a_refusal_names_node_and_engine() -> None:
    problem = {**PROBLEM, "message": "node ask: rust cannot run Python code"}
    assert refusal_differences(Outcome(problems=[problem]), "ask", "rust") == []
    assert refusal_differences(Outcome(problems=[problem]), "ask", "browser")
    assert refusal_differences(Outcome(problems=[problem]), "tell", "rust")
    assert refusal_differences(DONE, "ask", "rust")


def test_cases_are_read_as_yaml_1_2() -> None:
    values = parse("[yes, on, 017, 1e3, 2001-01-01, 1_0, ~, True]")
    assert same(["yes", "on", 17, 1000.0, "2001-01-01", "1_0", None, True], values)
