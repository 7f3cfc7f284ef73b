"""Both engines on templates and workflow files made at random: they must end the same way."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from yaml import YAMLError

from tests.conformance.case import parse
from tests.conformance.judge import same
from tests.conformance.test_conformance_robustness import (
    JSON_VALUES,
    OPERATIONS,
    WORKFLOWS,
    bounded,
)
from tests.tea.core.test_parity import SCOPE, rendered
from the_edge_agent.actions import base_registry
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.errors import InvalidFile, TeaError
from the_edge_agent.llm.backend import Backends
from the_edge_agent.template import compile_expression
from the_edge_agent.workflow import load

Answers = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="session")
def rust(answerer: Path) -> Iterator[Answers]:
    """What the Rust engine says to a line."""
    with subprocess.Popen([answerer], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        stdin, stdout = process.stdin, process.stdout

        def ask(line: dict[str, Any]) -> dict[str, Any]:
            stdin.write(json.dumps(line).encode() + b"\n")
            stdin.flush()
            answer = stdout.readline()
            assert answer, f"the Rust engine ended at {line}"
            found: dict[str, Any] = json.loads(answer)
            return found

        yield ask
        stdin.close()


def plain_data(text: str) -> Any:
    """What a workflow file holds, or None where it is not well formed or holds no JSON data."""
    try:
        data = parse(text)
        return data if isinstance(data, dict) and data and json.dumps(data) else None
    except (YAMLError, TypeError, ValueError):
        return None


# -- expressions

NAMES = [f"state.{name}" for name in SCOPE["state"]]
LITERALS = [
    *("0", "1", "2", "-1", "7", "1.5", "0.1", "1e3", "true", "none", "''", "'a'", "'é😀'", "' b '"),
    *("[]", "[1, 'a', none]", "{}", "{'k': 1, 'v': [2]}", "'42'", "'%s'", "'a,b'"),
]
ATOMS = st.sampled_from([*NAMES, *LITERALS, "state.absent", "variables.x", "variables._y2"])
BINARY = st.sampled_from([*"+-*/%~<>", "//", "==", "!=", "<=", ">=", "and", "or", "in", "not in"])
FILTERS = [
    *("default(1)", "default('d', true)", "join", "join(', ')", "tojson", "fromjson", "upper"),
    *("lower", "length", "trim", "first", "last", "list", "sort", "sort(reverse=true)", "unique"),
    *("map('upper')", "map(attribute='k')", "select", "reject", "select('defined')", "abs"),
    *("selectattr('k')", "rejectattr('v')", "groupby('k')", "replace('a', 'b')", "round", "int"),
    *("round(1)", "float", "string", "min", "max", "sum", "reverse", "indent", "truncate(5)"),
    *("wordcount", "sha256"),
]
TESTS = ["defined", "none", "string", "number", "mapping", "sequence"]
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


def check(line: dict[str, Any], rust: Answers, work: Callable[[], Any]) -> None:
    """Hold the Rust engine's answer to what ``work`` of the Python engine gives or raises."""
    theirs = rust(line)
    theirs.pop("message", None)
    try:
        ours = {"value": work()}
    except TeaError as error:
        ours = {"kind": error.kind}
    assert same(ours, theirs), f"{line}\n  python: {ours}\n  rust:   {theirs}"


@given(source=EXPRESSIONS)
@bounded(600)
def test_an_expression_means_the_same_in_both_engines(rust: Answers, source: str) -> None:
    row = {"expression": source}
    check({**row, **SCOPE}, rust, lambda: rendered(row))


@given(source=TEXTS)
@bounded(400)
def test_a_text_becomes_the_same_in_both_engines(rust: Answers, source: str) -> None:
    row = {"template": source}
    check({**row, **SCOPE}, rust, lambda: rendered(row))


@given(source=st.sampled_from(OPERATIONS), a=JSON_VALUES, b=JSON_VALUES)
@bounded(600)
def test_an_operation_on_any_values_gives_the_same_in_both_engines(
    rust: Answers, source: str, a: Any, b: Any
) -> None:
    scope = {**SCOPE, "state": {"a": a, "b": b}}
    check({"expression": source, **scope}, rust, lambda: compile_expression(source).render(scope))


# -- files

ILL_FORMED = re.compile(r"(not a well-formed template): .*?(?=; w\.yaml:|$)")  # each parser's own
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


def problems_of(text: str) -> dict[str, Any]:
    """The warnings or the problems of a workflow file, as the Rust engine tells them."""
    backends = Backends(local=lambda _: None, api=lambda _: None)
    actions = {**base_registry(roots=()), **llm_actions(backends)}
    try:
        warnings = load(text, "w.yaml", actions=actions).warnings
    except InvalidFile as error:
        return {"kind": "FileError", "message": str(error)}
    return {"value": [str(warning) for warning in warnings]}


@given(text=changed())
@bounded(400)
def test_a_changed_workflow_has_the_same_problems_in_both_engines(rust: Answers, text: str) -> None:
    ours, theirs = problems_of(text), rust({"workflow": text})
    assume("cannot run Python code" not in theirs.get("message", ""))
    for each in (ours, theirs):
        if "message" in each:
            each["message"] = ILL_FORMED.sub(r"\1", each["message"])
    assert ours == theirs, f"{text}\n  python: {ours}\n  rust:   {theirs}"
