from __future__ import annotations

import asyncio
import email.utils
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.tea.llm.api_server import (
    USAGE,
    Api,
    Handler,
    Script,
    answer,
    chat,
    delta,
    events,
    hang_up,
    serve,
)
from the_edge_agent.errors import ApiError, Timeout
from the_edge_agent.llm.api import ApiBackend, endpoint
from the_edge_agent.llm.backend import ChatReply, ChatRequest, EmbedRequest, Message

KEY = "sk-very-secret-key"
NOW = 1_700_000_000.0
REQUEST = ChatRequest(
    (Message("system", "Be brief."), Message("user", "Hi é")),
    temperature=0.5,
    max_tokens=9,
    top_p=0.8,
    top_k=3,
    min_p=0.2,
    seed=4,
    stop=("END",),
)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serve() as server:
        yield server


class Client:
    """A backend on the server, whose waits are written down instead of waited."""

    def __init__(self, api: Api, **settings: Any) -> None:
        where = endpoint({"api_base": api.url, "api_key": KEY, "model": "m", **settings}, {})
        assert where is not None
        self.waits: list[float] = []
        self.streamed: list[str] = []
        self._backend = ApiBackend(where, sleep=self._sleep, now=lambda: NOW, jitter=lambda: 1.0)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def chat(self, request: ChatRequest = REQUEST, *, streams: bool = False) -> ChatReply:
        on_text = self.streamed.append if streams else None
        return asyncio.run(self._backend.chat(request, on_text))

    def embed(self, *texts: str) -> Any:
        return asyncio.run(self._backend.embed(EmbedRequest(texts)))


def test_a_chat_is_asked_and_answered(api: Api) -> None:
    api.scripts = [answer(chat("Grüße", "length"))]
    reply = Client(api).chat()
    assert reply == ChatReply("Grüße", "the-model-1", "length", 5, 3)
    (request,) = api.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert request["body"] == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi é"},
        ],
        "temperature": 0.5,
        "max_tokens": 9,
        "top_p": 0.8,
        "seed": 4,
        "stop": ["END"],
    }


def test_what_was_not_given_is_not_sent(api: Api) -> None:
    api.scripts = [answer(chat("x"))]
    Client(api).chat(ChatRequest((Message("user", "Hi"),)))
    assert set(api.requests[0]["body"]) == {
        "model",
        "messages",
        "temperature",
        "max_tokens",
        "top_p",
    }


def test_the_calls_own_model_goes_before_the_settings(api: Api) -> None:
    api.scripts = [answer(chat("x"))]
    Client(api).chat(replace(REQUEST, model="other"))
    assert api.requests[0]["body"]["model"] == "other"


@pytest.mark.parametrize("cuts", [0, 1, 7])
def test_a_stream_comes_in_whole_characters(api: Api, cuts: int) -> None:
    api.scripts = [
        events(
            ": a comment",
            delta(""),
            delta("Gr"),
            delta("üße €"),
            delta("😀"),
            delta(None, "stop"),
            USAGE,
            "data: [DONE]\n",
            cuts=cuts,
        )
    ]
    client = Client(api)
    reply = client.chat(streams=True)
    assert reply == ChatReply("Grüße €😀", "the-model-1", "stop", 5, 3)
    assert client.streamed == ["Gr", "üße €", "😀"]
    assert api.requests[0]["body"]["stream"] is True
    assert api.requests[0]["body"]["stream_options"] == {"include_usage": True}


def test_a_server_that_does_not_stream_is_understood_too(api: Api) -> None:
    api.scripts = [answer(chat("whole"))]
    client = Client(api)
    assert client.chat(streams=True).content == "whole"
    assert client.streamed == ["whole"]


@dataclass(frozen=True)
class Fault:
    name: str
    script: Script
    words: str
    streams: bool = False


