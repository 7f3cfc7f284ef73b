"""Compares what came of a case with what it expects, and says every difference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .sandbox import Outcome, Sandbox


def differences(expect: Mapping[str, Any], outcome: Outcome, sandbox: Sandbox) -> list[str]:
    """Return a line for each expectation that is not met; none means the case passes."""
    checks = [
        iter(outcome.faults),
        _requests(expect, outcome),
        _files(expect, sandbox),
        _hidden(expect, outcome),
    ]
    if outcome.stdout is not None:
        checks.append(_command(expect, outcome))
    else:
        checks += [
            _end(expect, outcome, sandbox),
            _state(expect, outcome),
            _events(expect, outcome),
        ]
    return [line for check in checks for line in check]


def same(expected: Any, actual: Any) -> bool:
    """Whether two values are equal and of the same JSON types: 1, 1.0 and true all differ."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return expected.keys() == actual.keys() and all(
            same(value, actual[key]) for key, value in expected.items()
        )
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    return type(expected) is type(actual) and bool(expected == actual)


def refusal_differences(outcome: Outcome, node: str, engine: str) -> list[str]:
    """Return a line for each way in which a file was not refused as it must be in ``engine``."""
    if outcome.problems is None:
        return [f"not refused at load: {_said(outcome)}"]
    if any(node in told(problem) and engine in told(problem) for problem in outcome.problems):
        return []
    return [f"no problem names {node} and {engine}: {_said(outcome)}"]


def told(error: Mapping[str, Any]) -> str:
    """Return a problem or a failure as text: all that the engine says of it."""
    place = "".join(f"{error[key]}:" for key in ("file", "line", "column") if key in error)
    node = f"node {error['node']} ({error['action']}): " if "node" in error else ""
    return f"{place} {node}{error['message']} ({error['hint']})".strip()


def _said(outcome: Outcome) -> str:
    if outcome.problems is not None:
        return "; ".join(map(told, outcome.problems))
    return "it ended well" if outcome.failure is None else told(outcome.failure)


def _end(expect: Mapping[str, Any], outcome: Outcome, sandbox: Sandbox) -> Iterator[str]:
    if "problems" in expect:
        yield from _problems(expect["problems"], outcome, sandbox)
    elif "error" in expect:
        yield from _error(expect["error"], outcome, sandbox)
    elif "end" not in expect and (outcome.problems is not None or outcome.failure is not None):
        yield f"failed: {_said(outcome)}"
    if outcome.problems is None:
        yield from _warnings(expect.get("warnings", ()), outcome.warnings, sandbox)
    exit_code = _exit_code(outcome)
    if outcome.exit not in (None, exit_code):
        yield f"exit code {outcome.exit}, but its error has {exit_code}"
    if expect.get("exit", exit_code) != exit_code:
        yield f"exit code {exit_code}, expected {expect['exit']}"


def _exit_code(outcome: Outcome) -> int:
    if outcome.problems is not None:
        return 2
    if outcome.failure is not None:
        return 3 if outcome.failure["kind"] == "ModelError" else 1
    return 0


def _error(expect: Mapping[str, Any], outcome: Outcome, sandbox: Sandbox) -> Iterator[str]:
    if outcome.problems is not None:
        if expect.get("stage") == "run":
            yield f"refused at load: {_said(outcome)}"
            return
        wanted = {key: value for key, value in expect.items() if key in ("place", "message")}
        if not expect.get("any_number") and len(outcome.problems) != 1:
            yield f"{len(outcome.problems)} problems, expected one: {_said(outcome)}"
        if not any(_fits(wanted, problem, sandbox) for problem in outcome.problems):
            yield f"problems {_said(outcome)}; expected {wanted}"
    elif outcome.failure is None:
        yield f"no error, expected {expect}"
    elif expect.get("stage") == "load":
        yield f"refused only at run: {_said(outcome)}"
    else:
        for key in ("kind", "node", "action"):
            found = outcome.failure.get(key)
            if expect.get(key, found) != found:
                yield f"{key} is {found}, expected {expect[key]}: {_said(outcome)}"
        yield from _missing("the message", expect.get("message", ()), _said(outcome))


