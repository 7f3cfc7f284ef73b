"""One answer in the making: its tokens, its sampler, and where it ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from the_edge_agent.errors import LimitError
from the_edge_agent.llm import tool_form
from the_edge_agent.llm.backend import ChatRequest, FinishReason
from the_edge_agent.llm.bindings import Llama
from the_edge_agent.llm.cache import Cache, Slot
from the_edge_agent.llm.context import Batch, Context
from the_edge_agent.llm.memory import BATCH
from the_edge_agent.llm.model import Model
from the_edge_agent.llm.prompt_lookup import PromptLookup
from the_edge_agent.llm.sampler import Sampler
from the_edge_agent.llm.stop_sequence_buffer import StopSequenceBuffer

if TYPE_CHECKING:
    from the_edge_agent.llm.matcher import Matcher


@dataclass(frozen=True, slots=True)
class Generation:
    """What came of one request. Times in seconds; ``reused`` tokens were in the cache already.

    ``fed`` tokens of the answer were forced by its shape, and not sampled; ``looked_up`` ones
    were computed together, see ``PromptLookup``.
    """

    text: str
    reasoning: str | None
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    reused: int
    fed: int
    looked_up: int
    prompt_seconds: float
    answer_seconds: float


class Sequence:
    """A prompt and the answer that grows behind it. ``tokens`` has both."""

    def __init__(
        self,
        llama: Llama,
        model: Model,
        request: ChatRequest,
        on_text: Callable[[str], None] | None,
        *,
        n_ctx: int,
        can_cut: bool = False,
        matcher: Future[Matcher] | None = None,
    ) -> None:
        """Make the prompt's tokens; ``matcher`` holds the answer to its shape.

        ``can_cut``: the cache can forget tokens at the end.

        Raises:
            LimitError: the prompt and the longest answer do not fit into ``n_ctx`` tokens.
            ModelError: the model cannot take the messages.
            ActionError: the prompt is empty.
        """
        self.tokens = model.prompt_tokens(
            request.messages,
            request.prompt,
            n_ctx,
            tools=tool_form.offered(request),
            thinking=request.thinking,
        )
        self.prompt = len(self.tokens)
        room = n_ctx - request.max_tokens
        if self.prompt > room:
            raise LimitError(
                f"the prompt has {self.prompt} tokens, but only {max(room, 0)} fit: the context"
                f" of {n_ctx} less max_tokens of {request.max_tokens}",
                hint="shorten the prompt, lower max_tokens, or raise settings.llm.n_ctx",
            )
        self.longest = self.prompt + request.max_tokens  # tokens that it may come to
        self.seeded = request.seed is not None
        self._model = model
        self._sampler = Sampler(llama, model.vocabulary_size, request, self.tokens)
        self._matcher = matcher
        self._is_held = False  # whether the matcher has begun
        self._thinking = model.thinking(self.tokens)
        looks_up = request.temperature == 0 and matcher is None and can_cut
        self._lookup = PromptLookup() if looks_up else None
        self._answer = StopSequenceBuffer(request.stop, on_text)
        self._reason: FinishReason | None = None
        self._count = self._reused = self._fed = self._looked_up = 0
        self._started = self._computed = 0.0
        self.answering = False  # whether the prompt is computed
        self.slot = Slot(-1)
        self._batched: list[int] = []
        self._proposed: list[int] = []
        self._row, self._due = 0, False

    def begin(self, slot: Slot) -> None:
        """Go on from what ``slot`` has of the prompt."""
        self.slot = slot
        self._reused = len(slot.tokens)
        self._started = perf_counter()

    def close(self) -> None:
        """Give the sampler's memory back."""
        self._sampler.close()

    def put_into(self, batch: Batch, *, is_alone: bool) -> None:
        """Add the tokens to compute next to ``batch``, as many as it has room for.

        ``is_alone``: no other sequence is computed.
        """
        done = self.slot.tokens
        self._batched = self.tokens[len(done) : len(done) + BATCH - batch.count]
        self._due = len(done) + len(self._batched) == len(self.tokens)
        self._proposed = []
        if self._lookup is not None and self._due and self.answering and is_alone:
            room = self.longest - len(self.tokens) - 1
            self._proposed = self._lookup.propose(self.tokens, room)
        self._row = batch.add(
            self.slot.id,
            len(done),
            [*self._batched, *self._proposed] if self._proposed else self._batched,
            len(self._proposed) + 1 if self._due else 0,
        )

    def advance(self, cache: Cache) -> None:
        """Take note that the batch was computed, and sample what follows if that is due."""
        self.slot.tokens += self._batched
        if not self._due:
            return
        if not self.answering:
            self.answering = True
            if self._matcher is not None:
                wait([self._matcher])  # it is made beside the prompt, and counts as that
            self._computed = perf_counter()
        context = cache.context
        if self._proposed:
            self._verify(cache)
        elif self._matcher is None:
            self._take(self._sampler.sample(context, self._row))
        elif not self._thinks(context):
            self._take_held(context, self._matcher.result())

    def _verify(self, cache: Cache) -> None:
        """Sample as if the proposed tokens had come one by one, up to the first that is another."""
        assert self._lookup is not None
        slot, accepted = self.slot, 0
        computed = len(slot.tokens)
        slot.tokens += self._proposed
        for row, proposed in enumerate([*self._proposed, None], self._row):
            token = self._sampler.sample(cache.context, row)
            self._take(token)
            if self._reason is not None or token != proposed:
                break
            accepted += 1
        self._lookup.judge(len(self._proposed), accepted)
        self._looked_up += accepted
        if accepted < len(self._proposed):
            cache.cut(slot, computed + accepted)
        if not self._lookup.pays or not slot.tokens:  # it does not pay, or nothing can be cut off
            self._lookup = None

    def _thinks(self, context: Context) -> bool:
        """Take a token of what is thought before a held answer; return False when that begins."""
        if self._thinking is None or self._thinking.answering:
            return False
        token = self._sampler.sample(context, self._row)
        thinks = self._thinking.goes_on_with(self._model.marked(token))
        if thinks:
            self._take(token)
        return thinks

    def _take_held(self, context: Context, matcher: Matcher) -> None:
        """Sample a token that ``matcher`` allows, and take those that it forces at once."""
        begun, self._is_held = self._is_held, True
        if begun or not self._take_forced(matcher):
            token = self._sampler.sample(context, self._row)
            if not matcher.allows(token):
                token = self._sampler.sample_among(context, self._row, matcher.mask())
            self._take(token)
            if self._reason == "stop":
                return
            matcher.consume(token)
            self._take_forced(matcher)
        if matcher.stopped:
            self._reason = "stop"

    def _take_forced(self, matcher: Matcher) -> bool:
        """Take the tokens that must come next; return whether there are any."""
        forced = matcher.forced()
        for token in forced:
            if self._reason is None:
                self._fed += 1
                self._take(token)
                matcher.consume(token)
        return bool(forced)

    def _take(self, token: int) -> None:
        """Add ``token`` to the answer, and see whether it ends with it."""
        piece = self._model.piece(token)
        if piece is None:
            self._reason = "stop"
            return
        self._count += 1
        self.tokens.append(token)
        self._sampler.accept(token)
        if self._thinking is not None:
            mark = piece or self._model.marked(token)
            piece = self._thinking.feed(mark if mark in self._thinking.marks else piece)
        if self._answer.feed(piece):
            self._reason = "stop"
        elif len(self.tokens) == self.longest:
            self._reason = "length"

    @property
    def ended(self) -> bool:
        """Whether the answer is complete."""
        return self._reason is not None

    def result(self) -> Generation:
        """Return the answer, now that it has ended."""
        assert self._reason is not None
        if self._thinking is not None:
            self._answer.feed(self._thinking.finish())
        return Generation(
            text=self._answer.finish(),
            reasoning=self._thinking.reasoning if self._thinking is not None else None,
            finish_reason=self._reason,
            prompt_tokens=self.prompt,
            completion_tokens=self._count,
            reused=self._reused,
            fed=self._fed,
            looked_up=self._looked_up,
            prompt_seconds=self._computed - self._started,
            answer_seconds=perf_counter() - self._computed,
        )
