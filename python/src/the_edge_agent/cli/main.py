"""Dispatch, and the one place where errors are printed and become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from the_edge_agent import __version__
from the_edge_agent.cli import output, signals, streams
from the_edge_agent.errors import TeaError, UsageError
from the_edge_agent.llm import model_file
from the_edge_agent.spec import EXIT_MISTAKE

if TYPE_CHECKING:
    from argparse import Namespace


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code; prints errors, raises none."""
    model_file.take(os.environ)
    try:
        code = _dispatch(arguments)
    except TeaError as error:
        output.report(error)
        return error.exit_code
    except KeyboardInterrupt:
        signals.end_children()
        # Raised while Python ran a text (so are data classes made), it would end the process by
        # SIGINT, whatever comes after. Running another text takes that back.
        exec("")  # noqa: S102
        return signals.exit_code()
    except SystemExit:  # argparse, after --help
        return streams.exit_code(0)
    except Exception as error:
        if os.environ.get("TEA_TRACEBACK"):
            raise
        streams.say(f"tea: internal error: {type(error).__name__}: {error}")
        streams.say("     this is a mistake in tea; TEA_TRACEBACK=1 shows where")
        return EXIT_MISTAKE
    return streams.exit_code(code)


def _dispatch(arguments: Sequence[str]) -> int:
    from the_edge_agent.cli.arguments import parse

    if not arguments and sys.stdin.isatty():
        arguments = ["chat"]
    options = parse(arguments)
    if options.command is None:
        return _facts(options)
    if options.command == "run":
        from the_edge_agent.cli.run import run_command

        return run_command(options)
    if options.command == "validate":
        from the_edge_agent.cli.validate import validate_command

        return validate_command(options)
    if options.command == "chat":
        from the_edge_agent.cli.chat import chat_command

        return chat_command(options)
    from the_edge_agent.cli.model import model_command

    return model_command(options)


def _facts(options: Namespace) -> int:
    """Print version, implementation and, when asked, the CPU backend."""
    if not options.version and not options.impl:
        raise UsageError("no command", hint="see tea --help, or chat with tea chat")
    line = f"tea {__version__}" if options.version else "python"
    if options.version and options.impl:
        line += " (python)"
    streams.answer(f"{line}\n")
    if options.verbose:
        from the_edge_agent.llm import bindings

        llama = bindings.load()
        streams.answer(f"CPU backend: {llama.cpu_backend()}\n")
        streams.answer(f"libraries: {bindings.library_directory()}\n")
    return 0
