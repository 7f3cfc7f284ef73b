"""Whatever the text and the input, load and run end with a state or with an error of their own."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from the_edge_agent.actions import Registry, base_registry
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.errors import InvalidFile, TemplateError, WorkflowFailed
from the_edge_agent.llm.backend import Backends
from the_edge_agent.run import Host, run
from the_edge_agent.workflow import load

from .case import load_cases


def bounded(examples: int) -> settings:
    """Return settings for so many examples, the same ones in every run."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


# Code in a workflow may do anything, also to this process: it is not mutated.
WORKFLOWS = [
    case.data["workflow"]
    for case in load_cases()
    if "workflow" in case.data and "rust" not in case.data.get("refused_by", {})
]
FRAGMENTS = [
    "{{", "}}", "{%", "%}", "{#", "[", "]", "{", "}", "|", ":", "- ", "\n", "  ", "'", '"', "&a ",
    "*a", "<<: ", "!!int ", "null", "-1", "1e400", "\x00", "\ufeff", "\ud800", "é", "goto: a",
    "name: a", "nodes:", "edges:", "state.x", "loop", "range(9)", "| default", "| tojson", "~", "%",
]  # fmt: skip


@pytest.fixture
def actions(tmp_path: Path) -> Registry:
    backends = Backends(local=lambda _: None, api=lambda _: None)
    return {**base_registry(roots=[tmp_path]), **llm_actions(backends)}


def end_of(text: str, given_input: dict[str, Any], actions: Registry) -> str:
    """Load and run; return how it ended. Any other exception is a fault of the engine."""

    async def sleep(_seconds: float) -> None:
        return None

    try:
        workflow = load(text, "w.yaml", actions=actions)
    except InvalidFile as error:
        assert error.problems
        assert all(each.place.line > 0 and each.place.column > 0 for each in error.problems)
        assert "\n" not in str(error)
        return "invalid"
    host = Host(actions, {}, {"token": "hush"}, lambda _event: None, sleep, random.random)
    try:
        state = asyncio.run(run(workflow, given_input, host))
    except (WorkflowFailed, TemplateError) as error:  # the latter for settings
        assert error.message
        return "failed"
    assert isinstance(state, dict)
    return "done"


@bounded(300)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_a_workflow_or_an_invalid_file(data: bytes, actions: Registry) -> None:
    assert end_of(data.decode("utf-8", "replace"), {}, actions) in ("invalid", "failed", "done")


@bounded(200)
@given(data=st.data())
def test_a_mutated_workflow_ends_with_a_state_or_an_error_of_the_engine(
    data: st.DataObject, actions: Registry
) -> None:
    text = data.draw(st.sampled_from(WORKFLOWS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        new = data.draw(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=3)))
        text = text[:start] + new + text[end:]
    assert end_of(text, {"n": 1, "s": "x"}, actions) in ("invalid", "failed", "done")


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
OPERATIONS = [
    "state.a + state.b", "state.a ~ state.b", "state.a / state.b", "state.a % state.b",
    "state.a * state.b", "state.a // state.b", "state.a - state.b", "-state.a",
    "state.a < state.b", "state.a in state.b", "state.a == state.b", "state.a[state.b]",
    "state.a[1:]", "state.a | sort", "state.a | unique", "state.a | join(state.b)",
    "state.a | length", "state.a | tojson", "state.a | fromjson", "state.a | sum", "state.a | min",
    "state.a | int", "state.a | float", "state.a | round(state.b)", "state.a | truncate(state.b)",
    "state.a | indent(state.b)", "state.a | replace(state.b, 'x')", "state.a | groupby('k')",
    "state.a | map(attribute='k')", "state.a | selectattr('k')", "state.a | reverse",
    "state.a | first", "state.a | last", "state.a | wordcount", "state.a | sha256",
    "state.a | default(state.b)", "state.a.get(state.b)", "state.a.items()", "state.a.split()",
    "state.a.replace(state.b, state.a)", "range(state.a)", "state.a if state.b else 'c'",
]  # fmt: skip


@bounded(300)
@given(operation=st.sampled_from(OPERATIONS), a=JSON_VALUES, b=JSON_VALUES)
def test_every_operation_on_any_values_gives_a_value_or_fails_its_node(
    operation: str, a: Any, b: Any, actions: Registry
) -> None:
    text = f"""
nodes:
  - name: alone
    uses: template
    with: {{template: "{{{{ {operation} }}}}"}}
    output: alone
  - name: text
    uses: template
    with: {{template: "<{{{{ {operation} }}}}>"}}
    output: text
  - name: judge
    goto: [{{if: "{operation}", to: __end__}}, {{to: __end__}}]
"""
    assert end_of(text, {"a": a, "b": b}, actions) in ("failed", "done")
