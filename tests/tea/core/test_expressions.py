"""Values of single expressions: operators, paths, methods, tests and filters."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from the_edge_agent.errors import LimitError, TeaError, TemplateError

from .engine import compute

STATE: dict[str, Any] = {
    "n": 5, "f": 2.5, "t": "Ann", "z": None, "yes": True, "e": "", "l": [3, 1, 2],
    "m": {"b": 1, "a": None, "items": "mine"}, "u": ["b", "A", "a", "B"],
    "o": [{"k": "x", "v": 2}, {"k": "y", "v": 1}, {"k": "x", "v": 3, "w": {"d": 4}}],
}  # fmt: skip

VALUES: dict[str, Any] = {
    # arithmetic
    "1 + 2": 3, "7 - 2.5": 4.5, "2 * 3": 6, "4 / 2": 2.0, "7 // 2": 3, "-7 // 2": -4, "7 % 3": 1,
    "-7 % 3": 2, "-state.n": -5, "+state.n": 5, "'a' + 'b'": "ab", "[1] + [2]": [1, 2],
    "'ab' * 2": "abab", "2 * 'ab'": "abab", "[0] * 3": [0, 0, 0], "2 + 3 * 4": 14,
    "1 ~ true ~ none | default('-') ~ 'x'": "1true-x", "[1] ~ ''": "[1]",
    # comparison and logic
    "1 == 1.0": True, "1 == true": False, "0 == false": False, "'a' != 'b'": True,
    "[1, {'a': 2}] == [1.0, {'a': 2}]": True, "{'a': 1} == {'a': true}": False,
    "1 < 2 < 3": True, "1 < 2 > 5": False, "2 <= 2": True, "'a' < 'b'": True, "'B' < 'a'": True,
    "none < 1": False, "none >= none": False, "state.q > 0": False, "state.z <= 0": False,
    "state.z == none": True, "none == state.z": True, "state.q == 1": False,
    "1 in [1, 2]": True, "true in [1]": False, "'n' in state.t": True, "'b' in state.m": True,
    "'q' not in state.m": True, "not state.e": True, "state.n and state.t": "Ann",
    "state.e or 'x'": "x", "state.q or 'x'": "x", "'a' if state.yes else 'b'": "a",
    "'a' if state.q else 'b'": "b", "'a' if false": None,
    # constants and literals
    "True": True, "true": True, "False": False, "None": None, "none": None, "(1, 2)": [1, 2],
    "{'a': [1, state.q]}": {"a": [1, None]}, "1e3": 1000.0, "'\\n'": "\n",
    # paths
    "state.t": "Ann", "state['t']": "Ann", "state.m.items": "mine", "state.q": None,
    "state.q.r[0].s": None, "state.z.r": None, "state.m.a.x": None, "state.l[0]": 3,
    "state.l[-1]": 2, "state.l[9]": None, "state.t[0]": "A", "state.o[0].k": "x",
    "state.o.1.k": "y", "state.l[1:]": [1, 2], "state.t[::-1]": "nnA", "state.l[:none]": [3, 1, 2],
    "state.t.__class__": None, "state.n.real": None, "state[state.t]": None,
    # methods
    "state.get('n')": 5, "state.get('q')": None, "state.get('q', 1)": 1, "state.get('z', 1)": None,
    "{'a': 1}.items()": [["a", 1]], "{'a': 1}.keys()": ["a"], "{'a': 1}.values()": [1],
    "'Ab'.upper()": "AB", "'Ab'.lower()": "ab", "' a '.strip()": "a", "'xax'.strip('x')": "a",
    "'a b  c'.split()": ["a", "b", "c"], "'a,b,c'.split(',', 1)": ["a", "b,c"],
    "'abc'.startswith('a')": True, "'abc'.endswith('a')": False, "'aab'.replace('a', 'x')": "xxb",
    "'aab'.replace('a', 'x', 1)": "xab",
    # tests
    "state.z is defined": True, "state.q is defined": False, "state.q.r is not defined": True,
    "state.z is none": True, "state.q is none": False, "none is none": True, "'a' is string": True,
    "1 is number": True, "true is number": False, "state.m is mapping": True,
    "state.l is sequence": True, "'a' is sequence": False, "state.m is sequence": False,
    # filters
    "state.q | default('x')": "x", "state.z | default('x')": "x", "state.e | default('x')": "",
    "state.e | default('x', true)": "x", "state.q | default(value='x')": "x",
    "state.q.r.s | default([])": [], "0 | default(1)": 0, "state.q | default(none)": None,
    "[1, true, 'a'] | join('-')": "1-true-a", "state.o | join(',', attribute='k')": "x,y,x",
    "[] | join": "", "{'b': 'é', 'a': [1]} | tojson": '{"b": "é", "a": [1]}',
    "none | tojson": "null", "[1] | tojson(indent=1)": "[\n 1\n]", "'<&>' | tojson": '"<&>"',
    "'{\"a\": [1, 2.5, null]}' | fromjson": {"a": [1, 2.5, None]}, "'é' | upper": "É",
    "42 | upper": "42", "'A' | lower": "a", "'aé' | length": 2, "state.m | length": 3,
    "' a ' | trim": "a", "'xax' | trim('x')": "a", "state.l | first": 3, "state.l | last": 2,
    "[] | first": None, "'ab' | list": ["a", "b"], "state.m | list": ["b", "a", "items"],
    "state.l | sort": [1, 2, 3], "state.l | sort(reverse=true)": [3, 2, 1],
    "state.u | sort": ["A", "a", "b", "B"], "state.u | sort(case_sensitive=true)":
    ["A", "B", "a", "b"], "state.o | sort(attribute='v') | map(attribute='v')": [1, 2, 3],
    "state.u | unique": ["b", "A"], "[1, true, 1.0, '1'] | unique": [1, True, "1"],
    "state.o | map(attribute='w.d', default=0)": [0, 0, 4], "state.u | map('upper') | join":
    "BAAB", "[1, 2] | map('default', 0)": [1, 2], "[0, 1, '', 'a'] | select": [1, "a"],
    "[1, 'a', none] | reject('none')": [1, "a"], "[1, 'a'] | select('number')": [1],
    "state.o | selectattr('w', 'defined') | map(attribute='v')": [3],
    "state.o | rejectattr('w') | map(attribute='v')": [2, 1],
    "state.o | groupby('k') | map(attribute='grouper')": ["x", "y"],
    "(state.o | groupby('k') | first).list | length": 2,
    "state.o | groupby('k') | map('length')": [2, 2],
    "'aaa' | replace('a', 'b', 2)": "bba", "2.5 | round": 3.0, "-2.5 | round": -3.0,
    "2.345 | round(1)": 2.3, "2.1 | round(method='ceil')": 3.0, "7 | round": 7,
    "2.99 | round(1, 'floor')": 2.9, "'42' | int": 42, "'4.9' | int": 4, "4.9 | int": 4,
    "'x' | int(7)": 7, "'ff' | int(base=16)": 255, "true | int": 1, "'1e2' | float": 100.0,
    "'x' | float(default=0.5)": 0.5, "5 | float": 5.0, "5 | string": "5", "[1] | string": "[1]",
    "-3 | abs": 3, "state.l | min": 1, "state.l | max": 3, "[] | max": None,
    "state.o | max(attribute='v')": {"k": "x", "v": 3, "w": {"d": 4}},
    "state.l | sum": 6, "state.o | sum(attribute='v')": 6, "[0.1, 0.2] | sum": 0.1 + 0.2,
    "[[1], [2]] | sum(start=[])": [1, 2], "'abc' | reverse": "cba", "[1, 2] | reverse": [2, 1],
    "'a\\nb\\n\\nc' | indent(2)": "a\n  b\n\n  c", "'a\\nb' | indent(1, true)": " a\n b",
    "'a\\n\\nb' | indent(1, blank=true)": "a\n \n b", "'a\\nb' | indent('> ', true)": "> a\n> b",
    "'foo bar baz qux' | truncate(9)": "foo...", "'foo bar baz qux' | truncate(9, true)":
    "foo ba...", "'foo bar baz qux' | truncate(11)": "foo bar baz qux",
    "'foo bar baz qux' | truncate(11, false, '…', 0)": "foo bar…",
    "\"it's two_words 3\" | wordcount": 4,
    "'é' | sha256": hashlib.sha256("é".encode()).hexdigest(),
    "range(3)": [0, 1, 2], "range(1, 6, 2)": [1, 3, 5], "range(3, 0, -1)": [3, 2, 1],
}  # fmt: skip


@pytest.mark.parametrize("expression", VALUES)
def test_expression_has_its_value_and_type(expression: str) -> None:
    value = compute(expression, STATE)
    assert (type(value), value) == (type(VALUES[expression]), VALUES[expression])


ERRORS = {
    "state.q + 1": "state.q is missing", "1 - state.z": "state.z is null",
    "state.m.a.x | upper": "state.m.a.x is missing", "state.m.a | upper": "state.m.a is null",
    "'x' in state.q": "state.q is missing", "state.q.upper()": "state.q is missing",
    "'a' + 1": "cannot calculate", "true + 1": "cannot calculate", "'%s' % 1": "cannot calculate",
    "1 / 0": "division by zero", "1 // 0": "division by zero", "1 % 0": "division by zero",
    "1 < 'a'": "cannot order", "[1] < [2]": "cannot order", "true < 1": "cannot order",
    "state.t.items()": "no method", "state.l[1:2:0]": "step", "state.l['a':]": "whole numbers",
    "'a'.split('')": "separator", "'a'.replace('a')": "", "state.l | sort('x', 1, 2, 3, 4)": "",
    "'x' | int": "not a whole number", "'x' | float": "not a number", "'1_0' | int": "whole",
    "none | int": "null", "state.q | tojson": "state.q is missing", "'{' | fromjson": "not JSON",
    "'NaN' | fromjson": "not JSON", "{} | fromjson": "needs text", "[none] | join": "element 1",
    "[1, 'a'] | sort": "cannot order", "5 | list": "not a list", "5 | length": "not a list",
    "'a' | round": "cannot round", "'a' | abs": "needs a number", "['a', 1] | sum": "calculate",
    "[1] | map('nope')": "no filter", "[1] | select('nope')": "no test", "[1] | map": "map needs",
    "'abc' | truncate(2)": "room", "'a' | indent(-1)": "width", "state.n[0:1]": "cannot slice",
    "state.o | map(attribute='w.d') | sum": "null", "none ~ 'a'": "null", "range('a')": "range",
    "range(1, 2, 0)": "range", "state.q | join": "state.q is missing", "1.5 | round(2.5)":
    "precision", "1e308 * 10": "too large", "'a' | round(method='x')": "round",
}  # fmt: skip


@pytest.mark.parametrize("expression", ERRORS)
def test_expression_that_has_no_value_is_an_error_that_says_why(expression: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compute(expression, STATE)
    assert ERRORS[expression] in caught.value.message


REFUSED = {
    "stat.n": 'did you mean "state"?', "foo": "state.foo", "state.n | uper": '"upper"',
    "state.n is defind": '"defined"', "'a'.uppr()": '"upper"', "''.__class__.mro()": "mro",
    "'a'.format(1)": "format", "2 ** 3": "**", "dict(a=1)": "dict", "lipsum()": "lipsum",
    "cycler('a')": "cycler", "namespace(a=1)": "namespace", "range": "range(3)",
    "state.t(1)": "t()", "range(*[1])": "* and **", "state.l | sort(**{})": "* and **",
    "'a' | upper(1)": "upper", "'a' | default": "default", "'a' | join(1, 2, 3)": "join",
    "state.": "well-formed", "1 +": "well-formed", "a b": "goes on", "'a": "well-formed",
    "": "well-formed", "${x}.y == '${x}'": "inside quotes",
    "(" * 3000: "deep",
}  # fmt: skip


@pytest.mark.parametrize("expression", REFUSED, ids=lambda e: e[:30])
def test_expression_outside_the_language_is_refused_before_it_runs(expression: str) -> None:
    from the_edge_agent.template import compile_expression

    with pytest.raises(TemplateError) as caught:
        compile_expression(expression)
    assert REFUSED[expression] in str(caught.value)


RUNAWAYS = [
    "range(100001)", "range(99999999999999999999)", "'a' * 99999999", "99999999 * 'a'",
    "[0] * 9999999", "9223372036854775807 + 1", "-9223372036854775807 - 2", "('9' * 400) | int",
    "('a' * 9000000) ~ ('a' * 9000000)", "('a' * 9000000) + ('a' * 9000000)",
    "('a' * 100000) | replace('a', 'b' * 1000)", "('a' * 9000).replace('a', 'b' * 9000)",
    "(['a' * 9000000] * 2) | join", "('a\\n' * 4000000) | indent(1000)",
    "range(100000) | map('string') | map('list') | sum(start=[])",
]  # fmt: skip


@pytest.mark.parametrize("expression", RUNAWAYS)
def test_runaway_expression_ends_with_an_error(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("the_edge_agent.limits.MAX_STEPS", 200_000)
    with pytest.raises((LimitError, TemplateError)) as caught:
        compute(expression)
    assert isinstance(caught.value, TeaError)
