"""Both engines on templates and workflow files made at random: they must end the same way."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from yaml import YAMLError

from tests.conformance import judge
from tests.conformance.compare import same, told
from tests.conformance.judge import Engine
from tests.conformance.sandbox import Outcome, Sandbox
from tests.conformance.suite import Case, load_rules, parse, workflow_of
from tests.conformance.test_conformance_robustness import (
    JSON_VALUES,
    OPERATIONS,
    WORKFLOWS,
    bounded,
)
from the_edge_agent.template.filters import table

Both = tuple[Engine, Engine]
GIVEN = next(rule.data["given"] for rule in load_rules() if rule.name == "templates/values")


@pytest.fixture(scope="session")
def both() -> Iterator[Both]:
    """The two engines."""
    engines = judge.start("python"), judge.start("rust")
    yield engines
    for engine in engines:
        engine.close()


def plain_data(text: str) -> Any:
    """What a workflow file holds, or None where it is not well formed or holds no JSON data."""
    try:
        data = parse(text)
        return data if isinstance(data, dict) and data and json.dumps(data) else None
    except (YAMLError, TypeError, ValueError):
        return None


# -- expressions

NAMES = [f"state.{name}" for name in GIVEN["state"]]
LITERALS = [
    *("0", "1", "2", "-1", "7", "1.5", "0.1", "1e3", "true", "none", "''", "'a'", "'é😀'", "' b '"),
    *("[]", "[1, 'a', none]", "{}", "{'k': 1, 'v': [2]}", "'42'", "'%s'", "'a,b'"),
]
ATOMS = st.sampled_from([*NAMES, *LITERALS, "state.absent", "variables.x", "variables._y2"])
BINARY = st.sampled_from([*"+-*/%~<>", "//", "==", "!=", "<=", ">=", "and", "or", "in", "not in"])
FILTERS = [
    *table.FILTERS,
    *("default(1)", "default('d', true)", "join(', ')", "sort(reverse=true)", "map('upper')"),
    *("map(attribute='k')", "select('defined')", "selectattr('k')", "rejectattr('v')"),
    *("groupby('k')", "replace('a', 'b')", "round(1)", "truncate(5)"),
]
TESTS = list(table.TESTS)
METHODS = [
    *("get('a')", "get('q', 1)", "items()", "keys()", "values()", "upper()", "lower()", "strip()"),
    *("split()", "split(',')", "startswith('H')", "endswith('d')", "replace('l', 'L')"),
]
PARTS = ["[0]", "[-1]", "[1:]", "[:2]", "[::-1]", "['a']", ".a", ".b", "[9]"]


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Expressions around others."""

    def made(pattern: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map(lambda given: pattern.format(*given))

    return st.one_of(
        made("({} {} {})", inner, BINARY, inner),
        made("({})|{}", inner, st.sampled_from(FILTERS)),
        made("({} is {})", inner, st.sampled_from([*TESTS, *(f"not {test}" for test in TESTS)])),
        made("({} if {} else {})", inner, inner, inner),
        made("({}){}", inner, st.sampled_from(PARTS)),
        made("({}).{}", inner, st.sampled_from(METHODS)),
        made("[{}, {}]", inner, inner),
        made("(not {})", inner),
        made("(-{})", inner),
    )


EXPRESSIONS = st.recursive(ATOMS, larger, max_leaves=5)
PIECES = st.one_of(
    st.sampled_from(["", " ", "text ", "é😀", "\n", "{% raw %}{{{% endraw %}", "{# note #}"]),
    EXPRESSIONS.map(lambda inner: f"{{{{ {inner} }}}}"),
    EXPRESSIONS.map(lambda inner: f"{{% if {inner} %}}yes{{% else %}}no{{% endif %}}"),
    EXPRESSIONS.map(
        lambda inner: f"{{% for x in {inner} %}}[{{{{ loop.index }}}}{{{{ x }}}}]{{% endfor %}}"
    ),
    EXPRESSIONS.map(lambda inner: f"{{% set x = {inner} %}}{{{{ x }}}}"),
    EXPRESSIONS.map(lambda inner: f"{{{{- {inner} -}}}}"),
)
TEXTS = st.lists(PIECES, min_size=1, max_size=3).map("".join)


def outcomes(both: Both, root: Path, text: str, state: dict[str, Any]) -> list[Outcome]:
    """What comes of a workflow in each engine."""
    case = Case("made", {"workflow": text, "input": state})
    return [engine.play(Sandbox(case, root))[0] for engine in both]


def check(both: Both, root: Path, row: dict[str, Any], state: dict[str, Any]) -> None:
    """Hold the engines to each other: the same value, or the same kind of error."""
    text = workflow_of(row, GIVEN["variables"])
    ours, theirs = outcomes(both, root, text, state)
    ends = [
        {"value": each.state["value"]}
        if each.state is not None
        else {"kind": each.failure["kind"] if each.failure else "refused at load"}
        for each in (ours, theirs)
    ]
    assert same(*ends), f"{row}\n  python: {ends[0]}\n  rust:   {ends[1]}"


@given(source=EXPRESSIONS)
@bounded(600)
def test_an_expression_means_the_same(both: Both, tmp_path: Path, source: str) -> None:
    check(both, tmp_path, {"expression": source}, GIVEN["state"])


@given(source=TEXTS)
@bounded(400)
def test_a_text_becomes_the_same(both: Both, tmp_path: Path, source: str) -> None:
    check(both, tmp_path, {"template": source}, GIVEN["state"])


@given(source=st.sampled_from(OPERATIONS), a=JSON_VALUES, b=JSON_VALUES)
@bounded(600)
def test_an_operation_gives_the_same(
    both: Both, tmp_path: Path, source: str, a: Any, b: Any
) -> None:
    check(both, tmp_path, {"expression": source}, {"a": a, "b": b})


# -- files

FILES = [
    data
    for text in WORKFLOWS
    if (data := plain_data(text)) is not None and len(json.dumps(data)) < 2000
]
WORDS = ["a", "uses", "llm.call", "state.n", "{{ state.n }}", "{{ nope.x }}", "__end__", "${v}"]
VALUES = st.one_of(st.sampled_from(WORDS), JSON_VALUES)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """A workflow of a case with up to three keys or values changed, in YAML that is also JSON.

    What the two parsers of YAML make of text that is not well formed is no matter of the engines.
    """
    data = copy.deepcopy(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(places(data))))
        match draw(st.sampled_from(["value", "drop", "rename"])):
            case "value":
                holder[key] = draw(VALUES)
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from([*WORDS, f"{key}s", key[1:]]))] = holder.pop(key)
            case _:
                del holder[key]
        if not data:
            break
    return json.dumps(data, indent=1, ensure_ascii=False)


def places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every map or list within ``data`` with each of its keys."""
    for key in list(data) if isinstance(data, dict) else range(len(data)):
        yield data, key
        if isinstance(data[key], dict | list):
            yield from places(data[key])


def places_of(problems: list[dict[str, Any]] | None) -> list[tuple[int, int]]:
    """Where the problems are; the words are each engine's own."""
    return [(each["line"], each["column"]) for each in problems or []]


@given(text=changed())
@bounded(400)
def test_a_changed_workflow_has_the_same_problems(both: Both, tmp_path: Path, text: str) -> None:
    ours, theirs = outcomes(both, tmp_path, text, {})
    problems = theirs.problems or []
    assume(not any("cannot run Python code" in told(each) for each in problems))
    assert (ours.problems is None) == (theirs.problems is None), text
    assert places_of(ours.problems) == places_of(problems), text
    if ours.problems is None:
        assert places_of(ours.warnings) == places_of(theirs.warnings), text