def _problems(expect: list[dict[str, Any]], outcome: Outcome, sandbox: Sandbox) -> Iterator[str]:
    if outcome.problems is None:
        yield f"not refused at load: {_said(outcome)}"
        return
    if len(expect) != len(outcome.problems):
        yield f"{len(outcome.problems)} problems, expected {len(expect)}"
    for wanted, problem in zip(expect, outcome.problems, strict=False):
        if not _fits(wanted, problem, sandbox):
            yield f"problem {told(problem)}; expected {wanted}"


def _warnings(
    expect: Iterable[dict[str, Any]], warnings: list[dict[str, Any]], sandbox: Sandbox
) -> Iterator[str]:
    wanted = list(expect)
    for warning in warnings:
        fitting = [each for each in wanted if _fits(each, warning, sandbox)]
        if not fitting:
            yield f"unexpected warning {told(warning)}"
        else:
            wanted.remove(fitting[0])
    yield from (f"no warning {each}" for each in wanted)


def _fits(wanted: Mapping[str, Any], problem: Mapping[str, Any], sandbox: Sandbox) -> bool:
    if problem["file"] != sandbox.workflow_name or problem["line"] < 1 or problem["column"] < 1:
        return False
    line, _, column = str(wanted.get("place", "")).partition(":")
    if (line and int(line) != problem["line"]) or (column and int(column) != problem["column"]):
        return False
    return not list(_missing("", wanted.get("message", ()), told(problem)))


def _missing(where: str, texts: Iterable[str], found: str) -> Iterator[str]:
    for text in texts:
        if text.lower() not in found.lower():
            yield f"{where} lacks {text!r}: {found}"


