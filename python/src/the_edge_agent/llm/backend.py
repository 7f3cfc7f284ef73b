"""What the llm actions ask of a model, wherever it runs.

The actions check parameters and choose a backend; a backend only answers. Both kinds are made by
factories that are handed in, so that a test can put a scripted model in the place of either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from the_edge_agent.errors import ApiError, LimitError, ModelError, TeaError
from the_edge_agent.llm.api_settings import API
from the_edge_agent.llm.shape import Shape, data_of
from the_edge_agent.spec import LLM_MAX_RETRIES, LLM_TIMEOUT, SENT_WHERE_GIVEN, Sampling

BackendName = Literal["local", "api"]
BackendChoice = Literal["local", "api", "auto"]
Role = Literal["system", "user", "assistant", "tool"]
FinishReason = str  # stop, length, tool_calls, or what else an API says
Normalize = Literal["none", "per_byte"]

NO_MODEL = "no model found"
NO_MODEL_HINT = (
    "name a GGUF file with --gguf, TEA_MODEL_PATH or settings.llm.model_path,"
    " or put one beside the AppImage or into ~/.cache/tea/models"
)
NO_API = "no API is configured"
NO_API_HINT = "set settings.llm.api_base, or OPENAI_API_KEY in the environment"


MAX_PROMPT = 16_000_000  # bytes that are read, or sent to an API


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model may call. ``parameters`` is the JSON Schema of its arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that a model calls. ``id`` is its own in a conversation."""

    id: str
    name: str
    arguments: Mapping[str, Any]

    def data(self) -> dict[str, Any]:
        """Return it as results have it."""
        return {"id": self.id, "name": self.name, "arguments": self.arguments}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation.

    ``tool_calls`` are an assistant's; ``tool_call_id`` and ``name`` say whose result a tool's is.
    """

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest(Sampling):
    """A conversation to go on with, and how to sample the answer.

    ``messages`` is never empty. ``prompt`` is given only when the call had a prompt and no
    system text: a model without a chat template then completes it as plain text.
    ``model``, ``timeout`` (seconds for the whole call) and ``max_retries`` concern the API only.
    ``seed`` None means a new one each time.
    ``unsent`` are the fields that an API is to choose itself, ``limit_name`` is what it is sent
    ``max_tokens`` as.
    ``shape`` is what the answer is held to, None for free text. ``tool_choice`` is auto, none,
    required or the name of a tool. ``thinking`` None: as the chat template has it.
    ``schema_options`` are what a response_format has beside the schema: name, strict, description.
    """

    messages: tuple[Message, ...]
    prompt: str | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    model: str | None = None
    timeout: float = LLM_TIMEOUT
    max_retries: int = LLM_MAX_RETRIES
    unsent: frozenset[str] = SENT_WHERE_GIVEN
    limit_name: str = "max_tokens"
    shape: Shape | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    thinking: bool | None = None
    schema_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """Texts to turn into vectors; never empty. The other fields concern the API only."""

    texts: tuple[str, ...]
    model: str | None = None
    timeout: float = LLM_TIMEOUT
    max_retries: int = LLM_MAX_RETRIES


@dataclass(frozen=True, slots=True)
class ChatReply:
    """An answer. Token counts are of the model's own tokenizer."""

    content: str
    model: str
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    data: Any = None  # what the answer means, of one that was held to a shape
    reasoning: str | None = None  # what the model thought before it
    tool_calls: tuple[ToolCall, ...] = ()

    def held_to(self, shape: Shape | None, failure: type[TeaError]) -> ChatReply:
        """Return it with its ``data``, once it is known to have the shape.

        An answer that calls tools has none.

        Raises:
            LimitError: ``max_tokens`` cut the answer.
            failure: the answer has another shape.
        """
        if shape is None or self.tool_calls:
            return self
        if self.finish_reason == "length":
            raise LimitError(
                f"max_tokens cut the answer after {self.completion_tokens} tokens,"
                " before it had its shape",
                hint="raise max_tokens, or bound what the shape lets grow: maxLength, maxItems",
            )
        try:
            return replace(self, data=data_of(self.content, shape))
        except ValueError as error:
            raise failure(f"the model answered with {error}") from error


@dataclass(frozen=True, slots=True)
class EmbedReply:
    """One vector for each text, in the order of the texts."""

    embeddings: tuple[tuple[float, ...], ...]
    model: str
    tokens: int


@dataclass(frozen=True, slots=True)
class DecideRequest:
    """A conversation, and the texts that it may go on with; ``prompt`` as in a ChatRequest.

    ``normalize`` is what the likelihood of a choice is divided by: its bytes, or nothing.
    """

    messages: tuple[Message, ...]
    choices: tuple[str, ...]
    prompt: str | None = None
    normalize: Normalize = "none"
    thinking: bool | None = None


@dataclass(frozen=True, slots=True)
class DecideReply:
    """How likely each choice is, in the order of the choices; their sum is 1."""

    probabilities: tuple[float, ...]


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

    async def decide(self, request: DecideRequest) -> DecideReply: ...


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
    _made: dict[tuple[Any, ...], Backend | None] = field(default_factory=dict)

    def select(self, settings: Mapping[str, Any], node_choice: BackendChoice | None) -> Backend:
        """Return the backend for one call, never the other one when the chosen one fails.

        ``settings`` are those of ``api_settings``.

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
        key = (name,) if name == "local" else (name, *map(settings.get, API))
        if key not in self._made:
            factory = self.local if name == "local" else self.api
            self._made[key] = factory(settings)
        return self._made[key]
