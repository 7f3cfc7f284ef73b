"""How likely a model goes on with each of several texts: no text is sampled."""

from __future__ import annotations

import ctypes
import math
from typing import Any

from the_edge_agent.errors import LimitError, ModelError
from the_edge_agent.llm.backend import DecideReply, DecideRequest
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.cache import Cache, Slot
from the_edge_agent.llm.context import ABORTED
from the_edge_agent.llm.memory import BATCH
from the_edge_agent.llm.model import Model, Stopped

# Tokens of choices that are computed together: each gives numbers for the whole vocabulary.
_TOGETHER = 64


class Decision:
    """A prompt, and the texts that it may go on with. ``tokens`` are the prompt's."""

    def __init__(self, llama: Llama, model: Model, request: DecideRequest, n_ctx: int) -> None:
        """Make the tokens of the prompt and of each text.

        Raises:
            LimitError: they do not fit into ``n_ctx`` tokens.
            ModelError, ActionError: as ``Model.prompt_tokens``.
        """
        self._llama = llama
        self._model = model
        self._request = request
        self.tokens = model.prompt_tokens(
            request.messages, request.prompt, n_ctx, thinking=request.thinking
        )
        self._choices = [model.tokenize(text, special=False) for text in request.choices]
        longest = max(map(len, self._choices))
        together = min(sum(map(len, self._choices)), max(_TOGETHER, longest))
        self.longest = len(self.tokens) + together
        if longest > BATCH or self.longest > n_ctx:
            raise LimitError(
                f"the prompt has {len(self.tokens)} tokens and the longest choice {longest}:"
                f" they do not fit into the context of {n_ctx}, or the choice not into {BATCH}",
                hint="shorten them, or raise settings.llm.n_ctx",
            )

    def reply(self, cache: Cache, slot: Slot) -> DecideReply:
        """Compute how likely the choices are; ``slot`` has the prompt's beginning.

        Raises:
            ModelError: a computation failed.
            Stopped: the stop flag was set.
        """
        likelihoods = _Likelihoods(self._llama, self._model, cache)
        try:
            scores = self._scores(cache, slot, likelihoods)
        finally:
            likelihoods.close()
        if self._request.normalize == "per_byte":
            sizes = [len(text.encode("utf-8", "replace")) for text in self._request.choices]
            scores = [score / size for score, size in zip(scores, sizes, strict=True)]
        largest = max(scores)
        parts = [math.exp(score - largest) for score in scores]
        return DecideReply(tuple(part / math.fsum(parts) for part in parts))

    def _scores(self, cache: Cache, slot: Slot, likelihoods: _Likelihoods) -> list[float]:
        """Return the logarithm of each choice's likelihood, with the end of the turn after it."""
        row = self._compute_prompt(cache, slot)
        firsts = likelihoods.of(row, [[choice[0]] for choice in self._choices])
        scores = dict(enumerate(firsts))
        waiting = list(enumerate(self._choices))
        while waiting:
            spare = cache.spare(len(waiting))
            parts: list[tuple[int, list[int], int]] = []  # the last: row of the first token
            cache.context.batch.count = 0
            for target in spare or [slot]:
                if not waiting:
                    break
                number, choice = waiting[0]
                if parts and cache.context.batch.count + len(choice) > _TOGETHER:
                    break
                if target is not slot:
                    cache.share(slot, target)
                row = cache.context.batch.add(target.id, len(self.tokens), choice, len(choice))
                parts.append((number, choice, row))
                waiting.pop(0)
            _compute(cache)
            for number, choice, row in parts:
                for place, token in enumerate(choice[1:]):
                    scores[number] += likelihoods.of(row + place, [[token]])[0]
                ends = self._model.ends_of_answers
                scores[number] += likelihoods.of(row + len(choice) - 1, [ends])[0]
            for target in spare:
                cache.cut(target, 0)
            if not spare:
                cache.cut(slot, len(self.tokens))
                if waiting:
                    self._compute_prompt(cache, slot)  # where the cache cannot go back
        return [scores[number] for number in range(len(scores))]

    def _compute_prompt(self, cache: Cache, slot: Slot) -> int:
        """Compute what ``slot`` has not of the prompt; return the row of its last token."""
        row = 0
        while len(slot.tokens) < len(self.tokens):
            done = len(slot.tokens)
            part = self.tokens[done : done + BATCH]
            cache.context.batch.count = 0
            row = cache.context.batch.add(slot.id, done, part, 1)
            _compute(cache)
            slot.tokens += part
        return row


class _Likelihoods:
    """Reads the logits of a batch, by means of llama.cpp's sampler that turns them to shares."""

    def __init__(self, llama: Llama, model: Model, cache: Cache) -> None:
        self._c = c = llama.c
        self._cache = cache
        self._size = model.vocabulary_size
        self._data = (c.llama_token_data * self._size)()
        self._places = memoryview(self._data).cast("B").cast("f")[1::3]  # of the logits
        self._array = c.llama_token_data_array(data=self._data, size=self._size, sorted=False)
        self._sampler = c.llama_sampler_init_dist(0)

    def close(self) -> None:
        """Give the memory back."""
        self._c.llama_sampler_free(self._sampler)

    def of(self, row: int, each: list[list[int]]) -> list[float]:
        """Return the logarithm of how likely one of the tokens of a list follows ``row``."""
        logits: Any = self._cache.context.logits(row)
        address = ctypes.addressof(logits.contents)
        all_of_them = (ctypes.c_float * self._size).from_address(address)
        self._places[:] = memoryview(all_of_them).cast("B").cast("f")
        self._c.llama_sampler_apply(self._sampler, ctypes.byref(self._array))
        # The chosen one's share is far from the least numbers, so it gives the sum of all.
        chosen = self._array.selected
        whole = logits[chosen] - math.log(self._data[chosen].p)
        found = []
        for tokens in each:
            largest = max(logits[token] for token in tokens)
            terms = math.fsum(math.exp(logits[token] - largest) for token in tokens)
            found.append(largest + math.log(terms) - whole)
        return found


def _compute(cache: Cache) -> None:
    result = cache.context.compute()
    if result == ABORTED:
        raise Stopped
    if result:
        raise ModelError(f"llama.cpp failed to compute (code {result})")
