"""A stand-in for llama.cpp's C functions, with a model that says what it is told to.

Tokens: 0 is the BOS, 1 ends an answer, and every byte b of a text is the token 2 + b. The first two
are control tokens. It keeps a record of what was computed, and can be told to fail.
"""

from __future__ import annotations

import ctypes
import re
from types import SimpleNamespace
from typing import Any

from the_edge_agent.llm.bindings import ErrorLog

BOS, END, FIRST = 0, 1, 2


def tokens_of(data: bytes) -> list[int]:
    return [FIRST + byte for byte in data]


class FakeC:
    """The functions, under llama.cpp's own names."""

    llama_token = ctypes.c_int32
    LLAMA_POOLING_TYPE_UNSPECIFIED = -1
    LLAMA_POOLING_TYPE_MEAN = 1

    def __init__(
        self,
        *,
        says: bytes,
        adds_bos: bool = True,
        can_cut: bool = True,
        end: bytes = b"<end>",
    ) -> None:
        self.says = says
        self.errors = ErrorLog()
        self.names = {BOS: b"<bos>", END: end}
        self.adds_bos = adds_bos
        self.can_cut = can_cut
        self.cache: list[int] = []
        self.computed: list[list[int]] = []  # the tokens of each llama_decode
        self.threads: list[tuple[int, int]] = []  # told for answers and for prompts
        self.chains: list[list[tuple[Any, ...]]] = []
        self.heard: list[int] = []  # what the samplers were told of the prompts
        self.freed = 0
        self.before_decode: Any = None
        self.decode_result = 0
        self._said = 0

    # model and vocabulary

    def llama_model_default_params(self) -> SimpleNamespace:
        return SimpleNamespace()

    def llama_progress_callback(self, function: Any) -> Any:
        return function

    def llama_model_load_from_file(self, path: bytes, params: Any) -> object:
        return object() if params.progress_callback(0.5, None) else None

    def llama_model_get_vocab(self, _model: object) -> object:
        return object()

    def llama_vocab_bos(self, _vocab: object) -> int:
        return BOS

    def llama_vocab_eos(self, _vocab: object) -> int:
        return END

    def llama_vocab_get_add_bos(self, _vocab: object) -> bool:
        return self.adds_bos

    def llama_vocab_n_tokens(self, _vocab: object) -> int:
        return 3

    def llama_vocab_get_text(self, _vocab: object, token: int) -> bytes:
        return self.names[token]

    def llama_vocab_is_eog(self, _vocab: object, token: int) -> bool:
        return token == END

    def llama_vocab_is_control(self, _vocab: object, token: int) -> bool:
        return token < FIRST

    def llama_model_free(self, _model: object) -> None:
        self.freed += 1

    def llama_tokenize(
        self,
        _vocab: object,
        data: bytes,
        _length: int,
        array: Any,
        size: int,
        _add: bool,
        special: bool,
    ) -> int:
        controls = {name: token for token, name in self.names.items()}
        names = b"|".join(map(re.escape, controls))
        tokens: list[int] = []
        for piece in re.split(b"(" + names + b")", data) if special else [data]:
            tokens += [controls[piece]] if piece in controls else tokens_of(piece)
        if len(tokens) > size:
            return -len(tokens)
        array[: len(tokens)] = tokens
        return len(tokens)

    def llama_token_to_piece(
        self, _vocab: object, token: int, buffer: Any, _size: int, _lstrip: int, _special: bool
    ) -> int:
        if token < FIRST:
            return 0
        buffer[0] = bytes([token - FIRST])
        return 1

    # context

    def llama_context_default_params(self) -> SimpleNamespace:
        return SimpleNamespace()

    def ggml_abort_callback(self, function: Any) -> Any:
        return function

    def llama_init_from_model(self, _model: object, params: Any) -> object:
        self.params = params
        return object()

    def llama_free(self, _context: object) -> None:
        self.freed += 1

    def llama_set_n_threads(self, _context: object, answer: int, prompt: int) -> None:
        self.threads.append((answer, prompt))

    def llama_get_memory(self, _context: object) -> object:
        return object()

    def llama_memory_clear(self, _memory: object, _data: bool) -> None:
        self.cache = []

    def llama_memory_seq_rm(self, _memory: object, _sequence: int, start: int, _end: int) -> bool:
        if self.can_cut:
            del self.cache[start:]
        return self.can_cut

    def llama_batch_get_one(self, array: Any, count: int) -> tuple[Any, int]:
        return array, count

    def llama_decode(self, _context: object, batch: tuple[Any, int]) -> int:
        if self.before_decode is not None:
            self.before_decode()
        array, count = batch
        tokens = list(array[:count])
        self.computed.append(tokens)
        self.cache += tokens
        return self.decode_result

    # sampling

    def llama_sampler_chain_default_params(self) -> None:
        return None

    def llama_sampler_chain_init(self, _params: None) -> list[tuple[Any, ...]]:
        self._said = 0
        chain: list[tuple[Any, ...]] = []
        self.chains.append(chain)
        return chain

    def llama_sampler_chain_add(self, chain: list[tuple[Any, ...]], part: tuple[Any, ...]) -> None:
        chain.append(part)

    def __getattr__(self, name: str) -> Any:
        kind = name.removeprefix("llama_sampler_init_")
        if kind == name:
            raise AttributeError(name)
        return lambda *params: (kind, *params)

    def llama_sampler_accept(self, _chain: object, token: int) -> None:
        self.heard.append(token)

    def llama_sampler_free(self, _chain: object) -> None:
        self.freed += 1

    def llama_sampler_sample(self, _chain: object, _context: object, _index: int) -> int:
        self._said += 1
        return FIRST + self.says[self._said - 1] if self._said <= len(self.says) else END


class FakeLlama:
    """What ``bindings.Llama`` is to its users."""

    def __init__(self, c: FakeC) -> None:
        self.c = c
        self.errors = c.errors
