from __future__ import annotations

from typing import Any

import pytest

from the_edge_agent.errors import LimitError, TemplateError
from the_edge_agent.template.template import compile_text
from the_edge_agent.workflow.condition import compile_condition

from .engine import render, scope


def test_a_deeper_template_in_a_value_stays_text() -> None:
    assert render("{{ state.a }}", {"a": "{{ state.b }}"}) == "{{ state.b }}"


def test_a_rendered_value_is_a_copy() -> None:
    state = {"l": [[1]]}
    render("{{ state.l }}", state)[0].append(2)
    assert state == {"l": [[1]]}


RUNAWAYS = [
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "{% for a in range(99999) %}{{ a in state.l }}{% endfor %}",
    "".join(["{% set a = 'aaaaaaaaaa' %}", *["{% set a = a ~ a %}"] * 30]),
    "".join(["{% set a = [1, 2] %}", *["{% set a = [a, a] %}"] * 40, "{{ a }}!"]),
    "".join(["{% set a = [1] %}", *["{% set a = [a] %}"] * 200, "{{ a }}!"]),
    "".join(["{% set a = 3 %}", *["{% set a = a * a %}"] * 60]),
]


@pytest.mark.parametrize("text", RUNAWAYS, ids=range(len(RUNAWAYS)))
def test_runaway_template_ends_with_a_limit_error(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("the_edge_agent.limits.MAX_STEPS", 50_000)
    monkeypatch.setattr("the_edge_agent.value.value.MAX_VALUES", 50_000)
    with pytest.raises(LimitError):
        render(text, {"l": list(range(1000, 2000))})


@pytest.mark.parametrize("text", ["{{ [0] * 99999999999 }}!", "{{ range(99999) | list }}!"])
def test_nothing_is_computed_when_a_template_is_compiled(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(steps: int) -> None:
        raise AssertionError(steps)

    monkeypatch.setattr("the_edge_agent.limits.charge", refuse)
    compile_text(text)


def test_a_long_loop_within_the_limits_is_rendered() -> None:
    text = render("{% for a in range(100000) %}{{ a % 10 }}{% endfor %}")
    assert len(text) == 100_000


CONDITIONS: list[tuple[Any, bool]] = [
    (True, True), (False, False), ("n", True), ("!n", False), ("! n", False), ("q", False),
    ("!q", True), ("z", False), ("off", False), ("word_no", False), ("true", True),
    ("False", False), ("None", False), ("!true", False), ("state.n > 3", True),
    ("state.q > 3", False), ("state.z < 3", False), ("state.n > 3 and not state.z", True),
    ("state.t == 'x'", True), ("'x' in state.t", True), ("{{ state.n }}", True),
    ("{{ state.q }}", False), ("{{ state.zero }}", False), ("{{ state.word_no }}", False),
    ("{% if state.n %}yes{% endif %}", True), ("{% if state.q %}yes{% endif %}", False),
    ("{% if true %} NULL {% endif %}", False), ("'0'", False), ("'0.0'", True), ("[]", False),
    ("[0]", True), ("{'a': 1}", True), ("0", False), ("0.0", False), ("${flag}", True),
    ("${flag} and state.n == ${five}", True), ("'NONE'", False), ("' '", False),
    ("state.off", False), ("result.ok", True),
]  # fmt: skip


@pytest.mark.parametrize(("source", "truth"), CONDITIONS)
def test_condition_has_its_truth(source: Any, truth: bool) -> None:
    state = {"n": 5, "z": None, "t": "x", "zero": 0, "off": "", "word_no": "No"}
    given = scope(state, variables={"flag": True, "five": 5}, result={"ok": 1})
    condition = compile_condition(source, given)
    assert condition.holds(given) is truth


@pytest.mark.parametrize("source", [None, 1, "", "  ", [], "!state.n", "a b", "x.y", "{{ x", "=="])
def test_condition_that_is_none_is_refused(source: Any) -> None:
    with pytest.raises(TemplateError):
        compile_condition(source)


def test_condition_that_fails_is_an_error_with_its_text() -> None:
    with pytest.raises(TemplateError, match=r"condition state\.t > 1: cannot order"):
        compile_condition("state.t > 1").holds(scope({"t": "x"}))


def test_a_number_beyond_all_numbers_is_refused_by_name() -> None:
    with pytest.raises(TemplateError, match="a number is too large"):
        compile_text("{{ 1e400 }}")
