"""Runs of whole workflows: bodies, state, routing, errors, events, secrets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from the_edge_agent.actions.registry import ActionSpec, Call
from the_edge_agent.errors import ModelError, TeaError, WorkflowFailed

from .engine import Played, play


def expression(name: str, value: str, key: str = "result", more: str = "") -> str:
    run = f'{{type: expression, value: "{value}", output_key: {key}}}'
    return f"- {{name: {name}, run: {run}{more}}}\n"


# A list of nodes, the input, and the final state.
STATES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    # what a result does to the state
    ("- {name: a, uses: template, with: {template: 5}}", {}, {"result": 5}),
    ("- {name: a, uses: template, with: {template: {x: 1}}}", {"x": 0}, {"x": 1}),
    ("- {name: a, uses: template, with: {template: [1]}, output: k}", {}, {"k": [1]}),
    ("- {name: a, uses: template, with: {template: {x: 1}}, output: k}", {}, {"k": {"x": 1}}),
    (
        "- {name: a, uses: template, with: {template: {x: 1}}, output: {y: '{{ result.x + 1 }}',"
        " z: {w: ['{{ action_result.x }}', 7]}, c: null}}",
        {},
        {"y": 2, "z": {"w": [1, 7]}, "c": None},
    ),
    ("- {name: a, uses: template, with: {template: {x: 1}}, output: {}}", {}, {}),
    ("- {name: a, uses: template, with: {template: null}}", {}, {"result": None}),
    (
        "- {name: a, uses: template, with: {template: '{{ state.n }}'}}",
        {"n": "42"},
        {"n": "42", "result": "42"},
    ),
    # run
    ("- {name: a, run: 'return {\"x\": 1}'}", {}, {"x": 1}),
    ("- {name: a, run: 'return [1, (2, 3)]'}", {}, {"result": [1, [2, 3]]}),
    ("- {name: a, script: 'return'}", {}, {"result": None}),
    (
        "- name: a\n  run: |\n    import re\n    def f(): return 1\n    class C: pass\n    x = f()\n    _y = 2",  # noqa: E501 - one line of YAML
        {},
        {"x": 1},
    ),
    ("- name: a\n  run: |\n    x = 'return 1'  # return 2", {}, {"x": "return 1"}),
    (
        "- name: a\n  run: |\n    if state.get('n'):\n      return {'y': 1}\n    x = 2",
        {"n": 1},
        {"n": 1, "y": 1},
    ),
    (
        "- name: a\n  run: |\n    x = [json.dumps(v) for v in state['l']]\n    return {'x': x}",
        {"l": [1, None]},
        {"l": [1, None], "x": ["1", "null"]},
    ),
    (
        '- {name: a, run: \'x = {"{{ variables.v }}": {"a": {{ settings.max_iterations }}}}\'}',
        {},
        {"x": {"V": {"a": 50}}},
    ),
    ("- {name: a, run: \"x = f'{{{1 + 1}}}'\"}", {}, {"x": "{2}"}),
    ("- {name: a, run: 'x = \"${v}\"'}", {}, {"x": "V"}),
    (
        '- {name: a, run: \'l = state["l"]; l.append(2); return {"l": l}\'}',
        {"l": [1]},
        {"l": [1, 2]},
    ),
    ("- {name: a, run: 'state[\"x\"] = 1; return state'}", {"y": 0}, {"y": 0, "x": 1}),
    # expressions
    (expression("a", "state.n + 1"), {"n": 1}, {"n": 1, "result": 2}),
    (expression("a", "{{ state.n }}!", "k"), {"n": 1}, {"n": 1, "k": "1!"}),
    (expression("a", "state.q"), {}, {"result": None}),
    ("- {name: a, run: {type: expression, value: true, output_key: k}}", {}, {"k": True}),
    # steps
    (
        "- name: a\n  steps:\n  - {run: 'x = 1'}\n  - {uses: template, with: {template: '{{ state.x + 1 }}'},"  # noqa: E501 - one line of YAML
        " output: y, name: second}\n  - run: {type: expression, value: state.x + state.y}",
        {},
        {"x": 1, "y": 2, "result": 3},
    ),
    # loops
    (
        "- name: a\n  type: while_loop\n  condition: state.n < 3\n  max_iterations: 3\n  body:\n"
        "  " + expression("b", "state.n + 1", "n") + "  - {name: c, run: 'm = state[\"n\"] * 2'}",
        {"n": 0},
        {"n": 3, "m": 6},
    ),
    (
        "- {name: a, type: while_loop, condition: false, max_iterations: 1, body: [{name: b, uses: fail}]}",  # noqa: E501 - one line of YAML
        {},
        {},
    ),
    # the other actions
    (
        "- {name: a, uses: json.parse, with: {text: '{\"x\": [1, 2.5]}'}, output: k}",
        {},
        {"k": {"data": {"x": [1, 2.5]}, "success": True}},
    ),
    (
        "- {name: a, uses: json.stringify, with: {data: {é: 1}, indent: 1}}",
        {},
        {"text": '{\n "é": 1\n}', "success": True},
    ),
    (
        "- {name: a, uses: json.stringify, with: {data: [1, 'a']}}",
        {},
        {"text": '[1, "a"]', "success": True},
    ),
    (
        "- {name: a, uses: memory.store, with: {key: k, value: [1]}, output: {}}\n"
        "- {name: b, uses: memory.retrieve, with: {key: k}}",
        {},
        {"value": [1], "found": True, "success": True},
    ),
    (
        "- {name: a, uses: memory.retrieve, with: {key: k, default: d}}",
        {},
        {"value": "d", "found": False, "success": True},
    ),
    (
        "- {name: a, uses: memory.retrieve, with: {key: k}}",
        {},
        {"value": None, "found": False, "success": True},
    ),
]


@pytest.mark.parametrize(("nodes", "given", "state"), STATES, ids=range(len(STATES)))
def test_run_ends_with_its_state(nodes: str, given: Any, state: Any) -> None:
    head = "variables: {v: V}\nsettings: {max_iterations: 50}\n"
    played = play(f"{head}nodes:\n{nodes}", given)
    assert played.error is None
    assert json.dumps(played.state) == json.dumps(state)


def test_input_is_laid_over_the_initial_state_key_by_key() -> None:
    text = "initial_state: {a: {x: 1}, b: '{{ state.a }}'}\nnodes: [{name: n}]"
    assert play(text, {"a": {"y": 2}}).state == {"a": {"y": 2}, "b": "{{ state.a }}"}


# Nodes n1, n2, n3 that note their names; the given goto and edges; the way that is gone.
WAYS: list[tuple[dict[str, str], str, str]] = [
    ({}, "", "n1 n2 n3"),
    ({"n1": "n3"}, "", "n1 n3"),
    ({"n1": "__end__"}, "", "n1"),
    ({"n1": "[{if: a, to: n2}, {to: n3}]"}, "", "n1 n3"),
    ({"n1": "[{if: a, to: n2}, {if: one, to: n3}, {to: n2}]"}, "", "n1 n3"),
    ({"n1": "[{if: result == 'n1', to: n3}]"}, "", "n1 n3"),
    ({"n1": "[{if: state.last == 'n1', to: n3}]"}, "", "n1 n3"),
    ({}, "{from: n1, to: n3}", "n1 n3"),
    ({}, "{from: n1, to: __end__}", "n1"),
    ({}, "{from: n1, to: __end__, when: a}, {from: n1, to: n3}", "n1 n3"),
    ({}, "{from: n1, to: n3, when: one}, {from: n1, to: n2}", "n1 n3"),
    ({}, "{from: n1, to: n3, condition: one, when: false}, {from: n1, to: n2}", "n1 n2 n3"),
    ({}, "{from: n1, to: n3, condition: one, when: true}, {from: n1, to: n2}", "n1 n3"),
    ({}, "{from: n1, to: n3, condition: a, when: false}, {from: n1, to: n2}", "n1 n3"),
    ({}, "{from: n1, to: n3, condition: {type: expression, value: one}}", "n1 n3"),
    ({}, "{from: __start__, to: n3}", "n3"),
    ({}, "{from: __start__, to: n2, when: a}, {from: __start__, to: n3}", "n3"),
    ({}, "{from: __start__, to: __end__, when: one}, {from: __start__, to: n1}", ""),
    ({"n1": "n2"}, "{from: n1, to: n3}", "n1 n2 n3"),
]


@pytest.mark.parametrize(("goto", "edges", "way"), WAYS, ids=range(len(WAYS)))
def test_rules_lead_where_the_first_that_holds_says(
    goto: dict[str, str], edges: str, way: str
) -> None:
    nodes = "".join(
        expression(name, f"'{name}'", "last", f", goto: {goto[name]}" if name in goto else "")
        for name in ("n1", "n2", "n3")
    )
    played = play(f"nodes:\n{nodes}edges: [{edges}]", {"one": 1})
    assert played.error is None
    assert " ".join(played.completed) == way


LOST = {
    "nodes: [{name: n, goto: [{if: a, to: n}]}]": "no goto rule of n holds: a → n",
    "nodes: [{name: n}]\nedges: [{from: n, to: n, condition: a}, {from: n, to: n, condition: b,"
    " when: true}]": "no edge of n holds: a → n, b = true → n",
    "nodes: [{name: n}]\nedges: [{from: __start__, to: n, when: a}]": "no edge of __start__ holds",
    "nodes: [{name: n, goto: [{if: state.a > 1, to: n}]}]": "cannot order",
}


@pytest.mark.parametrize("text", LOST)
def test_run_without_a_rule_that_holds_fails(text: str) -> None:
    played = play(text, {} if "> 1" not in text else {"a": "x"})
    assert isinstance(played.error, WorkflowFailed)
    assert LOST[text] in played.error.message
    assert played.error.cause.kind == "TemplateError"


FAILURES: list[tuple[str, str, str, str]] = [
    ("- {name: a, uses: fail, with: {message: broken}}", "ActionError", "fail", "broken"),
    (
        "- {name: a, uses: template, with: {template: 'x {{ state.q }}'}}",
        "TemplateError",
        "template",
        "template: state.q is missing",
    ),
    (
        "- {name: a, uses: template, with: {template: x}, output: {k: 'x{{ result.y }}'}}",
        "TemplateError",
        "template",
        "k: result.y is missing",
    ),
    (
        "- {name: a, uses: template, with: {template: '{{ range(999999) }}'}}",
        "LimitError",
        "template",
        "range",
    ),
    (
        "- {name: a, run: 'return 1/0'}",
        "ZeroDivisionError",
        "run",
        "division by zero (line 1 of the code)",
    ),
    ("- {name: a, run: 'return state[\"q\"]'}", "KeyError", "run", "'q'"),
    ("- {name: a, run: 'import sys; sys.exit(3)'}", "SystemExit", "run", "3"),
    ("- {name: a, run: 'return {1, 2}'}", "TypeError", "run", "set is not JSON data"),
    ("- {name: a, run: 'x = open'}\n", "", "", ""),
    ("- {name: a, run: 'x = float(\"inf\")'}", "TypeError", "run", "x: infinity"),
    ("- {name: a, run: 'm = object()'}", "TypeError", "run", "m: a value of type object"),
    ("- {name: a, run: 'return {1: 2}'}", "TypeError", "run", "key"),
    ("- {name: a, run: 'del state[\"t\"]'}", "TypeError", "run", "state['t']"),
    ("- {name: a, run: 'state = {}'}", "TypeError", "run", "state"),
    ("- {name: a, run: 'x = {{ settings.q }}'}", "TemplateError", "run", "missing"),
    ("- {name: a, run: 'x = 1 {{ settings.llm.model }}'}", "SyntaxError", "run", "line 1"),
    (
        "- {name: a, run: {type: expression, value: state.q + 1}}",
        "TemplateError",
        "run",
        "state.q is missing",
    ),
    ("- {name: a, steps: [{run: 'x = 1'}, {uses: fail}]}", "ActionError", "fail", "it failed"),
    ("- {name: a, uses: json.parse, with: {text: '{'}}", "ActionError", "json.parse", "not JSON"),
    (
        "- {name: a, uses: json.parse, with: {text: '{{ [1] }}'}}",
        "ActionError",
        "json.parse",
        "text: expected text",
    ),
    (
        "- {name: a, uses: memory.store, with: {key: '{{ 5 }}', value: 1}}",
        "ActionError",
        "memory.store",
        "key",
    ),
    (
        "- {name: a, uses: json.stringify, with: {data: 1, indent: '{{ -1 }}'}}",
        "ActionError",
        "json.stringify",
        "indent",
    ),
    ("- {name: a, uses: crash}", "ActionError", "crash", "RuntimeError: a bug"),
    (
        "- {name: a, type: while_loop, condition: true, max_iterations: 2, body: [{name: b}]}",
        "LimitError",
        "while_loop",
        "after 2 passes",
    ),
    (
        "- {name: a, type: while_loop, condition: state.t > 1, max_iterations: 2, body: [{name: b}]}",  # noqa: E501 - one line of YAML
        "TemplateError",
        "while_loop",
        "cannot order",
    ),
]


async def crash(call: Call) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(("node", "kind", "action", "words"), FAILURES, ids=range(len(FAILURES)))
def test_failing_node_ends_the_run_and_says_what_failed(
    node: str, kind: str, action: str, words: str
) -> None:
    text = f"settings: {{llm: {{model: '= 2'}}}}\nnodes:\n{node}"
    played = play(text, {"t": "x"}, crash=ActionSpec(crash, frozenset()))
    if not kind:
        assert played.error is None
        return
    error = played.error
    assert isinstance(error, WorkflowFailed)
    assert (error.cause.kind, error.action, error.node, error.exit_code) == (kind, action, "a", 1)
    assert words in error.message
    data = {"type": kind, "message": error.cause.message, "node": "a", "action": action}
    assert played.events[-1] == {"type": "error", "node": "a", "error": {**data, "retry_count": 0}}


def test_a_failing_model_has_an_exit_code_of_its_own() -> None:
    async def run(call: Call) -> None:
        raise ModelError("no model found", hint="get one")

    played = play("nodes: [{name: a, uses: own}]", own=ActionSpec(run, frozenset()))
    assert played.error is not None
    assert played.error.exit_code == 3
    assert str(played.error) == "node a: no model found (get one)"


FAIL = "nodes:\n- {name: a, uses: fail%s}\n- {name: b}\n- {name: c}\n"
FLAKY = "nodes:\n- {name: a, uses: flaky, with: {times: %d}, %s}\n- {name: b}\n- {name: c}\n"

# A workflow, the waits, the way, the retries in __error__ (None: no error is left).
HANDLED: list[tuple[str, list[float], str, int | None]] = [
    (FAIL % ", on_error: {mode: graceful}", [], "a b c", 0),
    (FAIL % ", on_error: {mode: graceful, fallback: c}", [], "a c", 0),
    (FAIL % ", fallback: c", [], "a c", 0),
    (FAIL % ", on_error: {fallback: c}", [], "a c", 0),
    ("settings: {error_handling: {mode: graceful}}\n" + FAIL % "", [], "a b c", 0),
    ("settings: {error_handling: {mode: graceful, fallback: c}}\n" + FAIL % "", [], "a c", 0),
    ("settings: {error_handling: {mode: '{{ env.MODE }}'}}\n" + FAIL % "", [], "a b c", 0),
    ("settings: {error_handling: {mode: raise}}\n" + FAIL % ", fallback: c", [], "a c", 0),
    (
        "settings: {error_handling: {mode: retry, max_retries: 1}}\n" + FAIL % ", fallback: c",
        [1],
        "a c",
        1,
    ),
    (FLAKY % (2, "on_error: {mode: retry}"), [1, 2], "a b c", None),
    (FLAKY % (9, "on_error: {mode: retry}"), [1, 2, 4], "a b c", 3),
    (FLAKY % (9, "on_error: {mode: retry, max_retries: 0}"), [], "a b c", 0),
    (FLAKY % (9, "on_error: {max_retries: 1, fallback: c}"), [1], "a c", 1),
    (
        FLAKY % (9, "on_error: {mode: retry, retry_delay: 0.5, backoff_multiplier: 3}"),
        [0.5, 1.5, 4.5],
        "a b c",
        3,
    ),
    (
        FLAKY % (9, "on_error: {mode: retry, retry_delay: 20, max_retries: 4}"),
        [20, 40, 60, 60],
        "a b c",
        4,
    ),
    (FLAKY % (9, "on_error: {mode: retry, retry_delay: 99, max_retries: 1}"), [60], "a b c", 1),
    (FLAKY % (2, "retry: {}"), [1, 2], "a b c", None),
    (
        FLAKY % (9, "retry: {max_retries: 2, base_delay_ms: 100, max_delay_ms: 150}"),
        [0.1, 0.15],
        "a b c",
        2,
    ),
    (
        FLAKY % (9, "retry: {max_retries: 3, backoff_multiplier: 1}, fallback: c"),
        [1, 1, 1],
        "a c",
        3,
    ),
    (FLAKY % (9, "retry: {max_retries: 2, jitter: true}"), [0.75, 1.5], "a b c", 2),
    (FLAKY % (9, "on_error: {mode: retry, retryable_errors: [Timeout]}"), [], "a b c", 0),
    (FLAKY % (9, "on_error: {max_retries: 1, retryable_errors: ActionError}"), [1], "a b c", 1),
]


@pytest.mark.parametrize(("text", "waits", "way", "retries"), HANDLED, ids=range(len(HANDLED)))
def test_error_handling_waits_and_goes_on_as_told(
    text: str, waits: list[float], way: str, retries: int | None
) -> None:
    played = play(text, env={"MODE": "graceful"})
    assert played.error is None
    assert played.sleeps == pytest.approx(waits)
    assert " ".join(played.completed) == way
    left = played.state.get("__error__")
    assert (left["retry_count"] if left else None) == retries
    if left:
        assert (left["type"], left["node"]) == ("ActionError", "a")
        assert left["action"] in ("fail", "flaky")


def test_a_node_that_fails_in_its_steps_leaves_only_its_error() -> None:
    text = "nodes: [{name: a, on_error: {mode: graceful}, steps: [{run: x = 1}, {uses: fail}]}]"
    assert list(play(text).state) == ["__error__"]


def test_raise_on_the_node_goes_before_the_settings() -> None:
    head = "settings: {error_handling: {mode: graceful}}\n"
    assert play(head + FAIL % ", on_error: {mode: raise}").error is not None


def test_a_failure_in_a_loop_can_leave_it_by_its_fallback() -> None:
    text = (
        "nodes:\n- {name: a, type: while_loop, condition: true, max_iterations: 5, body: "
        "[{name: b, run: x = 1}, {name: c, uses: fail, fallback: e}]}\n- {name: d}\n- {name: e}\n"
    )
    played = play(text)
    assert played.completed == ["b", "c", "a", "e"]
    assert played.state["x"] == 1
    assert played.state["__error__"]["node"] == "c"


def test_a_handled_failure_in_a_loop_names_the_inner_node() -> None:
    text = (
        "nodes:\n- {name: a, type: while_loop, condition: true, max_iterations: 5, "
        "on_error: {mode: graceful}, body: [{name: b, uses: fail}]}"
    )
    assert play(text).state["__error__"]["node"] == "b"


def test_a_rule_that_cannot_be_judged_goes_to_the_fallback() -> None:
    text = "nodes: [{name: a, run: x = 1, goto: [{if: q, to: a}], fallback: b}, {name: b}]"
    played = play(text)
    assert played.completed == ["a", "a", "b"]
    assert played.state["__error__"]["type"] == "TemplateError"


@pytest.mark.parametrize("handling", ["", ", on_error: {mode: graceful}", ", retry: {}"])
def test_a_run_without_end_fails_at_its_limit(handling: str) -> None:
    head = "settings: {max_iterations: 7}\n"
    played = play(f"{head}nodes: [{{name: a, goto: a, run: x = 1{handling}}}]")
    assert isinstance(played.error, WorkflowFailed)
    assert played.error.cause.kind == "LimitError"
    assert played.completed == ["a"] * 7
    assert "limit of 7" in played.error.message


def test_the_runs_in_a_loop_count_and_the_limit_is_a_thousand() -> None:
    text = (
        "nodes:\n- {name: a, type: while_loop, condition: true, max_iterations: 1000, "
        "body: [{name: b}]}"
    )
    played = play(text)
    assert isinstance(played.error, WorkflowFailed)
    assert "limit of 1000 node runs" in played.error.message
    assert played.completed == ["b"] * 999


def test_the_limit_ends_a_run_inside_a_loop_that_handles_errors() -> None:
    text = (
        "settings: {max_iterations: 5}\nnodes:\n- {name: a, type: while_loop, condition: true, "
        "max_iterations: 9, on_error: {mode: graceful}, body: [{name: b}]}\n- {name: c}"
    )
    played = play(text)
    assert isinstance(played.error, WorkflowFailed)
    assert "limit of 5" in played.error.message
    assert played.completed == ["b"] * 4


SETTINGS = {
    "llm: {temperature: '{{ env.T | float }}', model: 'm-{{ variables.v }}'}": {
        "llm": {"temperature": 0.5, "model": "m-V"}
    },
    "llm: {api_key: '{{ env.NONE }}', seed: 7}": {"llm": {"seed": 7}},
    "llm: {stop: ['${v}', 'x${v}']}": {"llm": {"stop": ["V", "xV"]}},
    "max_iterations: '{{ env.T | float * 20 | int }}'": None,
    "llm: {temperature: '{{ env.T }}'}": None,
    "llm: {api_base: 'http://{{ env.NONE }}/'}": None,
    "error_handling: {mode: '{{ env.T }}'}": None,
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_are_rendered_once_and_checked(settings: str) -> None:
    seen: list[Any] = []

    async def look(call: Call) -> None:
        seen.append(dict(call.settings))

    text = f"variables: {{v: V}}\nsettings: {{{settings}}}\nnodes: [{{name: a, uses: look}}]"
    played = play(text, env={"T": "0.5"}, look=ActionSpec(look, frozenset()))
    if SETTINGS[settings] is None:
        assert isinstance(played.error, TeaError)
        assert played.error.message.startswith("settings")
        assert [event["type"] for event in played.events] == ["start", "error"]
    else:
        assert seen == [SETTINGS[settings]]


def test_events_tell_the_run_as_it_happens() -> None:
    text = (
        "name: w\nnodes:\n- {name: a, uses: say, with: {pieces: [he, llo]}, output: x}\n"
        "- {name: b}\n"
    )
    assert play(text).events == [
        {"type": "start", "workflow": "w"},
        {"type": "token", "node": "a", "text": "he"},
        {"type": "token", "node": "a", "text": "llo"},
        {"type": "node_complete", "node": "a", "update": {"x": "hello"}},
        {"type": "node_complete", "node": "b", "update": {}},
        {"type": "complete", "state": {"x": "hello"}},
    ]


SECRET = "s3cret-of-the-house"
LEAKS = [
    "{uses: template, with: {template: '{{ secrets.k }}'}}",
    "{uses: template, with: {template: {'x': ['a {{ secrets.k }} b']}}}",
    "{uses: template, with: {template: '{{ secrets }}'}}",
    "{uses: memory.store, with: {key: k, value: '{{ secrets.deep[0].k }}'}}",
    "{uses: fail, with: {message: 'no {{ secrets.k }}'}}",
    "{uses: fail, with: {message: 'no {{ secrets.k }}'}, on_error: {mode: graceful}}",
    "{uses: template, with: {template: 'x{{ {}[secrets.k] }}'}}",
    "{uses: template, with: {template: '{{ {}[secrets.k] + 1 }}'}}",
    "{uses: template, with: {template: '{{ secrets.n }}'}}",
    "{uses: say, with: {pieces: ['x s3cret', '-of-the', '-house y']}}",
    "{uses: say, with: {pieces: ['s', '3', 'cret-of-the-house', 's3cret-of-']}}",
    "{uses: crash_with, with: {text: '{{ secrets.k }}'}}",
]


def everything(played: Played) -> str:
    error = str(played.error), repr(played.error), played.error and played.error.__cause__
    return json.dumps([played.state, played.events, str(error)])


@pytest.mark.parametrize("node", LEAKS)
def test_secrets_reach_neither_state_nor_events_nor_messages(node: str) -> None:
    async def crash_with(call: Call) -> None:
        raise RuntimeError(call.params["text"])

    text = f"nodes:\n- {{name: a, {node[1:-1]}}}\n- {{name: b}}"
    secrets = {"k": SECRET, "deep": [{"k": SECRET}], "n": 987654321}
    spec = ActionSpec(crash_with, frozenset({"text"}))
    shown = everything(play(text, secrets=secrets, crash_with=spec))
    assert SECRET not in shown
    assert "987654321" not in shown


def test_a_masked_stream_loses_nothing_else() -> None:
    text = "nodes: [{name: a, uses: say, with: {pieces: [x s3c, ret-of-the, -house y s, 3c]}}]"
    played = play(text, secrets={"k": SECRET})
    said = "".join(event["text"] for event in played.events if event["type"] == "token")
    assert said == "x *** y s3c"
    assert played.state["result"] == "x *** y s3c"


def test_a_secret_that_overlaps_itself_is_masked_in_a_stream() -> None:
    text = "nodes: [{name: a, uses: say, with: {pieces: [abca, bc]}}]"
    played = play(text, secrets={"k": "abcabc"})
    said = "".join(event["text"] for event in played.events if event["type"] == "token")
    assert said == "***"


def test_a_secret_reaches_the_action_that_asks_for_it() -> None:
    seen: list[Any] = []

    async def look(call: Call) -> None:
        seen.append(call.params)

    text = "nodes: [{name: a, uses: look, with: {key: 'Bearer {{ secrets.k }}'}}]"
    play(text, secrets={"k": SECRET}, look=ActionSpec(look, frozenset({"key"})))
    assert seen == [{"key": f"Bearer {SECRET}"}]


def test_short_secrets_do_not_mask_parts_of_words() -> None:
    text = "nodes: [{name: a, uses: template, with: {template: ['1', 'a 1', 1, true]}}]"
    assert play(text, secrets={"debug": "1"}).state["result"] == ["***", "a 1", 1, True]


def test_an_action_cannot_change_the_state_by_its_parameters() -> None:
    async def spoil(call: Call) -> None:
        call.params["l"].append(2)

    text = "nodes: [{name: a, uses: spoil, with: {l: '{{ state.l }}'}, output: {}}]"
    played = play(text, {"l": [1]}, spoil=ActionSpec(spoil, frozenset({"l"})))
    assert played.state == {"l": [1]}


def test_code_that_changes_the_state_itself_is_warned_of_once() -> None:
    change = "- {{name: {0}, run: 'state[\"xs\"].append(1)'}}\n"
    with pytest.warns(UserWarning, match=r'w\.yaml:2:3.*"a" changes state\["xs"\]') as caught:
        played = play("nodes:\n" + change.format("a") + change.format("b"), {"xs": []})
    assert (played.state, len(caught)) == ({"xs": [1, 1]}, 1)


def test_what_code_prints_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    play("nodes: [{name: a, run: 'print(1)'}]")
    assert capsys.readouterr() == ("", "1\n")
