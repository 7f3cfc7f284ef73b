from __future__ import annotations

from typing import Any

import pytest

from the_edge_agent.condition import compile_condition
from the_edge_agent.errors import LimitError, TemplateError
from the_edge_agent.template import compile_text

from .engine import render, scope

STATE: dict[str, Any] = {
    "n": 5, "t": "A & <b>", "z": None, "m": {"b": 1, "a": [None, "é", True]}, "digits": "42",
    "l": [1, 2, 3],
}  # fmt: skip

TEXTS: dict[str, Any] = {
    "plain": "plain",
    "{{ state.n }}": 5,
    "{{ 1e300 | round(15) }}": 1e300,
    " \n {{ state.n }}\n": 5,
    "{{- state.m -}}": {"b": 1, "a": [None, "é", True]},
    "{{ state.digits }}": "42",
    "{{ state.n }}{{ state.n }}": "55",
    "{{ state.n }} ": 5,
    "n={{ state.n }}\n": "n=5\n",
    "{{ state.n }}{# note #}": "5",
    "{{ state.t }}!": "A & <b>!",
    "{{ state.m }}.": '{"b": 1, "a": [null, "é", true]}.',
    "{{ true }},{{ 1.0 }},{{ 0.1 }}": "true,1.0,0.1",
    "{{ state.z }}": None,
    "{{ state.q.r }}": None,
    "x{{ state.z | default('-') }}": "x-",
    "x{{ state.q.r | default(value='-') }}": "x-",
    "x{{ 'y' if state.q is defined else 'n' }}": "xn",
    "{% if state.q %}y{% elif state.n == 5 %}five{% else %}n{% endif %}": "five",
    "{% for x in state.l if x > 1 %}{{ loop.index }}/{{ loop.length }}={{ x }};{% else %}-"
    "{% endfor %}": "1/2=2;2/2=3;",
    "{% for x in [] %}x{% else %}none{% endfor %}": "none",
    "{% for k, v in state.m.items() %}{{ k }}{{ '' if loop.last else ',' }}{% endfor %}": "b,a",
    "{% for x in state.l %}{{ loop.cycle('a', 'b') }}{% endfor %}": "aba",
    "{% for x in state.l %}{{ loop.previtem | default('-') }}{{ loop.nextitem | default('-') }} "
    "{% endfor %}": "-2 13 2- ",
    "{% for c in 'ab' %}{{ c }}.{% endfor %}": "a.b.",
    "{% set x = state.n + 1 %}{{ x }}": "6",
    "{% set x %}<{{ state.n }}>{% endset %}{{ x }}!": "<5>!",
    "{% raw %}{{ x }}{% endraw %}": "{{ x }}",
    "a\r\n{{ state.n }}\r\n": "a\r\n5\r\n",
    "${v}": 0.5,
    " ${v} ": 0.5,
    "v=${v} ${w}": "v=0.5 W",
    "{{ variables.v }} ${v}": "0.5 0.5",
    "{{ '${v}' }}": "${v}",
    "$v ${ v } ${a.b} $ {v}": "$v ${ v } ${a.b} $ {v}",
}


@pytest.mark.parametrize("text", TEXTS)
def test_template_gives_its_value(text: str) -> None:
    value = render(text, STATE, variables={"v": 0.5, "w": "W"})
    assert (type(value), value) == (type(TEXTS[text]), TEXTS[text])


FAILURES = {
    "x{{ state.z }}": "state.z is null",
    "x{{ state.q }}": "state.q is missing",
    "x{{ state.q.r['s'][0] }}": "state.q.r.s[0] is missing",
    "x{{ state.z.a }}": "state.z.a is missing",
    "x{{ state.m.a[0] }}": "state.m.a[0] is null",
    "x{{ state.l[state.n] }}": "state.l[…] is missing",
    "{% for x in state.q %}{% endfor %}": "state.q is missing",
    "{% for x in state.z %}{% endfor %}": "state.z is null",
    "{% for x in state.n %}{% endfor %}": "state.n is a whole number, not a list",
    "{% for a, b in [1] %}{% endfor %}": "cannot be computed",
    "{% for x in [none] %}{{ x }}{% endfor %}": "x is null",
    "{{ 'a' if false }}!": "else of the if",
    "x ${nope}": "variables.nope is missing",
}


@pytest.mark.parametrize("text", FAILURES)
def test_null_or_missing_inside_text_is_an_error_that_names_the_path(text: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(text, STATE)
    assert FAILURES[text] in caught.value.message


REFUSED = [
    "{{ x }}", "{{ state.n", "{% if x %}", "{% for x in state.l %}{% endfor %}{{ x }}",
    "{{ loop }}", "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}",
    "{% extends 'x' %}", "{% block b %}{% endblock %}", "{% macro m() %}{% endmacro %}",
    "{% call m() %}{% endcall %}", "{% filter upper %}a{% endfilter %}", "{% with %}{% endwith %}",
    "{% set a.b = 1 %}", "{% set a | upper %}x{% endset %}", "{% do state %}",
    "{% for x in state.l recursive %}{{ loop(x) }}{% endfor %}", "{% autoescape true %}"
    "{% endautoescape %}", "{# open", "{{ self }}", "{{ tea_value }}", "{{ result }}",
    "{{ loop.cycle('a') }}",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_statement_or_name_outside_the_language_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        compile_text(text)


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
    monkeypatch.setattr("the_edge_agent.values.MAX_VALUES", 50_000)
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


def test_condition_that_cannot_be_judged_is_an_error_with_its_text() -> None:
    with pytest.raises(TemplateError, match=r"condition state\.t > 1: cannot order"):
        compile_condition("state.t > 1").holds(scope({"t": "x"}))


def test_a_number_beyond_all_numbers_is_refused_by_name() -> None:
    with pytest.raises(TemplateError, match="a number is too large"):
        compile_text("{{ 1e400 }}")
