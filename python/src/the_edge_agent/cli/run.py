"""``tea run``: run a workflow and print its final state."""

from __future__ import annotations

import asyncio
import os
import random
import time
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from the_edge_agent.cli import output, signals, streams, values
from the_edge_agent.cli.registry import backends, registry
from the_edge_agent.cli.target import look_at
from the_edge_agent.errors import InvalidFile, UsageError, WorkflowFailed
from the_edge_agent.run.run import Host, run
from the_edge_agent.spec import EXIT_FAILED
from the_edge_agent.workflow.load import load_document
from the_edge_agent.workflow.model import Workflow
from the_edge_agent.workflow.subgraphs import source
from the_edge_agent.yaml.document import Value, plain

Event = dict[str, Any]


def run_command(options: Namespace) -> int:
    """Run the workflow of ``options.file`` and return the exit code.

    Raises:
        TeaError: anything that is wrong. Of a run that fails ``-o`` gets the state it has reached.
    """
    given = values.json_map("--input", options.input)
    secrets = values.secrets(options.secrets, options.secrets_env, os.environ)
    conditions = [_condition(text) for text in options.fail_on_state]
    target = look_at(options.output) if options.output else None
    written = values.read_workflow(options.file, options.overlay)

    workflow, host = _prepare(options, written, secrets)
    if options.strict and workflow.warnings:
        raise InvalidFile(workflow.warnings)
    if not options.quiet:
        for warning in workflow.warnings:
            streams.say(f"{warning.place}: warning: {warning.message}")
    if options.dump_merged:
        streams.answer(output.to_json(plain(written), indent=2) + "\n")
        return 0
    key = workflow.stdin_key
    if key and key not in given and options.file != values.STDIN and values.is_piped():
        given[key] = values.read_text(values.STDIN)
    streams.keep_stdout()
    signals.shield_system()
    try:
        state = signals.run(run(workflow, given, host))
    except WorkflowFailed as failed:
        if target is not None and failed.state is not None:
            target.write(output.to_json(failed.state, indent=2) + "\n")
        raise
    document = output.to_json(state, indent=2)
    if target is not None:
        target.write(document + "\n")
    elif not options.stream:
        streams.answer(document + "\n")
    return _judge(state, conditions)


def _prepare(options: Namespace, written: Value, secrets: dict[str, Any]) -> tuple[Workflow, Host]:
    """Return the checked workflow and everything that it may touch."""
    log = streams.log if options.verbose else None
    roots = [_working_folder(), *map(Path, options.allow_path)]
    if options.file != values.STDIN:
        roots.insert(1, Path(options.file).parent)
    actions = registry(backends(options, log), roots)
    workflow = load_document(written, options.file, actions=actions, source=source(options.file))
    emit: Callable[[Event], None]
    emit = _on_stream if options.stream else _on_stderr if options.verbose else _nowhere
    if options.heartbeat:
        emit = _with_heartbeat(emit, time.monotonic)
    host = Host(
        actions=actions,
        env=os.environ,
        secrets=secrets,
        emit=emit,
        sleep=asyncio.sleep,
        random=random.random,
        warn=_nowhere if options.quiet else streams.say,
    )
    return workflow, host


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        return Path()  # it was deleted: relative paths lead nowhere


def _on_stream(event: Event) -> None:
    streams.answer(output.to_json(event) + "\n")


def _on_stderr(event: Event) -> None:
    if event["type"] == "node_complete":
        streams.say(f"node {event['node']} done")


def _with_heartbeat(
    emit: Callable[[Event], None], now: Callable[[], float]
) -> Callable[[Event], None]:
    """Return an ``emit`` that also says on stderr which nodes are done, and when."""
    start = now()

    def beat(event: Event) -> None:
        emit(event)
        if event["type"] == "node_complete":
            branch = f" [{event['index']}]" if "index" in event else ""
            streams.say(f"{now() - start:.1f} s: node {event['node']}{branch} done")

    return beat


def _nowhere(_event: object) -> None:
    """Drop what nobody asked for."""


def _condition(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise UsageError(f"--fail-on-state {text!r} is not KEY=VALUE")
    return key, value


def _judge(state: Mapping[str, Any], conditions: list[tuple[str, str]]) -> int:
    """Return 1 when a value of ``state``, in its text form, is one that was named, else 0."""
    for key, value in conditions:
        if key in state and _text_form(state[key]) == value:
            streams.say(f"tea: the final state has {key}={value}")
            return EXIT_FAILED
    return 0


def _text_form(value: Any) -> str:
    return value if isinstance(value, str) else output.to_json(value)
