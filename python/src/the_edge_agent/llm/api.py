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
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from the_edge_agent import redact
from the_edge_agent.errors import ActionError, ApiError, LimitError, TeaError, Timeout
from the_edge_agent.llm import openai_format, openai_request, tls, tool_calls
from the_edge_agent.llm.backend import (
    MAX_PROMPT,
    BackendFactory,
    BackendName,
    ChatReply,
    ChatRequest,
    DecideReply,
    DecideRequest,
    EmbedReply,
    EmbedRequest,
)
from the_edge_agent.llm.proxy import proxy_for, without_password
from the_edge_agent.llm.shape import Choices
from the_edge_agent.redact import Masker
from the_edge_agent.spec import SENT, Sampling

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_FITS_A_HEADER = re.compile(r"[!-~](?:[ -~]*[!-~])?")

_FIRST_WAIT = 0.5  # seconds before the first retry, doubled each time
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 60.0  # a server that asks for more is asked again after this
_LONGEST_WISH = 86_400.0  # a server that asks for more than a day is not asked again
_SHOWN = 300  # characters of a server's own error text
_REFUSAL = 1_000_000  # bytes of one; the rest is not read
_PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})


class _OtherNameError(Exception):
    """The API wants the limit of the answer by its newer name."""


class _TransientError(Exception):
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
    model: str | None
    masker: Masker = field(repr=False)  # kept: what is shown is masked while it is there

    @property
    def shown(self) -> str:
        """The address as messages show it, without a name and password in it."""
        return without_password(self.base)


def endpoint(settings: Mapping[str, Any], env: Mapping[str, str]) -> Endpoint | None:
    """Return what ``settings.llm`` and the environment configure, None when that is nothing.

    Raises:
        ApiError: the address is not one, or ``provider`` is azure and there is no address.
    """
    provider = settings.get("provider")
    preset = PRESETS[provider or "openai"]
    base = settings.get("api_base")
    key = settings.get("api_key") or (env.get(preset.key_variable) if preset.key_variable else None)
    key = key.strip() if key else None  # a file that holds a key ends with a line end
    if key and not _FITS_A_HEADER.fullmatch(key):
        raise ApiError(
            "the API key holds a character that no header can carry",
            hint="a key is printable ASCII; was more than the key copied?",
        )
    if not base:
        if preset.base is None:
            raise ApiError(f"provider {provider} needs settings.llm.api_base")
        if not key and provider != "ollama":
            return None
        base = preset.base
    scheme, separator, rest = base.rstrip("/").partition("://")
    if scheme not in ("http", "https") or not separator or not rest:
        raise ApiError(
            f"settings.llm.api_base {without_password(base)!r} is not an address",
            hint="write it like https://host/v1",
        )
    path = "" if "/" in rest else preset.path
    return Endpoint(
        base=f"{scheme}://{rest}{path}",
        headers={preset.header: f"{preset.scheme}{key}"} if key else {},
        model=settings.get("model"),
        masker=Masker({"key": key or "", "password": _password(rest)}, {}),
    )


