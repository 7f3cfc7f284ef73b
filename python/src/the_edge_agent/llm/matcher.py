"""What holds an answer to its shape, token by token: llguidance on the model's own vocabulary."""

from __future__ import annotations

import ctypes
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from the_edge_agent.errors import ActionError
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.model import Model
from the_edge_agent.llm.shape import Choices, JsonObject, JsonSchema, Regex, Shape
from the_edge_agent.schema import held
from the_edge_agent.value.value import json_text

if TYPE_CHECKING:
    from llguidance._lib import LLMatcher, LLTokenizer

_SPECIAL = b"\xff"  # before the name of a token that is no text: no text begins with it


def grammar(shape: Shape) -> str:
    """Return the grammar of a shape as llguidance takes it."""
    from llguidance._lib import LLMatcher

    if isinstance(shape, Choices):
        # Of one terminal: a choice may begin with another.
        texts = " | ".join(json_text(text) for text in shape.texts)
        return LLMatcher.grammar_from_lark(f"start: CHOICE\nCHOICE: {texts}")
    if isinstance(shape, Regex):
        return LLMatcher.grammar_from_regex(shape.pattern)
    if isinstance(shape, JsonObject | JsonSchema):
        schema: Any = {"type": "object"}
        if isinstance(shape, JsonSchema):
            schema = held.for_decoding(shape.schema)
        return LLMatcher.grammar_from_json_schema(
            json_text(schema),
            overrides={
                "whitespace_flexible": False,
                "item_separator": ", ",
                "key_separator": ": ",
            },
        )
    return LLMatcher.grammar_from_lark(shape.grammar)


class Matcher:
    """Follows one answer, and knows how it may go on."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def stopped(self) -> bool:
        """Whether the answer is complete and cannot go on."""
        return self._matcher.is_stopped()

    def allows(self, token: int) -> bool:
        """Return whether the answer may go on with ``token``."""
        return self._matcher.validate_tokens([token]) == 1

    def mask(self) -> bytes:
        """Return a bit for each token of the vocabulary, the lowest first: set when it may come."""
        return self._matcher.compute_bitmask()

    def forced(self) -> list[int]:
        """Return the tokens that must come next, if the next one must."""
        return self._matcher.compute_ff_tokens()

    def consume(self, token: int) -> None:
        """Go on with ``token``, which is allowed.

        Raises:
            ActionError: the grammar has become too large to follow.
        """
        if not self._matcher.consume_token(token):
            raise ActionError(f"the answer cannot be held to its shape: {_error(self._matcher)}")


class Matchers:
    """Makes the matchers of one model.

    Its vocabulary, which takes up to a second, is read when the first is asked for.
    """

    def __init__(self, llama: Llama, model: Model) -> None:
        self._c = llama.c
        self._model = model
        self._tokenizer: LLTokenizer | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grammar")

    def begin(self, grammar: str) -> Future[Matcher]:
        """Make the matcher of an answer, beside the thread that computes the prompt.

        Its future gets an ActionError where no answer can be held to the grammar.
        """
        return self._thread.submit(self._make, grammar)

    def close(self) -> None:
        """Wait for what is being made; the model may be closed after that."""
        self._thread.shutdown()

    def _make(self, grammar: str) -> Matcher:
        from llguidance._lib import LLMatcher

        if self._tokenizer is None:
            self._tokenizer = self._read_vocabulary()
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise ActionError(f"no answer can be held to this shape: {_error(matcher)}")
        return Matcher(matcher)

    def _read_vocabulary(self) -> LLTokenizer:
        from llguidance._lib import LLTokenizer

        vocabulary, c = self._model.vocabulary, self._c
        tokens = range(self._model.vocabulary_size)
        ends = self._model.ends_of_answers.copy()
        if not ends:
            raise ActionError(
                "the model has no token that ends an answer, so none can be held to a shape"
            )
        end = c.llama_vocab_eos(vocabulary)
        # The first is the one that llguidance itself writes.
        ends.sort(key=lambda token: token != end)
        maker: Any = LLTokenizer
        tokenizer: LLTokenizer = maker.from_llamacpp(
            tokens=[self._word(token) for token in tokens],
            vocab_ptr=vocabulary,
            tokenize_fptr=ctypes.cast(c.llama_tokenize, ctypes.c_void_p).value,
            eos_token=ends,
        )
        return tokenizer

    def _word(self, token: int) -> bytes:
        text: bytes = self._c.llama_vocab_get_text(self._model.vocabulary, token) or b""
        return self._model.text_of(token) or _SPECIAL + text


def _error(matcher: LLMatcher) -> str:
    """Return why it failed, in one line: what follows is llguidance's own state."""
    return matcher.get_error().partition("\n")[0]
