"""The API backend: any endpoint that speaks the OpenAI chat completions protocol."""

from __future__ import annotations

import asyncio
import email.utils
import math
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from the_edge_agent.errors import ApiError, TeaError, Timeout
from the_edge_agent.llm import openai_format, tls
from the_edge_agent.llm.backend import (
    BackendFactory,
    BackendName,
    ChatReply,
    ChatRequest,
    EmbedReply,
    EmbedRequest,
)

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_FIRST_WAIT = 0.5  # seconds before the first retry, doubled each time
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 60.0  # a server that asks for more is asked again after this
_SHOWN = 300  # characters of a server's own error text
_PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})


class _PassingError(Exception):
    """A failure that may pass. ``wait``: seconds that the server asked for."""

    def __init__(self, error: ApiError, wait: float | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Preset:
    """What differs between providers of the same protocol."""

    base: str | None  # address when the file names none
    key_variable: str | None  # environment variable with the key when the file names none
    header: str  # carries the key
    scheme: str  # goes before the key
    path: str = ""  # comes after an address that has no path of its own


PRESETS = {
    "openai": Preset("https://api.openai.com/v1", "OPENAI_API_KEY", "Authorization", "Bearer "),
    "ollama": Preset("http://localhost:11434/v1", None, "Authorization", "Bearer ", "/v1"),
    "azure": Preset(None, "AZURE_OPENAI_API_KEY", "api-key", "", "/openai/v1"),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to send requests, and with what key. The key is never printed."""

    base: str
    headers: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    model: str | None

    @property
    def shown(self) -> str:
        """The address as messages show it, without a name and password in it."""
        return re.sub(r"//[^/@]*@", "//", self.base)


def endpoint(settings: Mapping[str, Any], env: Mapping[str, str]) -> Endpoint | None:
    """Return what ``settings.llm`` and the environment configure, None when that is nothing.

    Raises:
        ApiError: the address is not one, or ``provider`` is azure and there is no address.
    """
    provider = settings.get("provider")
    preset = PRESETS[provider or "openai"]
    base = settings.get("api_base")
    key = settings.get("api_key") or (env.get(preset.key_variable) if preset.key_variable else None)
    if not base:
        if preset.base is None:
            raise ApiError(f"provider {provider} needs settings.llm.api_base")
        if not key and provider != "ollama":
            return None
        base = preset.base
    scheme, separator, rest = base.rstrip("/").partition("://")
    if scheme not in ("http", "https") or not separator or not rest:
        raise ApiError(
            f"settings.llm.api_base {re.sub(r'//[^/@]*@', '//', base)!r} is not an address",
            hint="write it like https://host/v1",
        )
    path = "" if "/" in rest else preset.path
    return Endpoint(
        base=f"{scheme}://{rest}{path}",
        headers={preset.header: f"{preset.scheme}{key}"} if key else {},
        secrets=(key,) if key else (),
        model=settings.get("model"),
    )


def api_factory(env: Mapping[str, str]) -> BackendFactory:
    """Return what makes an API backend when one is configured."""

    def make(settings: Mapping[str, Any]) -> ApiBackend | None:
        found = endpoint(settings, env)
        return None if found is None else ApiBackend(found)

    return make


class ApiBackend:
    """An endpoint that answers. ``sleep``, ``now`` and ``jitter`` are there to be replaced."""

    name: BackendName = "api"

    def __init__(
        self,
        where: Endpoint,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._where = where
        self._sleep = sleep
        self._now = now
        self._jitter = jitter

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        """Answer, as a stream when ``on_text`` is given.

        Raises:
            ApiError: the endpoint refused, cannot be reached, or gave something that is no answer.
            Timeout: ``request.timeout`` seconds passed, retries included.
        """
        model = self._model(request.model)
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "top_p": request.top_p,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = list(request.stop)
        if on_text is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}

        async def read(response: httpx.Response) -> ChatReply:
            streams = "event-stream" in response.headers.get("content-type", "")
            if on_text is not None and streams:
                return await openai_format.read_stream(response.aiter_lines(), model, on_text)
            reply = openai_format.chat_reply(await response.aread(), model)
            if on_text is not None and reply.content:
                on_text(reply.content)
            return reply

        return await self._post("chat/completions", body, read, request)

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        """Return the vectors of the texts. Raises as ``chat`` does."""
        model = self._model(request.model)

        async def read(response: httpx.Response) -> EmbedReply:
            return openai_format.embed_reply(await response.aread(), model, len(request.texts))

        return await self._post(
            "embeddings", {"model": model, "input": list(request.texts)}, read, request
        )

    def _model(self, named: str | None) -> str:
        model = named or self._where.model
        if model is None:
            raise ApiError("the API needs to know which model", hint="set settings.llm.model")
        return model

    async def _post(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[httpx.Response], Awaitable[T]],
        request: ChatRequest | EmbedRequest,
    ) -> T:
        """Send ``body`` until ``read`` makes a reply of the response, or tries or time run out."""
        try:
            async with asyncio.timeout(request.timeout):
                for tried in range(request.max_retries + 1):
                    try:
                        return await self._try(path, body, read)
                    except _PassingError as passing:
                        if tried == request.max_retries:
                            raise passing.error from passing
                        await self._sleep(self._wait(tried, passing.wait))
        except TimeoutError as error:
            raise Timeout(
                f"{self._where.shown} gave no answer within {request.timeout:g} seconds",
                hint="raise timeout, or ask for less",
            ) from error
        raise AssertionError("a try returns or raises")

    async def _try(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[httpx.Response], Awaitable[T]],
    ) -> T:
        import httpx  # a tenth of a second that local models need not wait for

        begun = False
        try:
            async with (
                httpx.AsyncClient(
                    timeout=None,  # noqa: S113  # _post limits the time
                    headers=dict(self._where.headers),
                    verify=tls.context(os.environ),
                ) as client,
                client.stream("POST", f"{self._where.base}/{path}", json=body) as response,
            ):
                if response.status_code != 200:
                    raise self._refusal(response, await response.aread())
                begun = True
                return await read(response)
        except httpx.TransportError as error:
            failure = ApiError(f"{self._where.shown}: {_cause(error)}")
            if begun:  # a part of the answer may be out already
                raise failure from error
            raise _PassingError(failure) from error
        except TeaError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise ApiError(f"{self._where.shown}: {_cause(error)}") from error

    def _refusal(self, response: httpx.Response, body: bytes) -> ApiError | _PassingError:
        text = openai_format.error_text(body) or response.reason_phrase
        for secret in self._where.secrets:
            text = text.replace(secret, "…")
        error = ApiError(f"{self._where.shown} answered {response.status_code}: {text[:_SHOWN]}")
        if response.status_code in _PASSING:
            return _PassingError(error, self._retry_after(response.headers.get("retry-after")))
        return error

    def _retry_after(self, header: str | None) -> float | None:
        """Return the seconds that ``header`` asks for: it has a number or a date."""
        if header is None:
            return None
        try:
            seconds = float(header)
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(header).timestamp() - self._now()
            except ValueError:
                return None
        return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None

    def _wait(self, tried: int, asked: float | None) -> float:
        wait: float = min(_FIRST_WAIT * 2**tried, _LONGEST_WAIT) * (0.5 + self._jitter() / 2)
        return wait if asked is None else max(asked, wait)


def _cause(error: Exception) -> str:
    return str(error) or type(error).__name__
