"""One conversation with a loaded model: the key-value cache, sampling, and stopping.

Sampling is a chain in this order, which every engine here shares: penalties, then greedy alone at
temperature 0; else top-k (0: off), top-p, min-p, temperature and a draw with the seed.
"""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from the_edge_agent.errors import LimitError, ModelError
from the_edge_agent.llm.adaptive_threads import AdaptiveThreads
from the_edge_agent.llm.backend import ChatRequest, FinishReason
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.memory import BATCH, CACHE_TYPES, CacheType
from the_edge_agent.llm.model import Model, Stopped
from the_edge_agent.llm.stop_sequence_buffer import StopSequenceBuffer

MAX_SEED = 2**32 - 2  # the next number asks llama.cpp for a seed of its own
_ABORTED = 2  # result of llama_decode
_PENALTY_WINDOW = 64  # tokens that repetition is measured in, those of the prompt included


class StopFlag:
    """A flag that llama.cpp itself looks at between two operations of a computation.

    It looks about a thousand times a token, too often to ask Python. So it gets C's own
    ``strlen`` to call, and the flag is a string: empty while the computation is to go on.
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(2)
        strlen = ctypes.CDLL(None).strlen
        self.function: int = ctypes.cast(strlen, ctypes.c_void_p).value or 0
        self.argument = ctypes.addressof(self._text)

    def set(self) -> None:
        """Ask whoever computes to stop."""
        self._text[0] = b"x"

    def clear(self) -> None:
        """Let the next computation run."""
        self._text[0] = b"\0"

    def is_set(self) -> bool:
        """Return whether a stop was asked for."""
        return self._text.raw[0] != 0


@dataclass(frozen=True, slots=True)
class Generation:
    """What came of one request. Times in seconds; ``reused`` tokens were in the cache already."""

    text: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    reused: int
    prompt_seconds: float
    answer_seconds: float


class Session:
    """A context of ``n_ctx`` tokens on ``model``. For one thread at a time."""

    def __init__(
        self,
        llama: Llama,
        model: Model,
        *,
        n_ctx: int,
        n_threads: int,
        stop: StopFlag,
        yields: bool = False,
        cache_type: CacheType = "f16",
    ) -> None:
        """Set memory for the context aside.

        ``yields``: fewer threads than ``n_threads`` may compute an answer, see ``AdaptiveThreads``.
        ``cache_type``: what keys and values are kept in.

        Raises:
            ModelError: there is not enough memory, or the model cannot generate.
        """
        self._c = llama.c
        self._model = model
        self._n_ctx = n_ctx
        self._stop = stop
        params = self._c.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = BATCH
        params.n_ubatch = BATCH
        params.type_k = params.type_v = CACHE_TYPES[cache_type]
        params.n_threads = params.n_threads_batch = n_threads
        params.abort_callback = self._c.ggml_abort_callback(stop.function)
        params.abort_callback_data = stop.argument
        llama.errors.clear()
        self._context: Any = self._c.llama_init_from_model(model.handle, params)
        if not self._context:
            raise ModelError(
                f"llama.cpp cannot make a context of {n_ctx} tokens: {llama.errors.reason()}",
                hint="set settings.llm.n_ctx to a smaller number",
            )
        self._n_threads = n_threads
        self._adaptive = AdaptiveThreads(n_threads, self._assign) if yields else None
        self._memory = self._c.llama_get_memory(self._context)
        self._cached: list[int] = []  # the tokens whose keys and values are in the cache
        self._tokens = (self._c.llama_token * BATCH)()
        self._one = self._c.llama_batch_get_one(self._tokens, 1)

    def close(self) -> None:
        """Give the memory back; the session is not to be used after that."""
        if self._context:
            self._c.llama_free(self._context)
            self._context = None

    def generate(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> Generation:
        """Answer ``request``; what the cache has of its beginning is not computed again.

        Raises:
            LimitError: the prompt and the longest answer do not fit into the context.
            ModelError: the model cannot take the messages, or a computation failed.
            Stopped: the stop flag was set.
        """
        started = perf_counter()
        prompt = self._model.prompt_tokens(request.messages, request.prompt, self._n_ctx)
        room = self._n_ctx - request.max_tokens
        if len(prompt) > room:
            raise LimitError(
                f"the prompt has {len(prompt)} tokens, but only {max(room, 0)} fit: the context"
                f" of {self._n_ctx} less max_tokens of {request.max_tokens}",
                hint="shorten the prompt, lower max_tokens, or raise settings.llm.n_ctx",
            )
        reused = self._rewind(prompt)
        sampler = self._sampler(request, prompt)
        answer = StopSequenceBuffer(request.stop, on_text)
        try:
            self._compute_prompt(prompt[reused:])
            computed = perf_counter()
            # Another number of threads rounds otherwise, and a seed asks for the same answer.
            adaptive = None if request.seed is not None else self._adaptive
            self._assign(adaptive.threads if adaptive else self._n_threads)
            if adaptive:
                adaptive.begin()
            count, reason = self._answer(sampler, answer, request.max_tokens, adaptive)
        finally:
            self._c.llama_sampler_free(sampler)
        return Generation(
            text=answer.finish(),
            finish_reason=reason,
            prompt_tokens=len(prompt),
            completion_tokens=count,
            reused=reused,
            prompt_seconds=computed - started,
            answer_seconds=perf_counter() - computed,
        )

    def _answer(
        self, sampler: Any, answer: StopSequenceBuffer, limit: int, adaptive: AdaptiveThreads | None
    ) -> tuple[int, FinishReason]:
        """Sample tokens until the model, a stop string or ``limit`` ends the answer."""
        sample, context, model = self._c.llama_sampler_sample, self._context, self._model
        for count in range(limit):
            token = sample(sampler, context, -1)
            piece = model.piece(token)
            if piece is None:
                return count, "stop"
            if answer.feed(piece):
                return count + 1, "stop"
            if count + 1 < limit:
                self._compute_token(token, adaptive)
        return limit, "length"

    def _compute_token(self, token: int, adaptive: AdaptiveThreads | None) -> None:
        self._tokens[0] = token
        self._decode(self._one, [token])
        if adaptive:
            adaptive.observe()

    def _compute_prompt(self, tokens: list[int]) -> None:
        for start in range(0, len(tokens), BATCH):
            chunk = tokens[start : start + BATCH]
            self._tokens[: len(chunk)] = chunk
            self._decode(self._c.llama_batch_get_one(self._tokens, len(chunk)), chunk)

    def _assign(self, threads: int) -> None:
        """Have ``threads`` threads compute answers; prompts, whose parts are large, keep all."""
        self._c.llama_set_n_threads(self._context, threads, self._n_threads)

    def _decode(self, batch: Any, tokens: list[int]) -> None:
        if self._stop.is_set():
            raise Stopped
        result = self._c.llama_decode(self._context, batch)
        if result == 0:
            self._cached += tokens
            return
        self._cut(len(self._cached))  # an aborted computation leaves a part of its work behind
        if result == _ABORTED:
            raise Stopped
        raise ModelError(f"llama.cpp failed to compute (code {result})")

    def _rewind(self, prompt: list[int]) -> int:
        """Cut the cache back to what it shares with ``prompt``; return how many tokens that is.

        The last token of the prompt is always computed: sampling needs its result.
        """
        shared = 0
        for old, new in zip(self._cached, prompt[:-1], strict=False):
            if old != new:
                break
            shared += 1
        self._cut(shared)
        return len(self._cached)

    def _cut(self, length: int) -> None:
        """Keep the first ``length`` tokens in the cache, or none where that cannot be done.

        A recurrent state cannot go back, and a sliding window may have lost what lies before it.
        """
        if length and self._c.llama_memory_seq_rm(self._memory, 0, length, -1):
            del self._cached[length:]
        else:
            self._c.llama_memory_clear(self._memory, False)
            self._cached = []

    def _sampler(self, request: ChatRequest, prompt: list[int]) -> Any:
        c = self._c
        samplers = [
            c.llama_sampler_init_penalties(
                self._model.vocabulary_size,
                _PENALTY_WINDOW,
                request.repeat_penalty,
                request.frequency_penalty,
                request.presence_penalty,
            )
        ]
        if request.temperature == 0:
            samplers.append(c.llama_sampler_init_greedy())
        else:
            seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
            samplers += (
                c.llama_sampler_init_top_k(request.top_k),
                c.llama_sampler_init_top_p(request.top_p, 1),
                c.llama_sampler_init_min_p(request.min_p, 1),
                c.llama_sampler_init_temp(request.temperature),
                c.llama_sampler_init_dist(seed),
            )
        chain = c.llama_sampler_chain_init(c.llama_sampler_chain_default_params())
        for sampler in samplers:
            c.llama_sampler_chain_add(chain, sampler)
        for token in prompt[-_PENALTY_WINDOW:]:
            c.llama_sampler_accept(chain, token)
        return chain
