"""``tea run``: run a workflow and print its final state."""

from __future__ import annotations

import os
import random
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from the_edge_agent.cli import output, values
from the_edge_agent.errors import EXIT_FAILED, Problem, TeaError, UsageError, WorkflowFailed

Event = dict[str, Any]


def run_command(options: Namespace) -> int:
    """Run the workflow of ``options.file`` and return the exit code.

    Raises:
        TeaError: anything that is wrong; nothing is written then.
    """
    given = values.json_map("--input", options.input)
    secrets = values.secrets(options.secrets, options.secrets_env, os.environ)
    conditions = [_condition(text) for text in options.fail_on_state]
    target = values.writable_target(options.output) if options.output else None
    text = values.read_text(options.file)

    workflow, host = _prepare(options, text, secrets)
    if not options.quiet:
        for warning in workflow.warnings:
            output.say(f"warning: {_at(warning)}")
    import asyncio

    from the_edge_agent.run import run

    try:
        state = asyncio.run(run(workflow, given, host))
    except WorkflowFailed as error:
        if options.stream:
            return error.exit_code  # the error event has said it, on the stream and on stderr
        raise
    document = output.to_json(state, indent=2)
    if target is not None:
        output.write_file(target, document + "\n")
    elif not options.stream:
        output.answer(document + "\n")
    return _judge(state, conditions)