FAULTS = [
    Fault(
        "401", answer({"error": {"message": f"bad key {KEY}"}}, 401), "answered 401: bad key ***"
    ),
    Fault("404, not JSON", answer(b"<h1>not  here</h1>", 404), "answered 404: <h1>not here</h1>"),
    Fault("400, error as text", answer({"error": "no such model"}, 400), "400: no such model"),
    Fault("redirect", answer(b"", 302, Location="http://u:p@h/"), "302: it redirects to http://h/"),
    Fault("200 with an error", answer({"error": {"message": "overloaded"}}), "error: overloaded"),
    Fault("not JSON", answer(b"<html>"), "something other than JSON: '<html>'"),
    Fault("a list", answer([1]), "JSON of another shape"),
    Fault("no choices", answer({"choices": []}), "without an answer"),
    Fault("no text", answer({"choices": [{"message": {"content": None}}]}), "without a text"),
    Fault("hang up", hang_up, "disconnected"),
    Fault("stream with an error", events({"error": {"message": "boom"}}), "boom", True),
    Fault("stream without an end", events(delta("a")), "broke off", True),
    Fault("stream cut off", events(delta("a"), breaks_off=True), "closed connection", True),
    Fault("stream of junk", events("data: {junk"), "something other than JSON", True),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_is_no_answer_is_an_error_that_says_why(api: Api, fault: Fault) -> None:
    api.scripts = [fault.script]
    with pytest.raises(ApiError) as caught:
        Client(api).chat(streams=fault.streams)
    assert fault.words in caught.value.message
    assert KEY not in str(caught.value)
    assert len(api.requests) == 1


PASSING = [
    answer({}, 408),
    answer({}, 429),
    answer({}, 500),
    answer({}, 503),
    answer({}, 504),
    hang_up,
]


@pytest.mark.parametrize("script", PASSING)
def test_a_passing_failure_is_tried_again_as_often_as_allowed(api: Api, script: Script) -> None:
    api.scripts = [script, script, answer(chat("at last"))]
    client = Client(api)
    assert client.chat(replace(REQUEST, max_retries=2)).content == "at last"
    assert client.waits == [0.5, 1.0]


def test_without_leave_nothing_is_tried_again(api: Api) -> None:
    api.scripts = [answer({}, 503), answer(chat("never"))]
    with pytest.raises(ApiError, match="503"):
        Client(api).chat()
    assert len(api.requests) == 1


def test_after_the_last_try_the_last_failure_is_the_error(api: Api) -> None:
    api.scripts = [answer({}, 503), answer({}, 500), answer({}, 429)]
    with pytest.raises(ApiError, match="429"):
        Client(api).chat(replace(REQUEST, max_retries=2))


def test_waits_grow_up_to_a_limit(api: Api) -> None:
    api.scripts = [answer({}, 503)]
    client = Client(api)
    with pytest.raises(ApiError):
        client.chat(replace(REQUEST, max_retries=7))
    assert client.waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        ("0.1", 0.5),
        ("86400", 60.0),
        (email.utils.formatdate(NOW + 20, usegmt=True), 20.0),
        (email.utils.formatdate(NOW - 20, usegmt=True), 0.5),
        ("soon", 0.5),
        ("-3", 0.5),
        ("nan", 0.5),
    ],
)
def test_a_server_may_ask_for_a_longer_wait(api: Api, header: str, wait: float) -> None:
    api.scripts = [answer({}, 429, Retry_After=header), answer(chat("ok"))]
    client = Client(api)
    client.chat(replace(REQUEST, max_retries=1))
    assert client.waits == [wait]


def test_a_stream_that_has_begun_is_never_begun_again(api: Api) -> None:
    api.scripts = [events(delta("a"), breaks_off=True), answer(chat("again"))]
    client = Client(api)
    with pytest.raises(ApiError):
        client.chat(replace(REQUEST, max_retries=3), streams=True)
    assert client.streamed == ["a"]
    assert len(api.requests) == 1


def test_a_server_that_is_silent_is_left_after_the_time_given(api: Api) -> None:
    released = threading.Event()

    def silent(_handler: Handler) -> None:
        released.wait(10)

    api.scripts = [silent]
    try:
        with pytest.raises(Timeout, match=r"no answer within 3(\.0)? seconds"):
            Client(api).chat(replace(REQUEST, timeout=3, max_retries=5))
    finally:
        released.set()
    assert len(api.requests) == 1


