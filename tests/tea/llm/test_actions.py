from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from the_edge_agent.actions.llm import check_settings, llm_actions
from the_edge_agent.actions.registry import Call
from the_edge_agent.errors import ActionError, ApiError, ModelError, TeaError
from the_edge_agent.llm.backend import (
    Backend,
    BackendChoice,
    BackendName,
    Backends,
    ChatReply,
    ChatRequest,
    DecideReply,
    DecideRequest,
    EmbedReply,
    EmbedRequest,
    Message,
)


@dataclass
class Scripted:
    """A backend that answers what it is told to, in pieces, and writes down what it was asked."""

    name: BackendName
    pieces: tuple[str, ...] = ("Pa", "ris")
    error: TeaError | None = None
    asked: list[Any] = field(default_factory=list)

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        if on_text is not None:
            for piece in self.pieces:
                on_text(piece)
        return ChatReply("".join(self.pieces), f"{self.name}-model", "stop", 7, 2)

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        self.asked.append(request)
        return EmbedReply(tuple((1.0, float(n)) for n, _ in enumerate(request.texts)), "e", 5)

    async def decide(self, request: DecideRequest) -> DecideReply:
        self.asked.append(request)
        return DecideReply((0.25, 0.75))


class World:
    """The actions on scripted backends; which exist, a test says."""

    def __init__(
        self,
        *,
        local: Scripted | None = None,
        api: Scripted | None = None,
        choice: BackendChoice | None = None,
    ) -> None:
        self.made: list[str] = []

        def factory(name: str, backend: Scripted | None) -> Callable[[Any], Backend | None]:
            def make(_settings: Mapping[str, Any]) -> Backend | None:
                self.made.append(name)
                return backend

            return make

        self.actions = llm_actions(
            Backends(local=factory("local", local), api=factory("api", api), choice=choice)
        )
        self.events: list[dict[str, Any]] = []

    def run(self, action: str, params: dict[str, Any], llm: Any = None) -> Any:
        settings = {} if llm is None else {"llm": llm}

        async def refused(name: str, _: Any) -> Any:
            raise AssertionError(name)

        call = Call(
            "ask",
            action,
            params,
            settings,
            self.events.append,
            {},
            refused,
            refused,
            refused,
            asyncio.sleep,
        )

        async def act() -> Any:
            return await self.actions[action].run(call)

        return asyncio.run(act())


@pytest.mark.parametrize("action", ["llm.call", "llm.chat", "llm.complete", "llm.stream"])
def test_a_chat_has_the_documented_result(action: str) -> None:
    world = World(local=Scripted("local"))
    assert world.run(action, {"prompt": "Capital?"}) == {
        "content": "Paris",
        "response": "Paris",
        "model": "local-model",
        "backend": "local",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
        "tokens_used": 9,
    }


def test_only_a_stream_sends_its_pieces_as_events() -> None:
    world = World(local=Scripted("local"))
    world.run("llm.call", {"prompt": "x"})
    assert world.events == []
    world.run("llm.stream", {"prompt": "x"})
    assert world.events == [
        {"type": "token", "node": "ask", "text": "Pa"},
        {"type": "token", "node": "ask", "text": "ris"},
    ]


def asked(params: dict[str, Any], llm: Any = None) -> ChatRequest:
    local = Scripted("local")
    World(local=local).run("llm.call", params, llm)
    request = local.asked[0]
    assert isinstance(request, ChatRequest)
    return request


def test_the_defaults_are_the_documented_ones() -> None:
    assert asked({"prompt": "x"}) == ChatRequest(
        (Message("user", "x"),), "x",
        temperature=0.7, max_tokens=512, top_p=0.95, top_k=40, min_p=0.05,
        seed=None, stop=(), model=None, timeout=300.0, max_retries=0,
    )  # fmt: skip


def test_a_call_goes_before_settings_and_defaults() -> None:
    request = asked(
        {"prompt": "x", "temperature": 0, "stop": "A", "seed": None},
        {"temperature": 1.5, "max_tokens": 5, "seed": 3, "stop": ["B"], "top_k": None},
    )
    assert (request.temperature, request.max_tokens) == (0, 5)
    assert (request.seed, request.stop, request.top_k) == (3, ("A",), 40)


@pytest.mark.parametrize(
    ("params", "llm", "messages", "prompt"),
    [
        ({"prompt": "p"}, None, (Message("user", "p"),), "p"),
        (
            {"prompt": "p", "system": "s"},
            None,
            (Message("system", "s"), Message("user", "p")),
            None,
        ),
        ({"prompt": "p", "system": ""}, None, (Message("system", ""), Message("user", "p")), None),
        ({"prompt": "p"}, {"system": "d"}, (Message("system", "d"), Message("user", "p")), None),
        (
            {"prompt": "p", "system": "s"},
            {"system": "d"},
            (Message("system", "s"), Message("user", "p")),
            None,
        ),
        (
            {"prompt": "p", "system": "s", "messages": [{"role": "user", "content": "m"}]},
            None,
            (Message("user", "m"),),
            None,
        ),
    ],
)
def test_prompt_and_system_become_messages_and_messages_win(
    params: dict[str, Any], llm: Any, messages: tuple[Message, ...], prompt: str | None
) -> None:
    request = asked(params, llm)
    assert request.messages == messages
    assert request.prompt == prompt


