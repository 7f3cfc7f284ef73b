"""How the next token of an answer is chosen.

The steps are in this order, which every engine here shares: penalties, then greedy alone at
temperature 0; else top-k (0: off), top-p, min-p, temperature and a draw with the seed.
"""

from __future__ import annotations

import ctypes
import math
import secrets
import struct
from collections import deque
from functools import cache
from typing import Any

from the_edge_agent.errors import ActionError
from the_edge_agent.llm.backend import ChatRequest
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.context import Context
from the_edge_agent.llm.parameters import MAX_SEED

_PENALTY_WINDOW = 64  # tokens that repetition is measured in, those of the prompt included

# For each byte of a mask the bits of the eight logits that it lets through: all, or none.
_LET_THROUGH = [
    b"".join(b"\xff\xff\xff\xff" if byte >> bit & 1 else bytes(4) for bit in range(8))
    for byte in range(256)
]


@cache
def _all_minus_infinity(vocabulary: int) -> int:
    return int.from_bytes(struct.pack("<f", -math.inf) * vocabulary, "little")


class Sampler:
    """llama.cpp's samplers for one answer."""

    def __init__(
        self, llama: Llama, vocabulary: int, request: ChatRequest, prompt: list[int]
    ) -> None:
        """``vocabulary``: how many tokens there are; ``prompt``: those before the answer."""
        self._c = c = llama.c
        self._vocabulary = vocabulary
        self._chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        for sampler in self._steps(request):
            c.llama_sampler_chain_add(self._chain, sampler)
        self._penalties = Penalties.of(llama, vocabulary, request)
        if self._penalties:
            for token in prompt[-_PENALTY_WINDOW:]:
                self._penalties.accept(token)

    def close(self) -> None:
        """Give the memory back; the sampler is not to be used after that."""
        if self._chain:
            self._c.llama_sampler_free(self._chain)
            self._chain = None
        if self._penalties:
            self._penalties.close()
            self._penalties = None

    def accept(self, token: int) -> None:
        """Note that ``token`` came."""
        if self._penalties:
            self._penalties.accept(token)

    def sample(self, context: Context, row: int) -> int:
        """Return a token for what follows ``row`` of the batch that was computed last."""
        if self._penalties:
            self._penalties.apply(context.logits(row))
        return int(self._c.llama_sampler_sample(self._chain, context.handle, row))

    def sample_among(self, context: Context, row: int, mask: bytes) -> int:
        """Return a token as ``sample`` does, after it, of those whose bit is set in ``mask``.

        Raises:
            ActionError: none is.
        """
        if not any(mask):
            raise ActionError("the answer has come where its shape lets nothing follow")
        size = 4 * self._vocabulary
        address = ctypes.addressof(context.logits(row).contents)
        # Whole numbers of the vocabulary's size do it at once, where a loop would take 20 ms.
        let_through = b"".join(map(_LET_THROUGH.__getitem__, mask))[:size].ljust(size, b"\0")
        kept = int.from_bytes(let_through, "little")
        other = _all_minus_infinity(self._vocabulary)
        logits = int.from_bytes(ctypes.string_at(address, size), "little")
        logits = other ^ ((other ^ logits) & kept)
        ctypes.memmove(address, logits.to_bytes(size, "little"), size)
        return int(self._c.llama_sampler_sample(self._chain, context.handle, row))

    def _steps(self, request: ChatRequest) -> list[Any]:
        c = self._c
        if request.temperature == 0:
            return [c.llama_sampler_init_greedy()]
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
        return [
            c.llama_sampler_init_top_k(request.top_k),
            c.llama_sampler_init_top_p(request.top_p, 1),
            c.llama_sampler_init_min_p(request.min_p, 1),
            c.llama_sampler_init_temp(request.temperature),
            c.llama_sampler_init_dist(seed),
        ]


class Penalties:
    """What tokens that came lately are held back by.

    They change the logits once, whether a first choice among these is refused or not.
    """

    def __init__(self, llama: Llama, sampler: Any) -> None:
        self._c = llama.c
        self._sampler = sampler
        self._recent: deque[int] = deque(maxlen=_PENALTY_WINDOW)

    @classmethod
    def of(cls, llama: Llama, vocabulary: int, request: ChatRequest) -> Penalties | None:
        """Return those that ``request`` asks for, None where it asks for none."""
        given = (request.repeat_penalty, request.frequency_penalty, request.presence_penalty)
        if given == (1.0, 0.0, 0.0):
            return None
        return cls(llama, llama.c.llama_sampler_init_penalties(vocabulary, _PENALTY_WINDOW, *given))

    def close(self) -> None:
        """Give the memory back."""
        self._c.llama_sampler_free(self._sampler)

    def accept(self, token: int) -> None:
        """Note that ``token`` came."""
        self._recent.append(token)
        self._c.llama_sampler_accept(self._sampler, token)

    def apply(self, logits: Any) -> None:
        """Hold back in ``logits`` what came lately; llama.cpp is given these tokens alone."""
        tokens = set(self._recent)
        candidates = (self._c.llama_token_data * len(tokens))(
            *((token, logits[token], 0.0) for token in tokens)
        )
        array = self._c.llama_token_data_array(
            data=candidates, size=len(tokens), selected=-1, sorted=False
        )
        self._c.llama_sampler_apply(self._sampler, ctypes.byref(array))
        for candidate in candidates:
            logits[candidate.id] = candidate.logit
