"""Expressions without end; what others give is in conformance/templates."""

from __future__ import annotations

import pytest

from the_edge_agent.errors import LimitError, TeaError, TemplateError
from the_edge_agent.template.template import compile_expression

from .engine import compute

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


def test_an_empty_expression_is_refused() -> None:
    with pytest.raises(TemplateError, match="well-formed"):
        compile_expression("")
