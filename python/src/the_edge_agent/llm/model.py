"""One model loaded into memory: its facts, its tokens and its chat template."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from the_edge_agent.errors import ActionError, LimitError, ModelError
from the_edge_agent.llm import gguf, model_file, tool_form
from the_edge_agent.llm.backend import Message, Tool
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.mapping import Mapping
from the_edge_agent.llm.model_path import Found
from the_edge_agent.llm.thinking import Thinking
from the_edge_agent.llm.thinking import marks as find_marks
from the_edge_agent.llm.tool_form import ToolForm

if TYPE_CHECKING:
    from the_edge_agent.llm.chat_template import ChatTemplate

_PIECE_BYTES = 256
_STEP = 0.05  # of a model, whose pages are given back together
# Bytes of a token. A prompt with fewer for each token of the context is tokenized soon.
_USUAL_PIECE = 16
_MARKED = 16  # tokens at a prompt's end that may hold marks of thinking


class Stopped(Exception):  # not an error
    """The caller asked to stop; nothing is wrong."""


class _Progress:
    """What llama.cpp asks while it loads: whether to go on."""

    def __init__(self, mapping: Mapping | None, stopped: Callable[[], bool]) -> None:
        """``mapping``: of pages that are not needed again once they were copied."""
        self._mapping = mapping
        self._stopped = stopped
        self._next = 0.0

    def __call__(self, progress: float, _data: object) -> bool:
        if self._mapping is not None and progress >= self._next:
            self._mapping.give_back()
            self._next = progress + _STEP
        return not self._stopped()


class Model:
    """A model in memory. Its methods are for one thread at a time."""

    def __init__(
        self,
        llama: Llama,
        found: Found,
        head: gguf.Gguf,
        *,
        n_gpu_layers: int = -1,
        repacked: int = 0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Map the model of ``found`` into memory; ``stopped`` is asked now and then.

        ``head`` is what ``gguf.read`` says of the same file. ``repacked``: about so many bytes of
        it are copied into an order that is faster to compute with, none for 0.

        Raises:
            ModelError: the file is damaged, or llama.cpp does not know its kind.
            Stopped: ``stopped`` said so.
        """
        self.head = head
        self._c = llama.c
        params = self._c.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        params.use_extra_bufts = repacked > 0
        mapping = Mapping([found.extent.descriptor] if found.extent else gguf.parts(found.path))
        mapping.watch()
        progress = _Progress(mapping if repacked else None, stopped)
        goes_on = self._c.llama_progress_callback(progress)
        params.progress_callback = goes_on
        llama.errors.clear()
        handle = self._load(found, params)
        if repacked:
            mapping.give_back()
        if not handle:
            if stopped():
                raise Stopped
            raise ModelError(
                f"llama.cpp cannot load {found.path}"
                f" (architecture {self.head.architecture or 'unknown'}): {llama.errors.reason()}"
            )
        self.handle: Any = handle
        self.vocabulary = self._c.llama_model_get_vocab(handle)
        self._bos = self._c.llama_vocab_bos(self.vocabulary)
        self._adds_bos = bool(self._c.llama_vocab_get_add_bos(self.vocabulary)) and self._bos >= 0
        self._pieces: dict[int, bytes | None] = {}  # of the tokens that answers had so far
        self._template_text = self.head.chat_template or found.chat_template
        self._template: ChatTemplate | None = None

    def _load(self, found: Found, params: Any) -> Any:
        if found.extent is None:
            return self._c.llama_model_load_from_file(os.fsencode(found.path), params)
        with model_file.stream(found.extent) as file:
            return self._c.llama_model_load_from_file_ptr(file, params)

    def close(self) -> None:
        """Give the memory back; the model is not to be used after that."""
        if self.handle:
            self._c.llama_model_free(self.handle)
            self.handle = None

    @property
    def name(self) -> str:
        """The name in the model's own metadata, else its file's."""
        return self.head.name

    def prompt_tokens(
        self,
        messages: tuple[Message, ...],
        prompt: str | None,
        n_ctx: int,
        *,
        tools: tuple[Tool, ...] = (),
        thinking: bool | None = None,
    ) -> list[int]:
        """Return the tokens that the answer goes on from, with at most one BOS at their head.

        ``prompt`` is completed as it stands when the model has no chat template. ``tools`` are
        those that the model may call.

        Raises:
            ModelError: there is no chat template and no such prompt, or the template fails.
            ActionError: there is nothing to go on from.
            LimitError: a context of ``n_ctx`` tokens cannot hold it, whatever its tokens are.
        """
        size = sum(len(message.content.encode("utf-8", "replace")) for message in messages)
        if size > n_ctx * _USUAL_PIECE and size > n_ctx * self._longest_piece():
            raise LimitError(
                f"the prompt has {size} bytes, more than a context of {n_ctx} tokens can hold",
                hint="shorten the prompt",
            )
        if self._template_text is not None:
            tokens = self._chat_tokens(messages, tools, thinking)
        elif prompt is not None and not tools:
            tokens = self.tokenize(prompt, special=True)
        else:
            raise ModelError(
                f"{self.name} has no chat template, so it cannot chat",
                hint="use an instruction-tuned model, or a prompt without system text,"
                " which it completes as plain text",
            )
        return self._with_bos(tokens)

    def _longest_piece(self) -> int:
        """Return the bytes of the longest text that the vocabulary has a token for."""
        get_text, tokens = self._c.llama_vocab_get_text, range(self.vocabulary_size)
        return max((len(get_text(self.vocabulary, token) or b"") for token in tokens), default=0)

    @property
    def vocabulary_size(self) -> int:
        """How many tokens there are."""
        count: int = self._c.llama_vocab_n_tokens(self.vocabulary)
        return count

    def tokenize(self, text: str, *, special: bool, add_special: bool = False) -> list[int]:
        """Return the tokens of ``text``.

        ``special``: the names of control tokens in it become these tokens. ``add_special``: with
        what the model wants at the head and the end of a text.
        """
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        while True:
            tokens = (self._c.llama_token * size)()
            count = self._c.llama_tokenize(
                self.vocabulary, data, len(data), tokens, size, add_special, special
            )
            if count >= 0:
                return list(tokens[:count])
            size = -count

    def piece(self, token: int) -> bytes | None:
        """Return the bytes of ``token``, or None when it ends an answer.

        They may be less than a character, and none for a special token.
        """
        try:
            return self._pieces[token]
        except KeyError:
            ends = self._c.llama_vocab_is_eog(self.vocabulary, token)
            piece = self._pieces[token] = None if ends else self.text_of(token)
            return piece

    @cached_property
    def ends_of_answers(self) -> list[int]:
        """The tokens that end an answer. For any thread."""
        is_end, tokens = self._c.llama_vocab_is_eog, range(self.vocabulary_size)
        return [token for token in tokens if is_end(self.vocabulary, token)]

    def thinking(self, prompt: list[int]) -> Thinking | None:
        """Return what tells thoughts from the answer to ``prompt``; None: the model has none."""
        if self._template_text is None or (marks := find_marks(self._template_text)) is None:
            return None
        return Thinking(marks, b"".join(map(self.marked, prompt[-_MARKED:])))

    def marked(self, token: int) -> bytes:
        """Return the bytes of ``token``, of a special one its name."""
        return self.piece(token) or self._token_text(token).encode()

    def text_of(self, token: int, size: int = _PIECE_BYTES) -> bytes:
        """Return the bytes of ``token``, none for a special one. For any thread."""
        buffer = ctypes.create_string_buffer(size)
        count = self._c.llama_token_to_piece(self.vocabulary, token, buffer, size, 0, False)
        return buffer.raw[:count] if count >= 0 else self.text_of(token, -count)

    @property
    def tool_form(self) -> ToolForm:
        """The form of the calls that the model makes."""
        return tool_form.of_template(self._template_text or "")

    def _chat_tokens(
        self, messages: tuple[Message, ...], tools: tuple[Tool, ...], thinking: bool | None
    ) -> list[int]:
        from the_edge_agent.llm.control_tokens import Placeholders

        hidden = Placeholders(
            tool_form.messages(self.tool_form, messages, tools),
            self._control_texts,
            tool_form.template_tools(self.tool_form, tools),
        )
        text = self._chat_template().render(hidden.messages, tools=hidden.tools, thinking=thinking)
        return [
            token
            for part in hidden.parts(text)
            for token in self.tokenize(part.text, special=part.special)
        ]

    def _control_texts(self, text: str) -> set[str]:
        is_control = self._c.llama_vocab_is_control
        tokens = set(self.tokenize(text, special=True))
        return {self._token_text(token) for token in tokens if is_control(self.vocabulary, token)}

    def _with_bos(self, tokens: list[int]) -> list[int]:
        # Templates often write the BOS themselves, and some tokenizers add one: never both.
        while len(tokens) > 1 and self._adds_bos and tokens[0] == tokens[1] == self._bos:
            tokens.pop(0)
        if self._adds_bos and tokens[:1] != [self._bos]:
            tokens.insert(0, self._bos)
        if not tokens:
            raise ActionError("the prompt is empty")
        return tokens

    def _chat_template(self) -> ChatTemplate:
        if self._template is None:
            from the_edge_agent.llm.chat_template import ChatTemplate  # brings jinja2

            assert self._template_text is not None
            self._template = ChatTemplate(
                self._template_text,
                bos_token=self._token_text(self._bos),
                eos_token=self._token_text(self._c.llama_vocab_eos(self.vocabulary)),
            )
        return self._template

    def _token_text(self, token: int) -> str:
        if token < 0:
            return ""
        text = self._c.llama_vocab_get_text(self.vocabulary, token)
        return text.decode("utf-8", "replace") if text else ""
