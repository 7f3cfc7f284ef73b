"""How the next token of an answer is chosen.

The steps are in this order, which every engine here shares: penalties, then greedy alone at
temperature 0; else top-k (0: off), top-p, min-p, temperature and a draw with the seed.
"""

from __future__ import annotations

import secrets
from typing import Any

from the_edge_agent.llm.backend import ChatRequest
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.context import Context

MAX_SEED = 2**32 - 2  # the next number asks llama.cpp for a seed of its own
_PENALTY_WINDOW = 64  # tokens that repetition is measured in, those of the prompt included


class Sampler:
    """llama.cpp's chain of samplers for one answer."""

    def __init__(
        self, llama: Llama, vocabulary: int, request: ChatRequest, prompt: list[int]
    ) -> None:
        """``vocabulary``: how many tokens there are; ``prompt``: those before the answer."""
        self._c = c = llama.c
        self._chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        for sampler in self._steps(vocabulary, request):
            c.llama_sampler_chain_add(self._chain, sampler)
        for token in prompt[-_PENALTY_WINDOW:]:
            c.llama_sampler_accept(self._chain, token)

    def close(self) -> None:
        """Give the memory back; the sampler is not to be used after that."""
        if self._chain:
            self._c.llama_sampler_free(self._chain)
            self._chain = None

    def sample(self, context: Context, row: int) -> int:
        """Return a token for what follows ``row`` of the batch that was computed last."""
        return int(self._c.llama_sampler_sample(self._chain, context.handle, row))

    def _steps(self, vocabulary: int, request: ChatRequest) -> list[Any]:
        c = self._c
        penalties = c.llama_sampler_init_penalties(
            vocabulary,
            _PENALTY_WINDOW,
            request.repeat_penalty,
            request.frequency_penalty,
            request.presence_penalty,
        )
        if request.temperature == 0:
            return [penalties, c.llama_sampler_init_greedy()]
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
        return [
            penalties,
            c.llama_sampler_init_top_k(request.top_k),
            c.llama_sampler_init_top_p(request.top_p, 1),
            c.llama_sampler_init_min_p(request.min_p, 1),
            c.llama_sampler_init_temp(request.temperature),
            c.llama_sampler_init_dist(seed),
        ]
