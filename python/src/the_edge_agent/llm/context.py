"""llama.cpp's context: keys and values of several sequences, and the batch to compute next."""

from __future__ import annotations

import ctypes
from typing import Any

from the_edge_agent.errors import ModelError
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.memory import BATCH, CACHE_TYPES, CacheType
from the_edge_agent.llm.model import Model
from the_edge_agent.llm.stop_flag import StopFlag

SEQUENCES = 16  # that a context holds at a time
ABORTED = 2  # result of llama_decode


class Batch:
    """Tokens of one or more sequences that are computed together, at most ``BATCH``."""

    def __init__(self, c: Any) -> None:
        self._tokens = (c.llama_token * BATCH)()
        self._positions = (ctypes.c_int32 * BATCH)()
        self._sequences = (ctypes.c_int32 * BATCH)()
        self._wanted: Any = (ctypes.c_int8 * BATCH)()
        counts = (ctypes.c_int32 * BATCH)(*[1] * BATCH)  # each token belongs to one sequence
        first = ctypes.addressof(self._sequences)
        pointers = (ctypes.c_void_p * BATCH)(*range(first, first + 4 * BATCH, 4))
        self.fields: Any = c.llama_batch(
            n_tokens=0,
            token=self._tokens,
            pos=self._positions,
            n_seq_id=counts,
            seq_id=ctypes.cast(pointers, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=self._wanted,
        )
        self.count = 0

    def add(self, sequence: int, position: int, tokens: list[int], wanted: int) -> int:
        """Add ``tokens``, of which the last ``wanted`` are to give logits.

        Return the row of the first of these, by which its logits are asked for.
        """
        first, end = self.count, self.count + len(tokens)
        if len(tokens) == 1:
            self._tokens[first] = tokens[0]
            self._positions[first] = position
            self._sequences[first] = sequence
            self._wanted[first] = wanted
        else:
            self._tokens[first:end] = tokens
            self._positions[first:end] = list(range(position, position + len(tokens)))
            self._sequences[first:end] = [sequence] * len(tokens)
            self._wanted[first:end] = [0] * (len(tokens) - wanted) + [1] * wanted
        self.count = self.fields.n_tokens = end
        return end - wanted


class Context:
    """Room for ``n_ctx`` tokens in up to ``sequences`` sequences. For one thread at a time."""

    def __init__(
        self,
        llama: Llama,
        model: Model,
        *,
        n_ctx: int,
        n_threads: int,
        stop: StopFlag,
        cache_type: CacheType = "f16",
    ) -> None:
        """Set memory for the context aside; ``cache_type``: what keys and values are kept in.

        Raises:
            ModelError: there is not enough memory, or the model cannot generate.
        """
        self._c = llama.c
        self.n_ctx = n_ctx
        # A recurrent state is kept for each sequence, whether it is used or not.
        recurrent = self._c.llama_model_is_recurrent(model.handle)
        hybrid = self._c.llama_model_is_hybrid(model.handle)
        self.can_cut = not (recurrent or hybrid)
        self.sequences = SEQUENCES if self.can_cut else 1
        params = self._c.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = BATCH
        params.n_ubatch = BATCH
        params.n_seq_max = self.sequences
        params.kv_unified = True  # sequences share the room, and the beginnings that are the same
        params.type_k = params.type_v = CACHE_TYPES[cache_type]
        params.n_threads = params.n_threads_batch = n_threads
        params.abort_callback = self._c.ggml_abort_callback(stop.function)
        params.abort_callback_data = stop.argument
        llama.errors.clear()
        self.handle: Any = self._c.llama_init_from_model(model.handle, params)
        if not self.handle:
            raise ModelError(
                f"llama.cpp cannot make a context of {n_ctx} tokens: {llama.errors.reason()}",
                hint="set settings.llm.n_ctx to a smaller number",
            )
        self._memory = self._c.llama_get_memory(self.handle)
        self._threads = n_threads
        self.batch = Batch(self._c)

    def close(self) -> None:
        """Give the memory back; the context is not to be used after that."""
        if self.handle:
            self._c.llama_free(self.handle)
            self.handle = None

    def set_threads(self, threads: int) -> None:
        """Have ``threads`` threads compute from now on."""
        if threads != self._threads:
            self._threads = threads
            self._c.llama_set_n_threads(self.handle, threads, threads)

    def compute(self) -> int:
        """Compute the batch; return 0, ``ABORTED``, or another number for a failure."""
        return int(self._c.llama_decode(self.handle, self.batch.fields))

    def logits(self, row: int) -> Any:
        """Return a pointer to the logits of a row of the batch, one for each token there is."""
        return self._c.llama_get_logits_ith(self.handle, row)

    def cut(self, sequence: int, length: int) -> bool:
        """Forget what a sequence has after its first ``length`` tokens; return whether it could.

        A recurrent state cannot go back, and a sliding window may have lost what lies before it.
        """
        return bool(self._c.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def copy(self, source: int, target: int, length: int) -> None:
        """Have ``target``, which is empty, begin with the first ``length`` tokens of ``source``.

        They are shared: it takes neither time nor room.
        """
        self._c.llama_memory_seq_cp(self._memory, source, target, 0, length)
