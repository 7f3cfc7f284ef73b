"""The local backend: one model in this process, loaded at the first request and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from the_edge_agent.errors import ActionError
from the_edge_agent.llm import bindings, gguf, model_path
from the_edge_agent.llm.backend import (
    BackendFactory,
    BackendName,
    ChatReply,
    ChatRequest,
    EmbedReply,
    EmbedRequest,
)
from the_edge_agent.llm.model import Model, Stopped
from the_edge_agent.llm.session import Generation, Session, StopFlag
from the_edge_agent.llm.threads import default_threads

if TYPE_CHECKING:
    from the_edge_agent.llm.embedding import Embedder

DEFAULT_CONTEXT = 8192

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """How to run a local model.

    ``n_ctx`` None: see ``context_size``; ``n_threads`` None: see ``default_threads``;
    ``n_gpu_layers`` -1: all.
    """

    n_ctx: int | None = None
    n_threads: int | None = None
    n_gpu_layers: int = -1

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> LocalOptions:
        """Take what concerns the local model from ``settings.llm``."""
        layers = settings.get("n_gpu_layers")
        return cls(
            n_ctx=settings.get("n_ctx"),
            n_threads=settings.get("n_threads"),
            n_gpu_layers=-1 if layers is None else layers,
        )


def context_size(found: model_path.Found, options: LocalOptions, trained: int | None) -> int:
    """Return the context to use, in tokens; ``trained`` is the model's own.

    What the options say, else the bundle's default, else the smaller of 8192 and ``trained``.
    """
    return options.n_ctx or found.n_ctx or min(DEFAULT_CONTEXT, trained or DEFAULT_CONTEXT)


def local_factory(
    gguf_option: str | None,
    env: Mapping[str, str],
    *,
    log: Callable[[str], None] | None = None,
) -> BackendFactory:
    """Return what makes a local backend when a model is found. ``log`` gets technical lines."""

    def make(settings: Mapping[str, Any]) -> LocalBackend | None:
        found = model_path.find(gguf_option, env, settings.get("model_path"))
        if found is None:
            return None
        return LocalBackend(found, LocalOptions.from_settings(settings), log=log)

    return make


class LocalBackend:
    """A model file that answers. Computing happens in a thread of its own, one at a time."""

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
        self._thread: ThreadPoolExecutor | None = None
        self._model: Model | None = None
        self._session: Session | None = None
        self._embedder: Embedder | None = None

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        """Answer in one go; ``on_text`` is called from the computing thread.

        Raises:
            ModelError, LimitError, ActionError: see ``Session.generate`` and ``Model``.
        """
        done = await self._in_thread(lambda: self._generate(request, on_text))
        return ChatReply(
            content=done.text,
            model=self._loaded().name,
            finish_reason=done.finish_reason,
            prompt_tokens=done.prompt_tokens,
            completion_tokens=done.completion_tokens,
        )

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        """Return a vector of length 1 for each text.

        Raises:
            ModelError, LimitError: see ``Embedder.embed`` and ``Model``.
        """
        vectors, tokens = await self._in_thread(lambda: self._embed(request.texts))
        return EmbedReply(vectors, self._loaded().name, tokens)

    @property
    def chat_system(self) -> str | None:
        """The system text that the bundle wants for a conversation with its model."""
        return self._found.chat_system

    async def load(self) -> None:
        """Load the model now, so that the first answer needs not wait for it."""
        await self._in_thread(self._get_session)

    def close(self) -> None:
        """Give all memory back. The backend can be used again, and loads again."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        for part in (self._embedder, self._session, self._model):
            if part is not None:
                part.close()
        self._model = self._session = self._embedder = None

    def _generate(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> Generation:
        done = self._get_session().generate(request, on_text)
        if self._log is not None:
            computed = done.prompt_tokens - done.reused
            self._log(
                f"prompt: {done.prompt_tokens} tokens, {done.reused} of them kept,"
                f" {computed / done.prompt_seconds:.1f} a second; answer:"
                f" {done.completion_tokens} tokens,"
                f" {done.completion_tokens / done.answer_seconds:.1f} a second\n"
            )
        return done

    def _embed(self, texts: tuple[str, ...]) -> tuple[tuple[tuple[float, ...], ...], int]:
        from the_edge_agent.llm.embedding import Embedder

        model = self._loaded()
        if self._embedder is None:
            self._embedder = Embedder(
                bindings.load(),
                model,
                n_ctx=self._context_size(model),
                n_threads=self._threads(),
                stop=self._stop,
            )
        return self._embedder.embed(texts)

    def _get_session(self) -> Session:
        if self._session is None:
            model = self._loaded()
            self._session = Session(
                bindings.load(),
                model,
                n_ctx=self._context_size(model),
                n_threads=self._threads(),
                stop=self._stop,
                yields=self._options.n_threads is None,
            )
        return self._session

    def _loaded(self) -> Model:
        if self._model is None:
            head = gguf.read(self._found.path)  # first: it explains a bad file best
            self._model = Model(
                bindings.load(self._log),
                self._found,
                head,
                n_gpu_layers=self._options.n_gpu_layers,
                stopped=self._stop.is_set,
            )
        return self._model

    def _context_size(self, model: Model) -> int:
        return context_size(self._found, self._options, model.trained_context)

    def _threads(self) -> int:
        return self._options.n_threads or default_threads()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the computing thread; a cancelled task stops it and waits for its end."""
        if self._thread is None:
            # One thread for all requests: OpenMP keeps its helpers for each that computes.
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="llama")
        self._stop.clear()
        running = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait([running])
            if not running.cancelled():
                running.exception()  # Stopped; asyncio complains of errors nobody looked at
            raise
        except Stopped as error:
            raise ActionError("the answer was stopped") from error
