"""The local backend: one model in this process, loaded at the first request and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from the_edge_agent.errors import ActionError, ModelError
from the_edge_agent.llm import (
    bindings,
    gguf,
    memory,
    model_file,
    model_path,
    repack,
    tool_calls,
    tool_grammar,
)
from the_edge_agent.llm.backend import (
    BackendFactory,
    BackendName,
    ChatReply,
    ChatRequest,
    DecideReply,
    DecideRequest,
    EmbedReply,
    EmbedRequest,
)
from the_edge_agent.llm.context import Context
from the_edge_agent.llm.decide import Decision
from the_edge_agent.llm.decode_loop import DecodeLoop, Job
from the_edge_agent.llm.memory import CacheType, LowMemory
from the_edge_agent.llm.model import Model, Stopped
from the_edge_agent.llm.sequence import Generation, Sequence
from the_edge_agent.llm.shape import Lark, Shape
from the_edge_agent.llm.stop_flag import StopFlag
from the_edge_agent.llm.threads import default_threads
from the_edge_agent.llm.tool_calls import TextBeforeCalls
from the_edge_agent.llm.tool_form import offered

if TYPE_CHECKING:
    from the_edge_agent.llm.embedding import Embedder
    from the_edge_agent.llm.matcher import Matcher, Matchers

DEFAULT_CONTEXT = 8192

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How to run a local model.

    ``n_ctx`` None: see ``context_size``; ``n_threads`` None: see ``default_threads``;
    ``n_gpu_layers`` -1: all; ``low_memory``: see ``memory.plan``.
    """

    n_ctx: int | None = None
    n_threads: int | None = None
    n_gpu_layers: int = -1
    low_memory: LowMemory = "auto"
    cache_type: CacheType = "f16"

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], *, low_memory: bool = False
    ) -> LocalOptions:
        """Take what concerns the local model from ``settings.llm``.

        ``low_memory`` is the command line's, which goes before the file's.
        """
        known = {field.name for field in fields(cls)}
        given = {key: settings[key] for key in known if settings.get(key) is not None}
        return cls(**given | ({"low_memory": True} if low_memory else {}))


def context_size(found: model_path.Found, options: LocalOptions, trained: int | None) -> int:
    """Return the context to use, in tokens; ``trained`` is the model's own.

    What the options say, else the bundle's default, else the smaller of 8192 and ``trained``.
    """
    return options.n_ctx or found.n_ctx or min(DEFAULT_CONTEXT, trained or DEFAULT_CONTEXT)


def local_factory(
    gguf_option: str | None,
    env: Mapping[str, str],
    *,
    low_memory: bool = False,
    log: Callable[[str], None] | None = None,
) -> BackendFactory:
    """Return what makes a local backend when a model is found. ``log`` gets technical lines.

    ``low_memory``: whatever the settings say.
    """

    def make(settings: Mapping[str, Any]) -> LocalBackend | None:
        found = model_path.find(gguf_option, env, settings.get("model_path"), model_file.extent())
        if found is None:
            return None
        options = LocalOptions.from_settings(settings, low_memory=low_memory)
        return LocalBackend(found, options, log=log)

    return make


