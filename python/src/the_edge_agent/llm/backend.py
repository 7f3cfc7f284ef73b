"""What the llm actions ask of a model, wherever it runs.

The actions check parameters and choose a backend; a backend only answers. Both kinds are made by
factories that are handed in, so that a test can put a scripted model in the place of either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from the_edge_agent.errors import ApiError, ModelError
from the_edge_agent.spec import Sampling

BackendName = Literal["local", "api"]
BackendChoice = Literal["local", "api", "auto"]
Role = Literal["system", "user", "assistant"]
FinishReason = str  # stop, length, or what else an API says

NO_MODEL = "no model found"
NO_MODEL_HINT = (
    "name a GGUF file with --gguf, TEA_MODEL_PATH or settings.llm.model_path,"
    " or put one beside the AppImage or into ~/.cache/tea/models"
)
NO_API = "no API is configured"
NO_API_HINT = "set settings.llm.api_base, or OPENAI_API_KEY in the environment"


MAX_PROMPT = 16_000_000  # bytes that are read, or sent to an API


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest(Sampling):
    """A conversation to go on with, and how to sample the answer.

    ``messages`` is never empty. ``prompt`` is given only when the call had a prompt and no
    system text: a model without a chat template then completes it as plain text.
    ``model``, ``timeout`` (seconds for the whole call) and ``max_retries`` concern the API only.
    ``seed`` None means a new one each time.
    ``unsent`` are the fields that an API is to choose itself, ``limit_name`` is what it is sent
    ``max_tokens`` as.
    """

    messages: tuple[Message, ...]
    prompt: str | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    model: str | None = None
    timeout: float = 300.0
    max_retries: int = 0
    unsent: frozenset[str] = frozenset()
    limit_name: str = "max_tokens"


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts to turn into vectors; never empty. The other fields concern the API only."""

    texts: tuple[str, ...]
    model: str | None = None
    timeout: float = 300.0
    max_retries: int = 0


@dataclass(frozen=True, slots=True)
class ChatReply:
    """An answer. Token counts are of the model's own tokenizer."""

    content: str
    model: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class EmbedReply:
    """One vector for each text, in the order of the texts."""

    embeddings: tuple[tuple[float, ...], ...]
    model: str
    tokens: int


class Backend(Protocol):
    """A model that answers. ``name`` becomes the ``backend`` of a result.

    ``on_text`` is called with each new piece of the answer, never with half a character;
    with None the answer comes as a whole. Errors: ModelError, ApiError, Timeout, ActionError.
    """

    name: BackendName

    async def chat(
        self, request: ChatRequest, on_text: Callable[[str], None] | None
    ) -> ChatReply: ...

    async def embed(self, request: EmbedRequest) -> EmbedReply: ...


# Makes a backend from the file's rendered ``settings.llm``; None when there is nothing to make
# one of (no model found, no API configured). Loads and connects to nothing yet.
BackendFactory = Callable[[Mapping[str, Any]], Backend | None]


@dataclass(slots=True)
class Backends:
    """The two ways to a model, each made at its first use and kept for the process.

    ``choice`` is the command line's, which goes before the file's.
    """

    local: BackendFactory
    api: BackendFactory
    choice: BackendChoice | None = None
    _made: dict[BackendName, Backend | None] = field(default_factory=dict)

    def select(self, settings: Mapping[str, Any], node_choice: BackendChoice | None) -> Backend:
        """Return the backend for one call, never the other one when the chosen one fails.

        Raises:
            ModelError: the local model is wanted, or nothing is said, and there is none.
            ApiError: the API is wanted and none is configured.
        """
        choice = self.choice or node_choice or settings.get("backend") or "auto"
        if choice == "api":
            api = self._get("api", settings)
            if api is None:
                raise ApiError(NO_API, hint=NO_API_HINT)
            return api
        local = self._get("local", settings)
        if local is not None:
            return local
        if choice == "local":
            raise ModelError(NO_MODEL, hint=NO_MODEL_HINT)
        api = self._get("api", settings)
        if api is None:
            raise ModelError(f"{NO_MODEL} and {NO_API}", hint=f"{NO_MODEL_HINT}; or {NO_API_HINT}")
        return api

    def _get(self, name: BackendName, settings: Mapping[str, Any]) -> Backend | None:
        if name not in self._made:
            factory = self.local if name == "local" else self.api
            self._made[name] = factory(settings)
        return self._made[name]
