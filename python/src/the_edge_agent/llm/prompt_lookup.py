"""Tokens that an answer may go on with because they once followed the same ones.

An answer that edits or quotes its prompt repeats stretches of it. What followed the last tokens
earlier is proposed, and one batch says how much of it the model would have chosen itself.
"""

from __future__ import annotations

_ALIKE = (3, 2)  # tokens at the end that must be the same; the first is looked for first
_FIRST, _MOST = 2, 8  # tokens proposed at first, and at most: twice as many after each success
# What a batch of so many tokens costs, in steps of one: measured on two threads with models of
# 135 million and a billion parameters. Between and beyond these it grows evenly.
_COST = {2: 1.7, 3: 2.0, 4: 2.2, 5: 2.5, 9: 3.6}
_PATIENCE = 3.0  # steps that may be lost until nothing is proposed any more


class PromptLookup:
    """What is proposed for one answer. ``proposed`` ends by itself where it does not pay."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}  # where what followed these tokens begins
        self._indexed = 0
        self._size = _FIRST
        self._gain = 0.0  # steps saved so far
        self.accepted = 0  # tokens

    @property
    def pays(self) -> bool:
        """Whether it is worth going on."""
        return self._gain > -_PATIENCE

    def propose(self, tokens: list[int], room: int) -> list[int]:
        """Return what may come after ``tokens``, which have only grown since the last time.

        At most ``room`` tokens, and often none.
        """
        # Runs that end before the last token: the last ones themselves would find themselves.
        for end in range(max(self._indexed, _ALIKE[-1]), len(tokens)):
            for length in _ALIKE:
                self._ends[tuple(tokens[max(0, end - length) : end])] = end
        self._indexed = len(tokens)
        found = None
        for length in _ALIKE:
            found = found or self._ends.get(tuple(tokens[-length:]))
        return [] if found is None else tokens[found : found + min(self._size, room)]

    def judge(self, proposed: int, accepted: int) -> None:
        """Note how many of the ``proposed`` tokens the model has chosen itself."""
        self.accepted += accepted
        self._gain += accepted + 1 - _cost(proposed + 1)
        self._size = min(2 * self._size, _MOST) if accepted == proposed else _FIRST


def _cost(tokens: int) -> float:
    below = max(size for size in _COST if size <= tokens)
    above = min((size for size in _COST if size >= tokens), default=below)
    if below == above:
        return _COST[below]
    share = (tokens - below) / (above - below)
    return _COST[below] + share * (_COST[above] - _COST[below])
