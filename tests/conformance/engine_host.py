"""The Python engine behind standard input and output, for the judge: see judge.py."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from the_edge_agent import __main__ as program
from the_edge_agent import errors
from the_edge_agent.actions.base import base_registry
from the_edge_agent.actions.llm import llm_actions
from the_edge_agent.actions.registry import Registry
from the_edge_agent.errors import InvalidFile, ModelError, Problem, TeaError, WorkflowFailed
from the_edge_agent.llm import model_path, shape, tool_calls, tool_form, tool_grammar
from the_edge_agent.llm.api import ApiBackend, endpoint
from the_edge_agent.llm.backend import (
    Backend,
    BackendName,
    Backends,
    ChatReply,
    ChatRequest,
    DecideReply,
    DecideRequest,
    EmbedReply,
    EmbedRequest,
    Message,
    ToolCall,
)
from the_edge_agent.llm.tool_calls import TextBeforeCalls
from the_edge_agent.llm.tool_form import ToolForm
from the_edge_agent.run.run import Host, run
from the_edge_agent.spec import Sampling
from the_edge_agent.workflow import subgraphs
from the_edge_agent.workflow.load import load

Asked = dict[str, Any]


class Judge:
    """The other side of the lines. What the engine prints goes to standard error."""

    def __init__(self) -> None:
        self._input = os.fdopen(os.dup(0), encoding="utf-8")
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def hear(self) -> dict[str, Any] | None:
        """Return what the judge says, None when there is no more."""
        line = self._input.readline()
        return json.loads(line) if line else None

    def say(self, what: str, value: Any) -> None:
        """Say one thing."""
        self._output.write(json.dumps({what: value}) + "\n")
        self._output.flush()

    def ask(self, what: str, value: Any) -> Asked:
        """Say what is asked for and return the answer."""
        self.say(what, value)
        answer = self.hear()
        assert answer is not None
        return answer

    async def sleep(self, seconds: float) -> None:
        """Have a wait noted."""
        self.ask("sleep", seconds)

    def emit(self, event: dict[str, Any]) -> None:
        """Say an event."""
        self.say("event", _plain(event))


def _plain(value: Any) -> Any:
    """Return a value of JSON's own types; JSON would hide that a list is a tuple."""
    if type(value) is dict:
        if wrong := [key for key in value if type(key) is not str]:
            raise TypeError(f"the key {wrong[0]!r} is no text")
        return {key: _plain(each) for key, each in value.items()}
    if type(value) is list:
        return [_plain(each) for each in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"{value!r} is not of JSON's types")


@dataclass(slots=True)
class JudgeModel:
    """A local model that the judge speaks for."""

    judge: Judge
    form: ToolForm | None
    name: BackendName = "local"

    async def chat(self, request: ChatRequest, on_text: Callable[[str], None] | None) -> ChatReply:
        """Answer with what the judge says."""
        keys = (*(field.name for field in fields(Sampling)), "seed")
        asked = {
            "messages": _messages(request.messages),
            "stop": list(request.stop),
            "shape": _shape(request.shape),
            "tools": [
                {key: getattr(tool, key) for key in ("name", "description", "parameters")}
                for tool in request.tools
            ],
        }
        asked |= {key: getattr(request, key) for key in (*keys, "tool_choice", "thinking")}
        if self.form is not None:
            tools = tool_form.offered(request)
            grammar = tool_grammar.grammar(self.form, request)
            asked |= {
                "messages": _messages(tool_form.messages(self.form, request.messages, tools)),
                "tools": tool_form.template_tools(self.form, tools) or [],
                "shape": {"grammar": grammar} if grammar else asked["shape"],
            }
        answer = self.judge.ask("chat", asked)
        before = TextBeforeCalls(self.form, on_text) if self.form and on_text else None
        feed = before.feed if before is not None else on_text
        for piece in answer["pieces"] if feed is not None else ():
            feed(piece)  # type: ignore[misc]
        given = _reply(answer)
        given.pop("tool_form", None)
        calls = tuple(ToolCall(**call) for call in given.pop("tool_calls", ()))
        reply = ChatReply(**given, tool_calls=calls)
        if self.form is not None:
            reply = tool_calls.read(self.form, request, reply)
        if before is not None:
            before.finish(reply.content)
        return reply.held_to(request.shape, ModelError)

    async def embed(self, request: EmbedRequest) -> EmbedReply:
        """Answer with the vectors that the judge gives."""
        reply = _reply(self.judge.ask("embed", {"texts": list(request.texts)}))
        vectors = tuple(tuple(vector) for vector in reply["embeddings"])
        return EmbedReply(vectors, reply["model"], reply["tokens"])

    async def decide(self, request: DecideRequest) -> DecideReply:
        """Answer with the likelihoods that the judge gives."""
        asked = {
            "messages": _messages(request.messages),
            "choices": list(request.choices),
            "normalize": request.normalize,
            "thinking": request.thinking,
        }
        return DecideReply(tuple(_reply(self.judge.ask("decide", asked))["probabilities"]))


def _messages(messages: tuple[Message, ...]) -> list[Asked]:
    told = [
        {
            "role": each.role,
            "content": each.content,
            "tool_calls": [call.data() for call in each.tool_calls],
            "tool_call_id": each.tool_call_id,
            "name": each.name,
        }
        for each in messages
    ]
    return [
        {key: value for key, value in each.items() if value or key == "content"} for each in told
    ]


def _shape(of: shape.Shape | None) -> Asked | None:
    """Return the key of a call and its value there, in the words of the cases."""
    match of:
        case shape.JsonObject():
            return {"response_format": {"type": "json_object"}}
        case shape.JsonSchema(schema):
            return {"schema": schema}
        case shape.Choices(texts):
            return {"choices": list(texts)}
        case shape.Regex(pattern):
            return {"regex": pattern}
        case shape.Lark(grammar):
            return {"grammar": grammar}
    return None


