from __future__ import annotations

import pytest

from the_edge_agent.llm.stop_sequence_buffer import StopSequenceBuffer


def run(pieces: list[bytes], stop: tuple[str, ...] = ()) -> tuple[list[str], str, bool]:
    """Return what was streamed, the whole answer, and whether a stop string ended it."""
    streamed: list[str] = []
    answer = StopSequenceBuffer(stop, streamed.append)
    stopped = any(answer.feed(piece) for piece in pieces)
    return streamed, answer.finish(), stopped


def test_no_character_is_cut_in_two_wherever_the_bytes_are_cut() -> None:
    text = "aé€😀z"
    data = text.encode()
    for size in range(1, len(data)):
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        streamed, whole, _ = run(pieces)
        assert whole == text
        assert "".join(streamed) == text
        assert "�" not in "".join(streamed)


def test_half_a_character_at_the_end_is_dropped() -> None:
    assert run([b"ab", "é".encode()[:1]]) == (["ab"], "ab", False)


def test_bytes_that_are_no_text_become_a_mark() -> None:
    assert run([b"a\xff", b"b"])[1] == "a\ufffdb"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_stop_string_ends_the_answer_and_is_not_in_it(size: int) -> None:
    data = b"one END two"
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    streamed, whole, stopped = run(pieces, ("END",))
    assert whole == "one "
    assert "".join(streamed) == "one "
    assert stopped


def test_what_only_looked_like_a_stop_string_comes_out() -> None:
    streamed, whole, stopped = run([b"EN", b"N", b"EN", b"TER"], ("END",))
    assert whole == "ENNENTER"
    assert "".join(streamed) == whole
    assert not stopped


def test_text_that_may_begin_a_stop_string_is_held_back() -> None:
    said: list[str] = []
    answer = StopSequenceBuffer(("\n\nQ:",), said.append)
    answer.feed(b"yes\n")
    assert said == ["yes"]
    answer.feed(b"no")
    assert said == ["yes", "\nno"]
    answer.feed(b"\n\n")
    assert "".join(said) == "yes\nno"
    assert answer.finish() == "yes\nno\n\n"


def test_the_earliest_of_several_stop_strings_counts() -> None:
    assert run([b"a, b. c"], (".", ",")) == (["a"], "a", True)


def test_a_stop_string_at_the_very_beginning_leaves_nothing() -> None:
    assert run([b"###"], ("###",)) == ([], "", True)


def test_a_stop_string_is_found_across_cut_characters() -> None:
    data = "so—viel".encode()
    assert run([data[:3], data[3:4], data[4:]], ("—",))[1:] == ("so", True)
