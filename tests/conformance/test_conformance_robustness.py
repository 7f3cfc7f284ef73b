"""Whatever the text and the input, load and run end with a state or with an error of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from . import judge
from .judge import Engine
from .sandbox import Sandbox
from .suite import Case, load_cases


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
    if "workflow" in case.data
    and "rust" not in case.data.get("refused_by", {})
    and case.name.split("/")[1] not in ("values", "expressions", "texts")  # one line each
]
FRAGMENTS = [
    "{{", "}}", "{%", "%}", "{#", "[", "]", "{", "}", "|", ":", "- ", "\n", "  ", "'", '"', "&a ",
    "*a", "<<: ", "!!int ", "null", "-1", "1e400", "\x00", "\ufeff", "é", "goto: a",
    "name: a", "nodes:", "edges:", "state.x", "loop", "range(9)", "| default", "| tojson", "~", "%",
]  # fmt: skip


def end_of(engine: Engine, text: str, given_input: dict[str, Any], root: Path) -> str:
    """Load and run; return how it ended. Any other end is a fault of the engine."""
    case = Case("made", {"workflow": text, "input": given_input, "secrets": {"token": "hush"}})
    (outcome,) = engine.play(Sandbox(case, root))
    # There is no model to ask; that a text does ask is no fault.
    assert [each for each in outcome.faults if not each.startswith("one request more")] == []
    if outcome.problems is not None:
        assert outcome.problems
        assert all(each["line"] > 0 and each["column"] > 0 for each in outcome.problems)
        return "invalid"
    if outcome.failure is not None:
        assert outcome.failure["message"]
        return "failed"
    assert isinstance(outcome.state, dict)
    return "done"


@bounded(300)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_end_well(data: bytes, engine: Engine, tmp_path: Path) -> None:
    end_of(engine, data.decode("utf-8", "replace"), {}, tmp_path)


@bounded(200)
@given(data=st.data())
def test_a_mutated_workflow_ends_well(data: st.DataObject, engine: Engine, tmp_path: Path) -> None:
    text = data.draw(st.sampled_from(WORKFLOWS))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 12)))
        new = data.draw(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=3)))
        text = text[:start] + new + text[end:]
    end_of(engine, text, {"n": 1, "s": "x"}, tmp_path)


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
def test_an_operation_on_any_values_ends_well(
    operation: str, a: Any, b: Any, engine: Engine, tmp_path: Path
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
    assert end_of(engine, text, {"a": a, "b": b}, tmp_path) in ("failed", "done")


def deep(opening: str, middle: str, closing: str, times: int) -> str:
    """Nesting of ``times`` levels."""
    return opening * times + middle + closing * times


NESTED = [
    ("(", "1", ")"), ("[", "1", "]"), ("{'a': ", "1", "}"), ("not ", "1", ""), ("- ", "1", ""),
    ("+ ", "1", ""), ("1 + ", "1", ""), ("'a' ~ ", "1", ""), ("1 if 1 else ", "1", ""),
    ("1 < ", "1", ""), ("", "state", ".a"), ("", "state", "[0]"), ("", "1", "|string"),
    ("", "1", " is number"), ("", "''", ".upper()"), ("'' | default(", "1", ")"),
]  # fmt: skip
STATEMENTS = [
    ("{% if 1 %}", "x", "{% endif %}"), ("{% for x in [1] %}", "x", "{% endfor %}"),
    ("{% set x %}", "x", "{% endset %}"), ("{% set x = 1 %}", "", ""),
]  # fmt: skip


def node(template: str) -> str:
    """A workflow of one template."""
    return f'nodes:\n  - name: a\n    uses: template\n    with: {{template: "{template}"}}\n'


# Python's engine compiles what is nested by way of Jinja2, which takes minutes; its limit of depth
# is shown by templates/expressions.
COMPILED = [name for name in judge.names() if name != "python"]

if COMPILED:

    @pytest.mark.parametrize("name", COMPILED)
    @pytest.mark.parametrize("times", [20, 60, 100, 150, 250, 1000, 20_000])
    def test_deep_nesting_ends_nothing(
        times: int, name: str, engines: dict[str, Engine], tmp_path: Path
    ) -> None:
        expressions = [deep(*parts, times) for parts in NESTED]
        texts = [node(f"{{{{ {each} }}}}") for each in expressions]
        texts += [
            f'nodes:\n  - name: a\n    run: {{type: expression, value: "{each}"}}\n'
            for each in expressions
        ]
        texts += [node(deep(*parts, times)) for parts in STATEMENTS]
        texts.append(node("{% if 1 %}" + "{% elif 1 %}" * times + "{% endif %}"))
        texts += ["[" * times, "- " * times, "initial_state: " + "{a: " * times + "1"]
        for text in texts:
            end_of(engines[name], text, {}, tmp_path)
