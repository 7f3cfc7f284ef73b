from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from tests.tea.llm.api_replies import KEY, LATE, REPLIES, Reply
from tests.tea.llm.api_server import answer, chat, serve
from the_edge_agent.errors import TeaError
from the_edge_agent.llm.api import ApiBackend, endpoint
from the_edge_agent.llm.backend import ChatReply, ChatRequest, Message

REQUEST = ChatRequest((Message("user", "Hi"),), timeout=LATE)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def ask(url: str, request: ChatRequest = REQUEST) -> ChatReply:
    where = endpoint({"api_base": url, "api_key": KEY, "model": "m"}, {})
    assert where is not None
    return asyncio.run(ApiBackend(where).chat(request, lambda _: None))


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.name)
def test_each_reply_ends_in_time_with_its_answer_or_its_error(reply: Reply) -> None:
    retries = 9 if reply.name == "endless retries" else 0
    request = replace(REQUEST, timeout=reply.timeout, max_retries=retries)
    with serve() as api:
        api.scripts = [reply.script]
        started = time.monotonic()
        if reply.text is not None:
            found = ask(api.url, request)
            assert (found.content, found.finish_reason) == (reply.text, reply.reason)
        else:
            with pytest.raises(TeaError) as caught:
                ask(api.url, request)
            assert caught.value.kind == reply.kind
            assert reply.words in caught.value.message
            assert KEY[:9] not in str(caught.value)
            assert len(str(caught.value)) < 600
        assert time.monotonic() - started < LATE


def test_an_api_gets_the_name_of_max_tokens_that_it_wants() -> None:
    refusal = answer({"error": {"message": "use 'max_completion_tokens' instead"}}, 400)
    with serve() as api:
        api.scripts = [refusal, answer(chat("a"))]
        where = endpoint({"api_base": api.url, "model": "m"}, {})
        assert where is not None
        backend = ApiBackend(where)
        for _ in range(2):
            assert asyncio.run(backend.chat(REQUEST, None)).content == "a"
        sent = [[key for key in each["body"] if "tokens" in key] for each in api.requests]
    assert sent == [["max_tokens"], ["max_completion_tokens"], ["max_completion_tokens"]]


@pytest.mark.parametrize(("path", "hint"), [("", True), ("/v1", False)])
def test_a_404_without_v1_gets_the_hint(path: str, hint: bool) -> None:
    with serve() as api:
        api.scripts = [answer(b"", 404)]
        with pytest.raises(TeaError) as caught:
            ask(api.url.removesuffix("/v1") + path)
    assert ("/v1" in caught.value.hint) is hint


@pytest.mark.parametrize("key", [f"{KEY}\n", f" {KEY}\r\n"])
def test_line_ends_of_a_key_are_not_sent(key: str) -> None:
    where = endpoint({"api_base": "http://h/v1", "api_key": key}, {})
    assert where is not None
    assert where.headers == {"Authorization": f"Bearer {KEY}"}


@pytest.mark.parametrize("key", ["sk-a\nb", "sk-\x00", "sk-é"])
def test_a_key_that_no_header_can_carry_is_not_shown(key: str) -> None:
    with pytest.raises(TeaError, match="no header can carry") as caught:
        endpoint({"api_base": "http://h/v1", "api_key": key}, {})
    assert "sk-" not in str(caught.value)