def _password(address: str) -> str:
    user, separator, _ = address.partition("/")[0].rpartition("@")
    return unquote(user.partition(":")[2]) if separator else ""


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
        self._newer_name = False  # the API has asked for max_completion_tokens

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        """Answer, as a stream when ``on_text`` is given.

        Raises:
            LimitError: the messages are too long, or max_tokens cut an answer with a shape.
            ActionError: no API holds an answer to the shape.
            ApiError: the endpoint refused, cannot be reached, or gave something that is no answer.
            Timeout: ``request.timeout`` seconds passed, retries included.
        """
        model = self._model(request.model)
        sizes = (len(each.content.encode("utf-8", "replace")) for each in request.messages)
        if sum(sizes) > MAX_PROMPT:
            raise LimitError(
                f"the messages have more than {MAX_PROMPT} bytes", hint="shorten the prompt"
            )
        limit = "max_completion_tokens" if self._newer_name else request.limit_name
        names = [field.name for field in fields(Sampling) if field.name in SENT]
        body: dict[str, Any] = {
            "model": model,
            "messages": openai_request.messages(request),
            **{
                limit if name == "max_tokens" else name: getattr(request, name)
                for name in names
                if name not in request.unsent
            },
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.stop:
            body["stop"] = list(request.stop)
        body |= openai_request.form(request)
        if on_text is not None:
            body |= {"stream": True, "stream_options": {"include_usage": True}}

        async def read(response: httpx.Response) -> ChatReply:
            chunks = openai_format.limited(response.aiter_bytes())
            # Of a choice the pieces are JSON.
            pieces = None if isinstance(request.shape, Choices) else on_text
            reply = await openai_format.read_reply(chunks, model, pieces)
            try:
                reply = _checked(reply, request)
            except ApiError as error:
                if on_text is not None:
                    raise
                raise _TransientError(error) from error
            if on_text is not None and pieces is None and reply.content:
                on_text(reply.content)
            return reply

        return await self._post("chat/completions", body, read, request)

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        """Return the vectors of the texts. Raises as ``chat`` does."""
        model = self._model(request.model)

        async def read(response: httpx.Response) -> EmbedReply:
            chunks = openai_format.limited(response.aiter_bytes())
            body = b"".join([chunk async for chunk in chunks])
            return openai_format.embed_reply(body, model, len(request.texts))

        return await self._post(
            "embeddings", {"model": model, "input": list(request.texts)}, read, request
        )

    async def decide(self, request: DecideRequest) -> DecideReply:
        """Raises ActionError: an API does not tell how likely a given text is."""
        raise ActionError(
            "llm.decide needs a local model", hint="set backend: local, or ask with choices"
        )

    def _model(self, named: str | None) -> str:
        model = named or self._where.model
        if model is None:
            raise ApiError("the API needs to know which model", hint="set settings.llm.model")
        return model

    async def _post(
        self,
        path: str,
        body: dict[str, Any],
        read: Callable[[httpx.Response], Awaitable[T]],
        request: ChatRequest | EmbedRequest,
    ) -> T:
        """Send ``body`` until ``read`` makes a reply of the response, or tries or time run out."""
        try:
            async with asyncio.timeout(request.timeout):
                tried = 0
                while True:
                    try:
                        return await self._try(path, body, read)
                    except _OtherNameError:
                        self._newer_name = True
                        body["max_completion_tokens"] = body.pop("max_tokens")
                    except _TransientError as transient:
                        if tried == request.max_retries:
                            raise transient.error from transient
                        await self._sleep(self._wait(tried, transient.wait))
                        tried += 1
        except TimeoutError as error:
            raise Timeout(
                f"{self._where.shown} gave no answer within {request.timeout:g} seconds",
                hint="raise timeout, or ask for less",
            ) from error

    async def _try(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[httpx.Response], Awaitable[T]],
    ) -> T:
        import httpx  # a tenth of a second that local models need not wait for
        from socksio import SOCKSError  # what httpx lets through

        begun = False
        proxy = proxy_for(self._where.base, os.environ)
        way = f"{self._where.shown} through the proxy {without_password(proxy)}" if proxy else ""
        try:
            async with (
                self._client(proxy) as client,
                client.stream("POST", f"{self._where.base}/{path}", json=body) as response,
            ):
                if response.status_code != 200:
                    raise self._refusal(response, await _start(response), body)
                begun = True
                return await read(response)
        except (httpx.TransportError, SOCKSError) as error:
            failure = ApiError(f"{way or self._where.shown}: {_cause(error)}")
            if begun:  # a part of the answer may be out already
                raise failure from error
            raise _TransientError(failure) from error
        except TeaError:
            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise ApiError(f"{self._where.shown}: {_cause(error)}") from error

    def _client(self, proxy: str | None) -> httpx.AsyncClient:
        import httpx

        # Certificates are read where they are wanted, and not for plain HTTP.
        ways = [self._where.base, *([proxy] if proxy else [])]
        trusted = tls.context(os.environ) if any(w.startswith("https:") for w in ways) else None
        named = None
        if proxy:
            to_proxy = trusted if proxy.startswith("https:") else None
            named = httpx.Proxy(proxy, ssl_context=to_proxy)
        return httpx.AsyncClient(
            timeout=None,  # noqa: S113  # _post limits the time
            headers=dict(self._where.headers),
            verify=trusted or False,
            proxy=named,
            trust_env=False,  # its reading of NO_PROXY knows no networks
        )

    def _refusal(
        self, response: httpx.Response, start: bytes, body: Mapping[str, Any]
    ) -> Exception:
        status, shown = response.status_code, self._where.shown
        text = openai_format.error_text(start) or response.reason_phrase
        if status == 400 and "max_completion_tokens" in text and "max_tokens" in body:
            return _OtherNameError()
        hint = ""
        target = response.headers.get("location")
        if 300 <= status < 400 and target:
            text = f"it redirects to {without_password(target)}"
            hint = "name the API's own address in api_base"
        elif status == 404 and "/v1" not in shown:
            hint = f"most addresses of such APIs end with /v1: try {shown}/v1"
        message = f"{shown} answered {status}: {redact.shorten(text, _SHOWN)}"
        wait = self._retry_after(response.headers.get("retry-after"))
        if status in _PASSING and wait is not None and wait > _LONGEST_WISH:
            return ApiError(
                f"{message}; it wants to be left alone for more than a day",
                hint="try again later, or ask the provider for a higher limit",
            )
        error = ApiError(message, hint=hint)
        if status in _PASSING:
            return _TransientError(error, wait and min(wait, _LONGEST_RETRY_AFTER))
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
            except (ValueError, OverflowError):
                return None
        return None if math.isnan(seconds) else max(seconds, 0.0)

    def _wait(self, tried: int, asked: float | None) -> float:
        wait: float = min(_FIRST_WAIT * 2**tried, _LONGEST_WAIT) * (0.5 + self._jitter() / 2)
        return wait if asked is None else max(asked, wait)


def _checked(reply: ChatReply, request: ChatRequest) -> ChatReply:
    if reply.tool_calls or request.tools:
        tool_calls.checked(request, reply.tool_calls, ApiError)
    if isinstance(request.shape, Choices) and reply.finish_reason != "length":
        reply = replace(reply, content=openai_request.choice_in(reply.content))
    return reply.held_to(request.shape, ApiError)


async def _start(response: httpx.Response) -> bytes:
    """Return the beginning of a body, far more than is shown of it."""
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) >= _REFUSAL:
            break
    return body


def _cause(error: Exception) -> str:
    return redact.shorten(" ".join(str(error).split()) or type(error).__name__, _SHOWN)
