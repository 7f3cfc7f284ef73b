"""Words after `--`, and the names of sessions."""

from __future__ import annotations

import pytest

from tasks.base import arguments
from tasks.base.errors import UnknownName, UsageError


def test_session_that_takes_nothing_refuses_what_it_is_given() -> None:
    arguments.none("models", [])
    with pytest.raises(UsageError, match="unexpected argument 'x'"):
        arguments.none("models", ["x"])


SESSIONS = ("lint", "unit", "build-gemma3-1b-x86_64", "build-gemma3-1b-aarch64")
ACCEPTED = [
    [],
    ["-l"],
    ["-s", "unit"],
    ["-s", "unit", "lint"],
    ["-e", "unit", "--", "-s", "anything"],
    ["--session", "unit", "--sessions", "lint"],
    ["-R", "-s", "unit", "--verbose"],
    ["-t", "check"],
    ["-k", "not unti"],
]


@pytest.mark.parametrize("words", ACCEPTED, ids=" ".join)
def test_known_sessions_and_other_words_of_nox_pass(words: list[str]) -> None:
    arguments.sessions(words, SESSIONS)


@pytest.mark.parametrize(
    "words",
    [
        ["-s", "build-gemma3-1b-x86"],
        ["-s", "unit", "build-gemma3-1b-x86", "--", "--impl", "python"],
        ["--session=build-gemma3-1b-x86"],
        ["-R", "-e", "unit", "-s", "build-gemma3-1b-x86"],
    ],
    ids=" ".join,
)
def test_unknown_session_comes_with_the_nearest(words: list[str]) -> None:
    with pytest.raises(UnknownName) as caught:
        arguments.sessions(words, SESSIONS)
    assert caught.value.message == "unknown session 'build-gemma3-1b-x86'"
    assert caught.value.hint == "did you mean 'build-gemma3-1b-x86_64'?"