def _reply(answer: Asked) -> dict[str, Any]:
    if "error" in answer:
        kind: type[TeaError] = getattr(errors, answer["error"]["kind"])
        raise kind(answer["error"]["message"], hint=answer["error"]["hint"])
    reply: dict[str, Any] = json.loads(answer["reply"])
    return reply


class JudgeNetwork(httpx.AsyncBaseTransport):
    """The network, behind the real client: the judge answers every request."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer with the judge's response, or with its fault."""
        body = (await request.aread()).decode()
        headers = [list(pair) for pair in request.headers.items()]
        asked = {"url": str(request.url), "headers": headers, "body": body}
        answer = self._judge.ask("post", asked)
        if "error" in answer:
            if answer["error"]["kind"] == "timeout":
                await asyncio.Event().wait()  # the engine's own deadline ends it
            raise httpx.ConnectError(answer["error"]["message"], request=request)
        return httpx.Response(
            answer["status"], headers=answer["headers"], stream=_Body(answer["chunks"])
        )


class _Body(httpx.AsyncByteStream):
    def __init__(self, chunks: list[Any]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if not isinstance(chunk, str):
                raise httpx.ReadError(chunk["error"]["message"])
            yield chunk.encode("latin-1")


def _registry(told: Asked, given: Asked, judge: Judge) -> Registry:
    """Return all actions over the judge's models, behind the real choice of backend."""
    env: Mapping[str, str] = given.get("env", {})

    def make_local(settings: Mapping[str, Any]) -> Backend | None:
        if not told["has_model"]:
            return None
        if told["find_model"]:
            found = model_path.find(told["gguf"], env, settings.get("model_path"))
            if found is None:
                return None
            judge.say("model", str(Path.cwd() / found.path))
        return JudgeModel(judge, ToolForm(told["tool_form"]) if told["tool_form"] else None)

    def make_api(settings: Mapping[str, Any]) -> Backend | None:
        where = endpoint(settings, env)
        return None if where is None else ApiBackend(where, sleep=judge.sleep, jitter=lambda: 0.5)

    backends = Backends(local=make_local, api=make_api, choice=given.get("backend"))
    return {**base_registry(roots=told["roots"]), **llm_actions(backends)}


def _problems(problems: tuple[Problem, ...]) -> list[dict[str, Any]]:
    return [
        {
            "file": each.place.file,
            "line": each.place.line,
            "column": each.place.column,
            "message": each.message,
            "hint": each.hint,
        }
        for each in problems
    ]


def _failure(error: TeaError) -> dict[str, Any]:
    if not isinstance(error, WorkflowFailed):
        return {"kind": error.kind, "message": error.message, "hint": error.hint}
    cause = error.cause
    said = {"kind": cause.kind, "message": cause.message, "hint": cause.hint}
    return {**said, "node": error.node, "action": error.action, "retry_count": error.retry_count}


def play(told: Asked, judge: Judge) -> None:
    """Load and run a workflow as often as the judge says."""
    os.chdir(told["directory"])
    given = json.loads(told["given"])
    actions = _registry(told, given, judge)
    try:
        source = subgraphs.source(told["name"])
        workflow = load(told["source"], told["name"], actions=actions, source=source)
    except InvalidFile as error:
        judge.say("ended", {"problems": _problems(error.problems), "exit": error.exit_code})
        return
    for _ in range(told["times"]):
        host = Host(
            actions=actions,
            env=given.get("env", {}),
            secrets=given.get("secrets", {}),
            emit=judge.emit,
            sleep=judge.sleep,
            random=lambda: 0.5,
        )
        ended: dict[str, Any] = {"warnings": _problems(workflow.warnings), "exit": 0}
        try:
            ended["state"] = _plain(asyncio.run(run(workflow, given.get("input", {}), host)))
        except TeaError as error:
            ended |= {"failure": _failure(error), "exit": error.exit_code}
        judge.say("ended", ended)


def command(told: Asked, judge: Judge) -> None:
    """Run the command line in this process, which a second start of Python would slow down."""
    os.chdir(told["directory"])
    stdout, stderr = _Pipe(), _Pipe()
    with (
        mock.patch.dict(os.environ, told["env"], clear=True),
        mock.patch.object(sys, "argv", ["tea", *told["words"]]),
        _standard_input(told["stdin"]),
        mock.patch.object(sys, "stdout", stdout),
        mock.patch.object(sys, "stderr", stderr),
    ):
        code = program.main()
    judge.say("ended", {"exit": code, "stdout": stdout.text(), "stderr": stderr.text()})


@contextmanager
def _standard_input(text: str) -> Iterator[None]:
    """Let the command read ``text`` from descriptor 0; the judge speaks through another one."""
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        os.dup2(file.fileno(), 0)
    with open(0, encoding="utf-8", closefd=False) as stdin, mock.patch.object(sys, "stdin", stdin):
        yield


class _Pipe(io.TextIOWrapper):
    """A standard stream that is no terminal."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n")

    def text(self) -> str:
        """Return what was written."""
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue().decode()


def main() -> None:
    """Play what the judge says until it says no more."""
    judge = Judge()
    network = JudgeNetwork(judge)
    with mock.patch.object(
        httpx.AsyncHTTPTransport,
        "handle_async_request",
        lambda _transport, request: network.handle_async_request(request),
    ):
        while (heard := judge.hear()) is not None:
            ((what, told),) = heard.items()
            try:
                {"run": play, "command": command}[what](told, judge)
            except Exception as error:  # of the engine's own making: the case fails
                judge.say("ended", {"faults": [f"not an error of the engine: {error!r}"]})


if __name__ == "__main__":
    main()
