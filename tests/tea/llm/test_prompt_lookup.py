from __future__ import annotations

from the_edge_agent.llm.prompt_lookup import PromptLookup

TEXT = list(range(100, 130))


def test_what_followed_the_same_tokens_is_proposed() -> None:
    lookup = PromptLookup()
    assert lookup.propose(TEXT, 8) == []
    assert lookup.propose([*TEXT, 1, 104, 105], 8) == [106, 107]


def test_the_longer_match_and_the_later_one_go_first() -> None:
    tokens = [1, 2, 3, 50, 9, 2, 3, 60, 8, 2, 3, 70, 7, 1, 2, 3]
    lookup = PromptLookup()
    assert lookup.propose(tokens, 1) == [50]
    assert lookup.propose([*tokens, 9, 8, 2, 3], 1) == [70]


def test_proposals_grow_with_success_and_begin_small_again() -> None:
    lookup = PromptLookup()
    lookup.propose(TEXT, 8)
    sizes = []
    for accepted in (2, 4, 8, 0, 2):
        size = len(lookup.propose([*TEXT, 1, 101, 102], 99))
        sizes.append(size)
        lookup.judge(size, min(accepted, size))
    assert sizes == [2, 4, 8, 8, 2]
    assert lookup.accepted == 2 + 4 + 8 + 0 + 2


def test_room_is_kept_to() -> None:
    lookup = PromptLookup()
    lookup.propose(TEXT, 8)
    assert lookup.propose([*TEXT, 1, 101, 102], 1) == [103]
    assert lookup.propose([*TEXT, 1, 101, 102], 0) == []


def test_proposals_that_fail_end_soon() -> None:
    lookup = PromptLookup()
    tries = 0
    while lookup.pays:
        lookup.judge(2, 0)
        tries += 1
    assert 2 <= tries <= 4


def test_proposals_that_succeed_make_up_for_others() -> None:
    lookup = PromptLookup()
    for _ in range(50):
        lookup.judge(2, 2)
        lookup.judge(4, 0)
        lookup.judge(2, 2)
    assert lookup.pays