class LocalBackend:
    """A model file that answers. Computing happens in a thread of its own, see ``DecodeLoop``."""

    name: BackendName = "local"

    def __init__(
        self,
        found: model_path.Found,
        options: LocalOptions,
        *,
        log: Callable[[str], None] | None = None,
    ) -> None:
        self._found = found
        self._options = options
        self._log = log
        self._stop = StopFlag()
        self._loop: DecodeLoop | None = None
        self._model: Model | None = None
        self._embedder: Embedder | None = None
        self._matchers: Matchers | None = None

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        """Answer in one go; ``on_text`` is called from the computing thread.

        Raises:
            ModelError, LimitError, ActionError: see ``Sequence`` and ``Model``.
        """
        if request.shape is not None and offered(request):
            raise ActionError(
                "a local model cannot hold an answer to a shape and call tools in it",
                hint="ask twice, or give a tool the schema as its parameters",
            )

        before: TextBeforeCalls | None = None

        def sequence(context: Context) -> Sequence:
            nonlocal before
            model = self._loaded()
            if on_text is not None and offered(request):
                before = TextBeforeCalls(model.tool_form, on_text)
            grammar = tool_grammar.grammar(model.tool_form, request)
            shape = request.shape if grammar is None else Lark(grammar)
            return Sequence(
                bindings.load(),
                model,
                request,
                on_text if before is None else before.feed,
                n_ctx=context.n_ctx,
                can_cut=context.can_cut,
                matcher=None if shape is None else self._begin_matcher(shape),
            )

        done = await self._outcome(self._get_loop().answer(sequence))
        self._report(done)
        reply = ChatReply(
            content=done.text,
            model=self._loaded().name,
            finish_reason=done.finish_reason,
            prompt_tokens=done.prompt_tokens,
            completion_tokens=done.completion_tokens,
            reasoning=done.reasoning,
        )
        reply = tool_calls.read(self._loaded().tool_form, request, reply)
        if before is not None:
            before.finish(reply.content)
        return reply.held_to(request.shape, ModelError)

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        """Return a vector of length 1 for each text.

        Raises:
            ModelError, LimitError: see ``Embedder.embed`` and ``Model``.
        """
        vectors, tokens = await self._outcome(
            self._get_loop().run(lambda: self._embed(request.texts))
        )
        return EmbedReply(vectors, self._loaded().name, tokens)

    async def decide(self, request: DecideRequest) -> DecideReply:
        """Return how likely each choice is.

        Raises:
            ModelError, LimitError, ActionError: see ``Decision``.
        """

        def decision(context: Context) -> Decision:
            return Decision(bindings.load(), self._loaded(), request, context.n_ctx)

        return await self._outcome(self._get_loop().decide(decision))

    @property
    def chat_system(self) -> str | None:
        """The system text that the bundle wants for a conversation with its model."""
        return self._found.chat_system

    async def load(self) -> int:
        """Load the model now, so that no answer waits for it; return its context in tokens."""
        loop = self._get_loop()
        await self._outcome(loop.run(loop.context))
        return self._context_size(self._loaded().head)

    def close(self) -> None:
        """Give all memory back. The backend can be used again, and loads again."""
        for part in (self._loop, self._embedder, self._matchers, self._model):
            if part is not None:
                part.close()
        self._model = self._loop = self._embedder = self._matchers = None

    def _report(self, done: Generation) -> None:
        if self._log is not None:
            computed = done.prompt_tokens - done.reused
            sampled = done.completion_tokens - done.fed - done.looked_up
            how = f" ({sampled} sampled, {done.fed} fed, {done.looked_up} looked up)"
            how = how if sampled < done.completion_tokens else ""
            self._log(
                f"prompt: {done.prompt_tokens} tokens, {done.reused} of them kept,"
                f" {computed / done.prompt_seconds:.1f} a second; answer:"
                f" {done.completion_tokens} tokens{how},"
                f" {done.completion_tokens / done.answer_seconds:.1f} a second\n"
            )

    def _embed(self, texts: tuple[str, ...]) -> tuple[tuple[tuple[float, ...], ...], int]:
        from the_edge_agent.llm.embedding import Embedder

        if self._embedder is None:
            model = self._loaded(whole_texts=True)
            self._embedder = Embedder(
                bindings.load(),
                model,
                n_ctx=self._context_size(model.head),
                n_threads=self._threads(),
                stop=self._stop,
            )
        return self._embedder.embed(texts)

    def _begin_matcher(self, shape: Shape) -> Future[Matcher]:
        from the_edge_agent.llm import matcher

        if self._matchers is None:
            self._matchers = matcher.Matchers(bindings.load(), self._loaded())
        return self._matchers.begin(matcher.grammar(shape))

    def _get_loop(self) -> DecodeLoop:
        if self._loop is None:
            self._loop = DecodeLoop(
                self._make_context,
                n_threads=self._threads(),
                stop=self._stop,
                yields=self._options.n_threads is None,
            )
        return self._loop

    def _make_context(self) -> Context:
        model = self._loaded()
        return Context(
            bindings.load(),
            model,
            n_ctx=self._context_size(model.head),
            n_threads=self._threads(),
            stop=self._stop,
            cache_type=self._options.cache_type,
        )

    def _loaded(self, *, whole_texts: bool = False) -> Model:
        """Return the model; ``whole_texts``: for texts that are computed in one piece."""
        if self._model is None:
            # First: it explains a bad file best.
            head = gguf.read(self._found.path, self._found.extent)
            llama = bindings.load(self._log)
            self._model = Model(
                llama,
                self._found,
                head,
                n_gpu_layers=self._options.n_gpu_layers,
                repacked=self._repacked(llama, head, whole_texts=whole_texts),
                stopped=self._stop.is_set,
            )
        return self._model

    def _repacked(self, llama: bindings.Llama, head: gguf.Gguf, *, whole_texts: bool) -> int:
        """Return the bytes of weights that are to be repacked, 0 where there is no room for that.

        Raises:
            ModelError: there is no room for the rest either.
        """
        repacked = repack.Repacker(llama).repacked(memory.multiplied(head))
        free = None if self._on_gpu(llama) else memory.available()
        n_ctx = self._context_size(head)
        needed = memory.need(
            head,
            n_ctx,
            repacked=repacked,
            cache_type="f16" if whole_texts else self._options.cache_type,
            batch=n_ctx if whole_texts else memory.BATCH,
        )
        if free is None or needed is None:
            return 0 if self._options.low_memory is True else repacked
        plan = memory.plan(head, needed, free, self._options.low_memory, n_ctx)
        if self._log is not None:
            self._log("".join(f"{remark}\n" for remark in plan.remarks))
        return repacked if plan.repack else 0

    def _on_gpu(self, llama: bindings.Llama) -> bool:
        return self._options.n_gpu_layers != 0 and bool(llama.c.llama_supports_gpu_offload())

    def _context_size(self, head: gguf.Gguf) -> int:
        return context_size(self._found, self._options, head.context_length)

    def _threads(self) -> int:
        return self._options.n_threads or default_threads()

    async def _outcome(self, job: Job[T]) -> T:
        """Return what comes of ``job``; a cancelled task gives it up, and waits for its end."""
        running = asyncio.wrap_future(job.future)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._get_loop().give_up(job)
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # Stopped; asyncio complains of errors nobody looked at
            raise
        except Stopped as error:
            raise ActionError("the answer was stopped") from error
