"""A stand-in for llama.cpp's C functions, with a model that says what it is told to.

Tokens: 0 is the BOS, 1 ends an answer, and every byte b of a text is the token 2 + b. The first two
are control tokens. It keeps a record of what was computed, and can be told to fail. What it says
can depend on the tokens of the prompt.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from the_edge_agent.llm.bindings import ErrorLog

BOS, END, FIRST = 0, 1, 2


def tokens_of(data: bytes) -> list[int]:
    return [FIRST + byte for byte in data]


class Chain(list[tuple[Any, ...]]):
    """The samplers of one answer, and what is left of the answer."""

    says: Iterator[int] | None = None


class TokenData(ctypes.Structure):
    _fields_ = (("id", ctypes.c_int32), ("logit", ctypes.c_float), ("p", ctypes.c_float))


class TokenDataArray(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.POINTER(TokenData)),
        ("size", ctypes.c_size_t),
        ("selected", ctypes.c_int64),
        ("sorted", ctypes.c_bool),
    )


class FakeC:
    """The functions, under llama.cpp's own names."""

    llama_token = ctypes.c_int32
    llama_token_data = TokenData
    llama_token_data_array = TokenDataArray
    LLAMA_POOLING_TYPE_UNSPECIFIED = -1
    LLAMA_POOLING_TYPE_MEAN = 1

    def __init__(
        self,
        *,
        says: bytes | Callable[[list[int]], bytes],
        adds_bos: bool = True,
        can_cut: bool = True,
        end: bytes = b"<end>",
    ) -> None:
        self.says = says
        self.errors = ErrorLog()
        self.names = {BOS: b"<bos>", END: end}
        self.adds_bos = adds_bos
        self.can_cut = can_cut
        self.caches: dict[int, list[int]] = {}  # of each sequence
        self.computed: list[list[int]] = []  # the tokens of each llama_decode
        self.batches: list[dict[int, list[int]]] = []  # the same, of each sequence
        self.threads: list[tuple[int, int]] = []  # told for answers and for prompts
        self.chains: list[Chain] = []
        self.heard: list[int] = []  # what the penalties were told
        self.held_back: list[set[int]] = []  # the tokens that they were given, each time
        self.logits = (ctypes.c_float * 300)()
        self.freed = 0
        self.before_decode: Any = None
        self.decode_result = 0
        self.recurrent = False
        self._rows: list[tuple[int, bool]] = []  # of the last batch: its sequence, and if wanted

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

    def llama_model_is_recurrent(self, _model: object) -> bool:
        return self.recurrent

    def llama_model_is_hybrid(self, _model: object) -> bool:
        return False

    def llama_memory_seq_rm(self, _memory: object, sequence: int, start: int, _end: int) -> bool:
        cache = self.caches.setdefault(sequence, [])
        can = self.can_cut or start in (0, len(cache))
        if can:
            del cache[start:]
        return can

    def llama_memory_seq_cp(
        self, _memory: object, source: int, target: int, start: int, end: int
    ) -> None:
        assert not self.caches.get(target)
        self.caches[target] = self.caches[source][start:end]

    def llama_batch(self, **fields: Any) -> SimpleNamespace:
        return SimpleNamespace(**fields)

    def llama_decode(self, _context: object, batch: SimpleNamespace) -> int:
        if self.before_decode is not None:
            self.before_decode()
        self.computed.append(list(batch.token[: batch.n_tokens]))
        self.batches.append({})
        self._rows = []
        for at in range(batch.n_tokens):
            sequence, token = batch.seq_id[at][0], batch.token[at]
            cache = self.caches.setdefault(sequence, [])
            assert batch.pos[at] == len(cache)
            assert batch.n_seq_id[at] == 1
            cache.append(token)
            self.batches[-1].setdefault(sequence, []).append(token)
            self._rows.append((sequence, bool(batch.logits[at])))
        assert sum(map(len, self.caches.values())) <= self.params.n_ctx * self.params.n_seq_max
        return self.decode_result

    # sampling

    def llama_sampler_chain_default_params(self) -> None:
        return None

    def llama_sampler_chain_init(self, _params: None) -> Chain:
        chain = Chain()
        self.chains.append(chain)
        return chain

    def llama_sampler_chain_add(self, chain: Chain, part: tuple[Any, ...]) -> None:
        chain.append(part)

    def __getattr__(self, name: str) -> Any:
        kind = name.removeprefix("llama_sampler_init_")
        if kind == name:
            raise AttributeError(name)
        return lambda *params: (kind, *params)

    def llama_get_logits_ith(self, _context: object, row: int) -> Any:
        assert self._rows[row][1]
        return self.logits

    def llama_sampler_apply(self, sampler: tuple[Any, ...], array: Any) -> None:
        """The penalties': take one from each logit."""
        candidates = array._obj
        assert sampler[0] == "penalties"
        self.held_back.append({candidates.data[n].id for n in range(candidates.size)})
        for number in range(candidates.size):
            candidates.data[number].logit -= 1

    def llama_sampler_accept(self, _chain: object, token: int) -> None:
        self.heard.append(token)

    def llama_sampler_free(self, _chain: object) -> None:
        self.freed += 1

    def llama_sampler_sample(self, chain: Chain, _context: object, row: int) -> int:
        sequence, wanted = self._rows[row]
        assert wanted
        if chain.says is None:
            prompt = list(self.caches[sequence])
            chain.says = iter(self.says if isinstance(self.says, bytes) else self.says(prompt))
        return next((FIRST + byte for byte in chain.says), END)


class FakeLlama:
    """What ``bindings.Llama`` is to its users."""

    def __init__(self, c: FakeC) -> None:
        self.c = c
        self.errors = c.errors