def test_a_server_that_is_not_there_is_an_error(api: Api) -> None:
    client = Client(api, api_base="http://127.0.0.1:9/v1")
    with pytest.raises(ApiError, match=r"http://127\.0\.0\.1:9/v1: .*[Cc]onnect"):
        client.chat()


def test_texts_become_vectors_in_their_order(api: Api) -> None:
    rows = [{"index": 1, "embedding": [0, 1.5]}, {"index": 0, "embedding": [1, 2]}]
    api.scripts = [answer({"model": "e", "data": rows, "usage": {"prompt_tokens": 4}})]
    reply = Client(api).embed("a", "b")
    assert reply.embeddings == ((1.0, 2.0), (0.0, 1.5))
    assert (reply.model, reply.tokens) == ("e", 4)
    assert api.requests[0]["path"] == "/v1/embeddings"
    assert api.requests[0]["body"] == {"model": "m", "input": ["a", "b"]}


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"embedding": [1]}],
        [{"embedding": []}, {"embedding": [1]}],
        [{"embedding": ["x"]}, {"embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}],
        [{"index": 5, "embedding": [1]}, {"index": 0, "embedding": [1]}],
        ["x", "y"],
    ],
)
def test_vectors_that_are_not_one_for_each_text_are_an_error(api: Api, rows: Any) -> None:
    api.scripts = [answer({"data": rows})]
    with pytest.raises(ApiError):
        Client(api).embed("a", "b")


def test_no_model_name_is_an_error_before_anything_is_sent(api: Api) -> None:
    with pytest.raises(ApiError, match="which model"):
        Client(api, model=None).chat()
    assert api.requests == []


@dataclass(frozen=True)
class Config:
    name: str
    settings: dict[str, Any]
    env: dict[str, str]
    base: str | None
    headers: dict[str, str]


ENV = {"OPENAI_API_KEY": "k1", "AZURE_OPENAI_API_KEY": "k2"}
OPENAI = "https://api.openai.com/v1"
CONFIGS = [
    Config("nothing", {}, {}, None, {}),
    Config("a key alone", {}, ENV, OPENAI, {"Authorization": "Bearer k1"}),
    Config("a key in the file", {"api_key": "f"}, ENV, OPENAI, {"Authorization": "Bearer f"}),
    Config("an address alone", {"api_base": "http://h/v1/"}, {}, "http://h/v1", {}),
    Config("a model path is no API", {"model_path": "m.gguf"}, {}, None, {}),
    Config("ollama", {"provider": "ollama"}, ENV, "http://localhost:11434/v1", {}),
    Config(
        "ollama elsewhere",
        {"provider": "ollama", "api_base": "http://h:1"},
        ENV,
        "http://h:1/v1",
        {},
    ),
    Config(
        "azure",
        {"provider": "azure", "api_base": "https://x.openai.azure.com"},
        ENV,
        "https://x.openai.azure.com/openai/v1",
        {"api-key": "k2"},
    ),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_settings_and_environment_make_an_endpoint(config: Config) -> None:
    where = endpoint(config.settings, config.env)
    assert (where.base if where else None) == config.base
    if where is not None:
        assert where.headers == config.headers


@pytest.mark.parametrize("base", ["host/v1", "ftp://host", "http://", "://x"])
def test_an_address_that_is_none_is_an_error(base: str) -> None:
    with pytest.raises(ApiError, match="is not an address"):
        endpoint({"api_base": base}, {})


def test_azure_has_no_address_of_its_own() -> None:
    with pytest.raises(ApiError, match="needs settings"):
        endpoint({"provider": "azure"}, ENV)


def test_neither_key_nor_password_is_ever_printed() -> None:
    where = endpoint({"api_base": "http://user:pass@h/v1", "api_key": KEY}, {})
    assert where is not None
    assert where.shown == "http://h/v1"
    assert KEY not in repr(where)
    with pytest.raises(ApiError) as caught:
        endpoint({"api_base": "ftp://user:pass@h/v1"}, {})
    assert "pass" not in str(caught.value)
