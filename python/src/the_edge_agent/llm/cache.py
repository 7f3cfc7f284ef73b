"""Which tokens each sequence of a context has computed, and room for further ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from the_edge_agent.llm.context import Context


@dataclass(eq=False, slots=True)
class Slot:
    """One sequence of the context.

    ``tokens`` have their keys and values in the cache. ``length`` is how many the answer that uses
    the slot may come to; 0: none does, and they are kept for a conversation that goes on.
    """

    id: int
    tokens: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)  # where they lie; slots can share a beginning
    length: int = 0
    used: int = 0  # at which turn of the cache


class Cache:
    """The slots of a context."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._slots = [Slot(number) for number in range(context.sequences)]
        self._turn = count(1)
        self._cell = count()

    def take(self, prompt: list[int], length: int) -> Slot | None:
        """Return a slot for an answer that comes to ``length`` tokens with its prompt.

        It has what any slot has of the prompt's beginning, but for the last token, which is
        always computed: sampling needs its result. None: the answers that are being computed
        leave no room.
        """
        self._place()
        beginning = prompt[:-1]
        donor = max(self._slots, key=lambda slot: (shared(slot.tokens, beginning), slot.used))
        kept = shared(donor.tokens, beginning)
        if self._needed(donor.cells[:kept]) + length - kept > self.context.n_ctx:
            return None
        slot = self._target(donor, kept)
        if slot is None:
            return None
        if slot is donor:
            self.cut(slot, kept)
        else:
            self.cut(slot, 0)
            if kept:
                self.context.copy(donor.id, slot.id, kept)
                slot.tokens, slot.cells = donor.tokens[:kept], donor.cells[:kept]
        slot.length, slot.used = length, next(self._turn)
        self._make_room()
        return slot

    def shared(self, prompt: list[int]) -> int:
        """Return how many tokens of the beginning of ``prompt`` are computed already."""
        return max(shared(slot.tokens, prompt) for slot in self._slots)

    def cut(self, slot: Slot, length: int) -> None:
        """Keep the first ``length`` tokens of ``slot``, or none where that cannot be done."""
        if not self.context.cut(slot.id, length):
            length = 0
            self.context.cut(slot.id, 0)
        del slot.tokens[length:], slot.cells[length:]

    def spare(self, number: int) -> list[Slot]:
        """Return at most ``number`` slots that no answer uses, empty."""
        idle = sorted((slot for slot in self._slots if not slot.length), key=lambda slot: slot.used)
        for slot in idle[:number]:
            self.cut(slot, 0)
        return idle[:number]

    def share(self, source: Slot, target: Slot) -> None:
        """Have ``target``, which is empty, begin with all of ``source``."""
        self.context.copy(source.id, target.id, len(source.tokens))
        target.tokens = source.tokens.copy()

    def release(self, slot: Slot) -> None:
        """Keep what ``slot`` has until its room is needed."""
        slot.length = 0

    def _place(self) -> None:
        """Give the tokens that were computed since the last time a place."""
        for slot in self._slots:
            slot.cells += [next(self._cell) for _ in slot.tokens[len(slot.cells) :]]

    def _target(self, donor: Slot, kept: int) -> Slot | None:
        """Return the slot to go on in: the donor's own where little else is lost by that."""
        if not donor.length and 2 * kept >= len(donor.tokens):
            return donor
        idle = [slot for slot in self._slots if not slot.length and slot is not donor]
        if idle:
            return min(idle, key=lambda slot: (bool(slot.tokens), slot.used))
        return None if donor.length else donor

    def _make_room(self) -> None:
        """Forget what is kept, the oldest first, as far as the answers need its room."""
        kept = [slot for slot in self._slots if not slot.length and slot.tokens]
        for slot in sorted(kept, key=lambda slot: slot.used):
            held = {cell for each in kept if each.tokens for cell in each.cells}
            if self._needed(list(held)) <= self.context.n_ctx:
                return
            self.cut(slot, 0)

    def _needed(self, cells: list[int]) -> int:
        """Return the room that all answers may come to take, and ``cells`` beside them."""
        answers = [slot for slot in self._slots if slot.length]
        held = set(cells).union(*(slot.cells for slot in answers))
        return len(held) + sum(slot.length - len(slot.tokens) for slot in answers)


def shared(one: list[int], other: list[int]) -> int:
    """Return how many tokens two lists have in common at their beginning."""
    length = min(len(one), len(other))
    if one[:length] == other[:length]:
        return length
    return next(at for at in range(length) if one[at] != other[at])
