"""Vectors of texts, from a loaded model."""

from __future__ import annotations

import math
from typing import Any

from the_edge_agent.errors import LimitError, ModelError
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.model import Model, Stopped
from the_edge_agent.llm.stop_flag import StopFlag


class Embedder:
    """A context that pools the vectors of a text's tokens into one, of length 1.

    Pooling is the model's own way; a model that was made to chat has none, and gets the mean.
    """

    def __init__(
        self, llama: Llama, model: Model, *, n_ctx: int, n_threads: int, stop: StopFlag
    ) -> None:
        """Set memory aside for texts of up to ``n_ctx`` tokens.

        Raises:
            ModelError: there is not enough memory.
        """
        self._c = llama.c
        self._model = model
        self._n_ctx = n_ctx
        self._stop = stop
        pooling = model.head.metadata.get(f"{model.head.architecture}.pooling_type")
        params = self._c.llama_context_default_params()
        params.n_ctx = n_ctx
        # A text is computed in one piece, because its tokens may look at later ones.
        params.n_batch = params.n_ubatch = n_ctx
        params.n_threads = params.n_threads_batch = n_threads
        params.embeddings = True
        params.pooling_type = (
            self._c.LLAMA_POOLING_TYPE_UNSPECIFIED if pooling else self._c.LLAMA_POOLING_TYPE_MEAN
        )
        params.abort_callback = self._c.ggml_abort_callback(stop.function)
        params.abort_callback_data = stop.argument
        llama.errors.clear()
        self._context: Any = self._c.llama_init_from_model(model.handle, params)
        if not self._context:
            raise ModelError(
                f"llama.cpp cannot make a context of {n_ctx} tokens: {llama.errors.reason()}",
                hint="set settings.llm.n_ctx to a smaller number",
            )
        self._memory = self._c.llama_get_memory(self._context)

    def close(self) -> None:
        """Give the memory back; the embedder is not to be used after that."""
        if self._context:
            self._c.llama_free(self._context)
            self._context = None

    def embed(self, texts: tuple[str, ...]) -> tuple[tuple[tuple[float, ...], ...], int]:
        """Return a vector for each text, and the number of tokens in all.

        Raises:
            LimitError: a text is longer than the context.
            ModelError: a computation failed, or the model gives no vectors.
            Stopped: the stop flag was set.
        """
        tokens = [self._model.tokenize(text, special=False, add_special=True) for text in texts]
        for each in tokens:
            if len(each) > self._n_ctx:
                raise LimitError(
                    f"the text has {len(each)} tokens, but the context only {self._n_ctx}",
                    hint="shorten the text, or raise settings.llm.n_ctx",
                )
        return tuple(self._vector(each) for each in tokens), sum(map(len, tokens))

    def _vector(self, tokens: list[int]) -> tuple[float, ...]:
        size = int(self._c.llama_model_n_embd_out(self._model.handle))
        if not tokens:
            return (0.0,) * size
        if self._memory:
            self._c.llama_memory_clear(self._memory, False)
        array = (self._c.llama_token * len(tokens))(*tokens)
        result = self._c.llama_decode(
            self._context, self._c.llama_batch_get_one(array, len(tokens))
        )
        if self._stop.is_set():
            raise Stopped
        values = self._c.llama_get_embeddings_seq(self._context, 0) if result == 0 else None
        if not values:
            raise ModelError(f"{self._model.name} gives no vectors (code {result})")
        vector = values[:size]
        length = math.sqrt(math.fsum(value * value for value in vector))
        return tuple(value / length for value in vector) if length else tuple(vector)