def _state(expect: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    wanted = ("state", "state_has", "state_lacks", "state_order", "error_state", "value")
    state = outcome.state
    if state is None:
        yield from (f"no final state, expected {key}" for key in wanted if key in expect)
        return
    try:
        json.dumps(state, allow_nan=False)
    except (TypeError, ValueError) as error:
        yield f"the state is not JSON: {error}"
    if "value" in expect and json.dumps(expect["value"]) != json.dumps(state.get("value")):
        yield f"gives {state.get('value')!r}, expected {expect['value']!r}"
    if "state" in expect and not same(expect["state"], state):
        yield f"state {state!r}, expected {expect['state']!r}"
    for key, value in expect.get("state_has", {}).items():
        if key not in state or not same(value, state[key]):
            yield f"state.{key} is {state.get(key)!r}, expected {value!r}"
    yield from (f"state has {key}" for key in expect.get("state_lacks", ()) if key in state)
    if "state_order" in expect and list(state) != expect["state_order"]:
        yield f"keys {list(state)}, expected {expect['state_order']}"
    if "error_state" in expect:
        yield from _error_state(expect["error_state"], state.get("__error__"))


def _error_state(expect: Mapping[str, Any], found: Any) -> Iterator[str]:
    keys = {"type", "message", "node", "action", "retry_count"}
    if not isinstance(found, dict) or found.keys() != keys:
        yield f"state.__error__ is {found!r}, expected the keys {sorted(keys)}"
        return
    for key, value in expect.items():
        if key == "message":
            yield from _missing("state.__error__.message", value, found[key])
        elif not same(value, found[key]):
            yield f"state.__error__.{key} is {found[key]!r}, expected {value!r}"


def _events(expect: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    if "events" in expect:
        yield from _exact_events(expect["events"], outcome.events)
    left = iter(outcome.events)
    for wanted in expect.get("events_include", ()):
        if not any(_event_fits(wanted, event) for event in left):
            yield f"no event {wanted} in its turn, only {outcome.events}"
    for kind in expect.get("events_lack", ()):
        if any(event["type"] == kind for event in outcome.events):
            yield f"there is an event {kind}"


def _exact_events(expect: list[dict[str, Any]], events: list[dict[str, Any]]) -> Iterator[str]:
    fit = len(expect) == len(events) and all(map(_event_fits, expect, events))
    if not fit:
        yield f"events {events}, expected {expect}"


def _event_fits(wanted: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    return all(key in event and same(value, event[key]) for key, value in wanted.items())


def _requests(expect: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    if "requests" in expect:
        wanted, got = expect["requests"], outcome.requests
        if len(wanted) != len(got):
            yield f"{len(got)} requests, expected {len(wanted)}: {got}"
        for one, request in zip(wanted, got, strict=False):
            yield from _request(one, request)
    sleeps = expect.get("sleeps", [])
    if sleeps not in ("any", outcome.sleeps):
        yield f"waits of {outcome.sleeps} s, expected {sleeps}"
    if expect.get("model", outcome.model) != outcome.model:
        yield f"the model is {outcome.model}, expected {expect['model']}"


def _request(expect: Mapping[str, Any], request: Mapping[str, Any]) -> Iterator[str]:
    headers = request.get("headers", {})
    for key, value in expect.items():
        if key == "lacks":
            yield from (f"the request has {each}" for each in value if each in request)
        elif key == "lacks_headers":
            yield from (f"the request has the header {each}" for each in value if each in headers)
        elif key == "headers":
            yield from (
                f"header {name} is {headers.get(name)!r}, expected {text!r}"
                for name, text in value.items()
                if headers.get(name) != text
            )
        elif key not in request or request[key] != value:
            yield f"{key} of the request is {request.get(key)!r}, expected {value!r}"


def _files(expect: Mapping[str, Any], sandbox: Sandbox) -> Iterator[str]:
    for name, content in expect.get("files", {}).items():
        path = sandbox.root / name
        found = path.read_bytes().decode() if path.is_file() else None
        if isinstance(content, dict) and found is not None:
            if not same(content["json"], json.loads(found)):
                yield f"{name} has {found!r}, expected {content['json']!r}"
        elif found != content:
            yield f"{name} has {found!r}, expected {content!r}"
    if "only_files" in expect and list(sandbox.files()) != expect["only_files"]:
        yield f"files {list(sandbox.files())}, expected {expect['only_files']}"


def _hidden(expect: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    shown: list[Any] = [
        outcome.state,
        outcome.events,
        outcome.warnings,
        outcome.problems,
        outcome.failure,
    ]
    shown += [outcome.stdout, outcome.stderr]
    shown.append("".join(event.get("text", "") for event in outcome.events))  # over all pieces
    for text in expect.get("hidden", ()):
        yield from (f"{text!r} shows in {each!r}" for each in shown if text in repr(each))


def _command(expect: Mapping[str, Any], outcome: Outcome) -> Iterator[str]:
    stdout, stderr = outcome.stdout or "", outcome.stderr
    if outcome.exit != expect["exit"]:
        yield f"exit code {outcome.exit}, expected {expect['exit']}; stderr: {stderr}"
    for key, found in (("stdout", stdout), ("stderr", stderr)):
        if expect.get(key, found) != found:
            yield f"{key} is {found!r}, expected {expect[key]!r}"
    if "traceback" in stderr.lower():
        yield f"a traceback: {stderr}"
    yield from _missing("stdout", expect.get("stdout_has", ()), stdout)
    yield from _missing("stderr", expect.get("stderr_has", ()), stderr)
    yield from _missing("the output", expect.get("output_has", ()), stdout + stderr)
    yield from (f"stderr has {text!r}" for text in expect.get("stderr_lacks", ()) if text in stderr)
    if not re.fullmatch(expect.get("stdout_matches", "(?s).*"), stdout):
        yield f"stdout {stdout!r} is not like {expect['stdout_matches']!r}"
    if "stdout_events" in expect:
        events = [json.loads(line) for line in stdout.splitlines()]
        yield from _exact_events(expect["stdout_events"], events)
    if {"stdout_json", "stdout_order", "stdout_is_json"} & expect.keys():
        yield from _stdout_json(expect, stdout)


def _stdout_json(expect: Mapping[str, Any], stdout: str) -> Iterator[str]:
    try:
        value = json.loads(stdout)
    except ValueError:
        yield f"stdout is not JSON: {stdout!r}"
        return
    if "stdout_json" in expect and not same(expect["stdout_json"], value):
        yield f"stdout has {value!r}, expected {expect['stdout_json']!r}"
    if "stdout_order" in expect and list(value) != expect["stdout_order"]:
        yield f"stdout has the keys {list(value)}, expected {expect['stdout_order']}"
