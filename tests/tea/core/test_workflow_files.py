"""What a workflow file may hold, and how what is wrong with it is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from the_edge_agent.actions.registry import ActionSpec, Call
from the_edge_agent.errors import InvalidFile
from the_edge_agent.schema.check import Problem

from .engine import check, problems


def in_node(body: str) -> str:
    return f"nodes:\n- name: a\n  {body}\n"


# A file, and for each of its problems the place and some words of it.
WRONG: dict[str, list[tuple[str, str]]] = {
    "just text": [("1:1", "a workflow is a map")],
    "name: x": [("1:1", "needs nodes")],
    "nodes: []": [("1:1", "needs nodes")],
    "nodes:": [("1:1", "needs nodes")],
    "nodes: {}": [("1:8", "expected a list")],
    "nodes: [a]": [("1:9", "expected a node")],
    "nodes: [{}]": [("1:9", "no name")],
    "nodes: [{name: 1}]": [("1:16", "expected text, not empty, got 1")],
    'nodes: [{name: ""}]': [("1:16", "expected text")],
    "nodes: [{name: __end__}]": [("1:9", "__end__ is taken")],
    "nodes: [{name: a}, {name: a}]": [("1:20", "second node")],
    "name: 1\nversion: 1.0\ndescription: []\nnodes: [{name: a}]": [
        ("1:7", "expected text"),
        ("2:10", "got 1.0"),
        ("3:14", "expected text"),
    ],
    "imports: []\nextends: {}\nconfig: {interrupt_before: [a]}\nnodes: [{name: a}]": [
        ("1:1", "is not supported here"),
        ("2:1", "is not supported here"),
        ("3:10", "is not supported here"),
    ],
    "varibles: {}\nnodes: [{name: a}]": [("1:1", 'did you mean "variables"?')],
    "zzz: {}\nnodes: [{name: a}]": [("1:1", "known: config, data, description, edges")],
    "initial_state: []\nvariables: x\nnodes: [{name: a}]": [
        ("1:16", "expected a map"),
        ("2:12", "expected a map"),
    ],
    "initial_state: {a: [.inf]}\nvariables: {b: .nan}\nnodes: [{name: a}]": [
        ("1:21", "not JSON"),
        ("2:16", "not JSON"),
    ],
    # bodies
    in_node("uses: nope"): [("3:9", 'unknown action "nope"')],
    in_node("uses: templat\n  with: {template: a}"): [("3:9", 'did you mean "template"?')],
    in_node("uses: template"): [("3:9", "template is missing")],
    in_node("uses: template\n  with: {tmplate: a}"): [("4:10", 'did you mean "template"?')],
    in_node("uses: template\n  with: text"): [("4:9", "expected a map")],
    in_node("uses: template\n  action: template\n  with: {template: a}"): [
        ("4:3", "mean the same")
    ],
    in_node("uses: fail\n  with: {}\n  params: {}"): [("5:3", "mean the same")],
    in_node("uses: fail\n  output: a\n  outputs: b"): [("5:3", "mean the same")],
    in_node("uses: fail\n  run: x = 1"): [("2:3", "one body")],
    in_node("uses: fail\n  steps: []"): [("2:3", "one body")],
    in_node("run: x = 1\n  script: x = 2"): [("4:3", "mean the same")],
    in_node("uses: fail\n  output: [a]"): [("4:11", "output")],
    in_node("uses: fail\n  output: ''"): [("4:11", "output")],
    in_node("uses: fail\n  output: '{{ result }}'"): [("4:11", "no template")],
    in_node("uses: fail\n  output: {k: '{{ secrets.s }}'}"): [("4:11", "secrets")],
    in_node("uses: fail\n  with: {message: '{{ result }}'}"): [("4:19", "no name 'result'")],
    in_node("uses: fail\n  with: {message: {deep: ['{{ stat.x }}']}}"): [("4:27", '"state"')],
    in_node("uses: [fail]"): [("3:9", "expected text")],
    in_node("with: {a: 1}"): [("3:3", "no meaning in a node without a body")],
    in_node("output: x"): [("3:3", "no meaning")],
    in_node("retry: {}"): [("3:3", "no meaning")],
    in_node("fallback: a"): [("3:3", "no meaning")],
    in_node("run: x = 1\n  with: {}"): [("4:3", "no meaning in a node with run")],
    in_node("steps: [{run: x = 1}]\n  output: x"): [("4:3", "no meaning in a node with steps")],
    # run
    in_node("run: return 1 +"): [("3:8", "not valid Python: invalid syntax (line 1")],
    in_node("run: |\n    x = 1\n    y = = 2"): [("5:1", "not valid Python")],
    in_node("run: x = " + "-" * 20000 + "1"): [("3:8", "nested too deep")],
    in_node("goto: [{if: '" + "1 + " * 5000 + "1', to: a}]"): [("3:15", "nested too deep")],
    in_node("uses: fail\n  with: {message: '{{ " + "1 + " * 5000 + "1 }}'}"): [
        ("4:19", "nested too deep")
    ],
    in_node("run: 'break'"): [("3:8", "'break' outside loop")],
    in_node("run: ''"): [("3:3", "no code")],
    in_node("run: 5"): [("3:8", "expected code")],
    in_node("run: x = {{ state.y }}"): [("3:8", "not filled in")],
    in_node("run: x = {{ variables.y | nope }}"): [("3:8", "no filter")],
    in_node("run: x = {{ variables.y }}"): [("3:8", "variables.y is missing")],
    in_node("run: '-- lua'"): [("3:8", "Lua code is not supported")],
    in_node("run: '% prolog'"): [("3:8", "Prolog code is not supported")],
    in_node("language: lua\n  run: x = 1"): [("3:13", "Lua code is not")],
    in_node("run: {type: lua, code: x}"): [("3:15", "Lua code is not supported")],
    in_node("run: {value: x}"): [("3:8", "it has no type")],
    in_node("run: {type: expression}"): [("3:8", "expected an expression")],
    in_node("run: {type: expression, value: [1]}"): [("3:8", "expected an expression")],
    in_node("run: {type: expression, value: '1 +'}"): [("3:34", "well-formed")],
    in_node("run: {type: expression, value: secrets.x}"): [("3:34", "secrets")],
    in_node("run: {type: expression, value: 1, output: x}"): [("3:37", "output_key")],
    in_node("run: {type: expression, value: 1, output_key: 1}"): [("3:49", "expected text")],
    # steps
    in_node("steps: []"): [("3:3", "there are none")],
    in_node("steps: {}"): [("3:10", "expected a list")],
    in_node("steps: [x]"): [("3:11", "expected a step")],
    in_node("steps: [{}]"): [("3:11", "no body")],
    in_node("steps: [{uses: fail, run: x = 1}]"): [("3:11", "one body")],
    in_node("steps: [{uses: fail, goto: a}]"): [("3:24", "not supported")],
    in_node("steps: [{uses: fail, wiht: {}}]"): [("3:24", '"with"')],
    # loops
    in_node("type: while_loop"): [
        ("2:3", "needs condition"),
        ("2:3", "needs max_iterations"),
        ("2:3", "needs body"),
    ],
    in_node("type: while_loop\n  condition: x\n  max_iterations: 0\n  body: []"): [
        ("5:19", "from 1 to 1000, got 0"),
        ("6:9", "no nodes"),
    ],
    in_node("type: while_loop\n  condition: x\n  max_iterations: 1001\n  body: [{name: b}]"): [
        ("5:19", "from 1 to 1000")
    ],
    in_node("type: while_loop\n  condition: [x]\n  max_iterations: 2\n  body: [{name: a}]"): [
        ("4:14", "a condition"),
        ("6:10", "second node"),
    ],
    in_node(
        "type: while_loop\n  condition: x\n  max_iterations: 2\n  body:\n  - {name: b, goto: a}"
    ): [("7:15", "cannot have goto")],
    in_node(
        "type: while_loop\n  condition: x\n  max_iterations: 2\n  body:\n"
        "  - {name: b, type: while_loop, condition: x, max_iterations: 1, body: [{name: c}]}"
    ): [("7:5", "inside a loop")],
    in_node("type: dynamic_parallel\n  items: x"): [
        ("2:3", "exactly one of action, steps, subgraph"),
        ("4:10", "expected a list"),
    ],
    in_node("type: parallel_each"): [("3:9", "not supported")],
    in_node("type: while"): [("3:9", "unknown type of node: while")],
    in_node("strategy: {}"): [("3:3", "not supported")],
    in_node("dynamic_parallel: {}"): [("3:3", "not supported")],
    # rules
    in_node("goto: b"): [("3:9", 'no node "b"')],
    in_node("goto: []"): [("3:9", "not empty")],
    in_node("goto: 5"): [("3:9", "expected the name")],
    in_node("goto:"): [("3:8", "expected the name")],
    in_node("goto: [b]"): [("3:10", "expected a rule")],
    in_node("goto: [{if: x}]"): [("3:10", "no to")],
    in_node("goto: [{if: x y, to: a}]"): [("3:15", "well-formed")],
    in_node("goto: [{when: x, to: a}]"): [("3:11", 'unknown key "when"')],
    in_node("goto: __start__"): [("3:9", 'no node "__start__"')],
    in_node("uses: fail\n  fallback: nope"): [("4:13", "fallback")],
    in_node("uses: fail\n  on_error: {fallback: nope}"): [("4:24", "fallback")],
    in_node("uses: fail\n  on_error: {mode: ignore}"): [("4:20", "one of raise, graceful, retry")],
    in_node("uses: fail\n  on_error: {mod: raise}"): [("4:14", '"mode"')],
    in_node("uses: fail\n  on_error: {max_retries: -1}"): [("4:27", "from 0 on")],
    in_node("uses: fail\n  on_error: {backoff_multiplier: 0.5}"): [("4:34", "from 1 on")],
    in_node("uses: fail\n  on_error: {clear_on_success: true}"): [("4:14", "not supported")],
    in_node("uses: fail\n  retry: {jitter: 1}"): [("4:19", "true or false")],
    in_node("uses: fail\n  retry: {max_retries: 1.5}"): [("4:24", "whole number")],
    in_node("uses: fail\n  retry: 3"): [("4:10", "expected a map")],
    in_node("uses: fail\n  retry: {}\n  on_error: {mode: raise}"): [("4:3", "different things")],
    in_node("uses: fail\n  on_error: {max_retries: 1}\n  retry: {max_retries: 2}"): [
        ("5:3", "different things")
    ],
    in_node("uses: fail\n  fallback: a\n  on_error: {fallback: a}"): [("4:3", "different things")],
    in_node("name: a"): [("3:3", "duplicate key")],
    in_node("timout: 3"): [("3:3", "unknown key")],
    "nodes: [{name: a}]\nedges: {}": [("2:8", "expected a list")],
    "nodes: [{name: a}]\nedges: [a]": [("2:9", "expected an edge")],
    "nodes: [{name: a}]\nedges: [{from: a}]": [("2:9", "no to")],
    "nodes: [{name: a}]\nedges: [{to: a}]": [("2:9", "no from")],
    "nodes: [{name: a}]\nedges: [{from: b, to: __end__}]": [("2:16", "from")],
    "nodes: [{name: a}]\nedges: [{from: __end__, to: a}]": [("2:16", "from")],
    "nodes: [{name: a}]\nedges: [{from: a, to: __start__}]": [("2:23", "to")],
    "nodes: [{name: a}]\nedges: [{from: a, to: [a]}]": [("2:23", "list of targets")],
    "nodes: [{name: a}]\nedges: [{from: a, to: a, type: parallel}]": [("2:9", "needs fan_in")],
    "nodes: [{name: a}]\nedges: [{from: a, targets: [a]}]": [("2:19", "targets")],
    "nodes: [{name: a}]\nedges: [{from: a, to: a, condition: {value: x}}]": [("2:37", "no type")],
    "nodes: [{name: a}]\nedges: [{from: a, to: a, condition: {type: lua, value: x}}]": [
        ("2:37", "type lua")
    ],
    "nodes: [{name: a}]\nedges: [{from: a, to: a, when: 5}]": [("2:32", "a condition")],
    # settings
    "settings: {llm: {backend: gpu}}\nnodes: [{name: a}]": [("1:27", "local, api, auto")],
    "settings: {llm: {temprature: 1}}\nnodes: [{name: a}]": [("1:18", '"temperature"')],
    "settings: {llm: []}\nnodes: [{name: a}]": [("1:17", "expected a map")],
    "settings: {max_iterations: 0}\nnodes: [{name: a}]": [("1:28", "from 1 on")],
    "settings: {max_iteration: 1}\nnodes: [{name: a}]": [("1:12", '"max_iterations"')],
    "settings: {memory: {}}\nnodes: [{name: a}]": [("1:12", "not supported")],
    "settings: {error_handling: {fallback: b}}\nnodes: [{name: a}]": [("1:39", "fallback")],
    "settings: {error_handling: {retry_delay: -1}}\nnodes: [{name: a}]": [("1:42", "from 0 on")],
    "settings: {llm: {model: '{{ state.x }}'}}\nnodes: [{name: a}]": [("1:25", "no name 'state'")],
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: repr(text)[:60])
def test_wrong_file_is_refused_with_all_its_problems(text: str) -> None:
    found = problems(text)
    assert len(found) == len(WRONG[text]), found
    for problem, (place, words) in zip(found, WRONG[text], strict=True):
        assert problem.startswith(f"w.yaml:{place}: ")
        assert words in problem


VALID = [
    "name: null\nnodes: [{name: a}]",
    "version: '1'\ndescription: d\nstate_schema: {a: [1, {b: c}]}\nnodes: [{name: a}]",
    "variables:\ninitial_state:\nsettings:\nedges:\nnodes: [{name: a, description: d}]",
    in_node("uses: template\n  with: {template: '{{ anything'}\n").replace("{{ anything", "{ x"),
    in_node("action: fail\n  params:\n  outputs: k\n  metadata: {any: thing}"),
    in_node("uses: template\n  with: {template: {deep: [1, {er: x}]}}\n  output: {a: {b: 1}}"),
    in_node('run: \'return {"a": {"b": {}}}\''),
    in_node("run: x = {{ settings.llm.n_ctx }}"),
    in_node("goto: [{to: a, if: true}]\n  description:"),
    in_node("goto: __end__"),
    in_node("uses: fail\n  retry:\n  fallback: a\n  on_error: {retryable_errors: ActionError}"),
    "settings: {llm: {seed: '{{ env.SEED }}', api_key: null}, max_iterations: '${n}'}\n"
    "nodes: [{name: a}]",
    "nodes: [{name: a}]\nedges: [{from: a, to: __end__, when: false, condition: state.x}]",
]


@pytest.mark.parametrize("text", VALID, ids=lambda text: repr(text)[:60])
def test_valid_file_is_taken_without_a_word(text: str) -> None:
    assert check(text).warnings == ()


WARNED = {
    "nodes: [{name: a, goto: b}, {name: b, goto: __end__}, {name: c}]\nedges: [{from: a, to: c}]": [
        "1:55: nothing leads"
    ],
    "observability: {any: 1}\nendpoint: {}\nmetadata: {}\nnodes: [{name: a}]": [
        '1:1: "observability"',
        '2:1: "endpoint"',
        '3:1: "metadata"',
    ],
    "settings: {observability: {}}\nnodes: [{name: a}]": ['1:12: "observability"'],
    "nodes: [{name: a}]\nedges: [{from: a, to: __end__, metadata: {}}]": ['2:32: "metadata"'],
    "nodes: [{name: a, goto: __end__}, {name: b}]": ['1:35: nothing leads to the node "b"'],
    "nodes: [{name: a, goto: c}, {name: b}, {name: c}]": ['1:29: nothing leads to the node "b"'],
    "nodes: [{name: a}, {name: b}]\nedges: [{from: __start__, to: b}]": ["1:9: nothing leads"],
    "nodes: [{name: a, goto: b}, {name: b, goto: b}, {name: c, goto: d}, {name: d}]": [
        "1:49: nothing leads",
        "1:69: nothing leads",
    ],
}


@pytest.mark.parametrize("text", WARNED, ids=lambda text: repr(text)[:60])
def test_doubtful_file_is_taken_with_a_warning(text: str) -> None:
    found = [str(warning) for warning in check(text).warnings]
    assert len(found) == len(WARNED[text]), found
    for warning, words in zip(found, WARNED[text], strict=True):
        assert warning.startswith(f"w.yaml:{words}")


REACHED = [
    "nodes: [{name: a, uses: fail, fallback: c, goto: __end__}, {name: c}]",
    "nodes: [{name: a, uses: fail, on_error: {fallback: c}, goto: __end__}, {name: c}]",
    "settings: {error_handling: {fallback: c}}\nnodes: [{name: a, goto: __end__}, {name: c}]",
    "nodes:\n- {name: a, goto: __end__, type: while_loop, condition: x, max_iterations: 1, body:\n"
    "  [{name: b, uses: fail, fallback: c}]}\n- {name: c}",
    "nodes: [{name: a}, {name: b, goto: __end__}, {name: c}]\nedges: [{from: a, to: c, when: x}, "
    "{from: a, to: b}]",
]


@pytest.mark.parametrize("text", REACHED, ids=range(len(REACHED)))
def test_node_that_a_rule_or_a_fallback_leads_to_is_reachable(text: str) -> None:
    assert check(text).warnings == ()


def test_actions_check_known_values_at_load() -> None:
    seen: list[Mapping[str, Any]] = []

    def judge(values: Mapping[str, Any]) -> list[Problem]:
        seen.append(values)
        return [(("n",), "n is too large")]

    async def run(call: Call) -> None:
        return None

    spec = ActionSpec(run, frozenset({"n", "t"}), check=judge)
    found = problems(in_node("uses: own\n  with: {n: 9, t: '{{ state.x }}', z: 1}"), own=spec)
    assert seen == [{"n": 9}]
    assert [problem.split(": ", 1)[0] for problem in found] == ["w.yaml:4:13", "w.yaml:4:36"]


def test_a_problem_names_its_node() -> None:
    (problem,) = problems(in_node("uses: nope"))
    assert problem.startswith("w.yaml:3:9: node a: unknown action")


def test_problems_come_in_the_order_of_the_file() -> None:
    with pytest.raises(InvalidFile) as caught:
        check("nodes: [{name: a, goto: x}]\nedges: [{from: a}]\nzzz: 1\nsettings: {zzz: 1}")
    places = [problem.place for problem in caught.value.problems]
    assert places == sorted(places)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("written", "shown"), [("{b: 1}", '{"b": 1}'), ("", "null"), ("7", "7")])
def test_a_type_that_is_no_text_is_refused_as_it_was_written(written: str, shown: str) -> None:
    with pytest.raises(InvalidFile, match="unknown type of node: " + re.escape(shown)):
        check(f"nodes:\n- name: a\n  type: {written}\n")