WRONG = [
    ("temperature", "hot"), ("temperature", -0.1), ("temperature", 2.1), ("temperature", True),
    ("temperature", float("nan")), ("max_tokens", 0), ("max_tokens", 1.5), ("max_tokens", "9"),
    ("top_p", 1.1), ("top_k", -1), ("top_k", 2.0), ("min_p", "0"), ("seed", -1), ("seed", 2**32),
    ("stop", ""), ("stop", [1]), ("stop", [""]), ("stop", 3), ("backend", "cloud"), ("model", ""),
    ("timeout", 0), ("timeout", "300s"), ("timeout", float("inf")), ("max_retries", -1),
    ("prompt", 5), ("system", ["x"]), ("messages", []), ("messages", "hi"), ("messages", ["hi"]),
    ("messages", [{"role": "user"}]), ("messages", [{"role": "robot", "content": "x"}]),
    ("messages", [{"role": "user", "content": None}]),
    ("messages", [{"role": "user", "content": "x", "name": "y"}]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_parameter_is_refused_before_anything_is_made(key: str, value: Any) -> None:
    world = World(local=Scripted("local"))
    with pytest.raises(ActionError, match=f"{key}: expected"):
        world.run("llm.call", {"prompt": "x", key: value})
    assert world.made == []
    check = world.actions["llm.call"].check
    assert check is not None
    assert [path for path, _ in check({key: value})] == [(key,)]


@pytest.mark.parametrize(
    ("key", "value"),
    [("n_ctx", 0), ("n_threads", "4"), ("n_gpu_layers", -2), ("provider", "x"), ("top_k", -1)],
)
def test_a_wrong_setting_is_refused_before_anything_is_made(key: str, value: Any) -> None:
    world = World(local=Scripted("local"))
    with pytest.raises(ActionError, match=rf"settings\.llm: {key}: expected"):
        world.run("llm.call", {"prompt": "x"}, {key: value})
    assert world.made == []
    assert [found for found, _ in check_settings({key: value})] == [key]


@pytest.mark.parametrize("params", [{}, {"prompt": None}, {"system": "s"}, {"messages": None}])
def test_a_chat_of_nothing_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ActionError, match="prompt or messages is missing"):
        World(local=Scripted("local")).run("llm.call", params)


LOCAL, API = "local", "api"


@dataclass(frozen=True)
class Route:
    name: str
    there: tuple[str, ...]
    expected: str  # the backend, or words of the error
    line: BackendChoice | None = None
    node: str | None = None
    file: str | None = None


ROUTES = [
    Route("auto takes the local model", (LOCAL, API), LOCAL),
    Route("auto takes the API when there is no model", (API,), API),
    Route("auto with neither says both ways", (), "no model found and no API is configured"),
    Route("the file may want the API", (LOCAL, API), API, file="api"),
    Route("the node goes before the file", (LOCAL, API), LOCAL, node="local", file="api"),
    Route("the command line goes before both", (LOCAL, API), API, "api", "local", "local"),
    Route("auto on the command line undoes the file", (LOCAL, API), LOCAL, "auto", None, "api"),
    Route("local without a model is no reason for the API", (API,), "no model found", "local"),
    Route("the API without one is no reason for a model", (LOCAL,), "no API is configured", "api"),
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_the_backend_is_chosen_as_documented(route: Route) -> None:
    world = World(
        local=Scripted("local") if LOCAL in route.there else None,
        api=Scripted("api") if API in route.there else None,
        choice=route.line,
    )
    params = {"prompt": "x", "backend": route.node}
    llm = {"backend": route.file}
    if route.expected in (LOCAL, API):
        assert world.run("llm.call", params, llm)["backend"] == route.expected
        return
    with pytest.raises((ModelError, ApiError)) as caught:
        world.run("llm.call", params, llm)
    assert caught.value.message == route.expected
    assert caught.value.hint


def test_local_never_even_makes_the_api() -> None:
    world = World(local=Scripted("local"), api=Scripted("api"))
    world.run("llm.call", {"prompt": "x"})
    world.run("llm.call", {"prompt": "x", "backend": "local"})
    assert world.made == ["local"]


@pytest.mark.parametrize("first", ["local", "api"])
def test_a_failure_of_one_is_never_answered_by_the_other(first: str) -> None:
    backends = {name: Scripted(name) for name in ("local", "api")}
    backends[first].error = ModelError("broken")
    world = World(local=backends["local"], api=backends["api"])
    with pytest.raises(ModelError, match="broken"):
        world.run("llm.call", {"prompt": "x", "backend": first})
    other = backends["api" if first == "local" else "local"]
    assert other.asked == []


def test_a_text_becomes_a_vector_and_a_list_a_list_of_them() -> None:
    world = World(local=Scripted("local"))
    assert world.run("llm.embed", {"text": "a"}) == {
        "embedding": [1.0, 0.0],
        "model": "e",
        "dimensions": 2,
        "tokens_used": 5,
    }
    assert world.run("llm.embed", {"text": ["a", "b"]})["embedding"] == [[1.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize("text", [[], 5, ["a", 1]])
def test_only_text_can_become_a_vector(text: Any) -> None:
    with pytest.raises(ActionError, match="text: expected"):
        World(local=Scripted("local")).run("llm.embed", {"text": text})
