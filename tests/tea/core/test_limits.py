from __future__ import annotations

import time

import pytest

from the_edge_agent.errors import TemplateError
from the_edge_agent.workflow.condition import compile_condition


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("'" + "a" * 63_999 + "'", "longer than 64000 bytes"),
        ("'" + "é" * 32_000 + "'", "longer than 64000 bytes"),
        ("9" * 5_000, "too many digits"),
    ],
    ids=["characters", "bytes", "digits"],
)
def test_a_condition_that_is_too_long_is_refused(text: str, words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        compile_condition(text)


def test_quotes_that_are_never_closed_are_looked_at_once() -> None:
    started = time.process_time()
    with pytest.raises(TemplateError):
        compile_condition('\\"' * 20_000)  # took 13 seconds
    assert time.process_time() - started < 2
