"""The grammar of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from the_edge_agent.cli import streams
from the_edge_agent.errors import UsageError
from the_edge_agent.llm.parameters import BACKENDS

COMMANDS = ("run", "validate", "chat", "model")

_EXIT_CODES = """\
exit codes:
  0    done
  1    the workflow failed
  2    wrong usage or an invalid file
  3    no model, or one that cannot be used
  74   the output cannot be written
  130  interrupted
"""


class Parser(argparse.ArgumentParser):
    """Raises its errors, so that they are printed where all errors are."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing and leaving."""
        raise UsageError(message, hint=f"see {self.prog} --help")

    def print_help(self, file: object = None) -> None:
        """Print where all results are printed; the standard way drops its errors."""
        streams.answer(self.format_help())


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; ``command`` is None when none is named.

    Raises:
        UsageError: the arguments do not fit the grammar; the nearest word is in the hint.
        SystemExit: help was asked for and has been printed.
    """
    from the_edge_agent.suggest import nearest

    parser, commands = _build()
    first = next((word for word in arguments if not word.startswith("-")), None)
    if first is not None and first not in COMMANDS:
        raise UsageError(f"there is no command {first!r}", hint=_command_hint(first))
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        known = commands[options.command] if options.command else parser
        words = [word for action in known._actions for word in action.option_strings]
        hint = nearest(unknown[0].partition("=")[0], words) or f"see {known.prog} --help"
        if "--" in arguments and unknown[0] in arguments[arguments.index("--") :]:
            hint = "nothing after -- is an option; options go before it"
        raise UsageError(f"unknown argument {unknown[0]}", hint=hint)
    return options


def _command_hint(word: str) -> str:
    if word.lower().endswith((".yaml", ".yml")):
        return f"did you mean tea run {word}?"
    from the_edge_agent.suggest import nearest

    return nearest(word, COMMANDS) or f"the commands are {', '.join(COMMANDS)}; see tea --help"


def _build() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="tea",
        description="Run workflows written in YAML, and chat, with a language model at hand."
        " Without a command, on a terminal: chat.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    parser.add_argument(
        "--impl", action="store_true", help="print the implementation: python or rust"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="with --version: the CPU backend too"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands: dict[str, Parser] = {}
    for name, summary in (
        ("run", "run a workflow and print its final state"),
        ("validate", "check workflows and print everything that is wrong"),
        ("chat", "ask one question, or have a conversation"),
        ("model", "say which model would be used, and what it is"),
    ):
        commands[name] = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            allow_abbrev=False,
        )
    _add_run(commands["run"])
    _add_validate(commands["validate"])
    _add_chat(commands["chat"])
    _add_model(commands["model"])
    return parser, commands


def _add_run(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="the workflow; - for standard input")
    parser.add_argument(
        "-i", "--input", metavar="JSON|@FILE", help="a JSON map, laid over initial_state"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the final state there, not to stdout"
    )
    parser.add_argument(
        "--stream", action="store_true", help="print one JSON event a line as it happens"
    )
    parser.add_argument("--secrets", metavar="JSON|@FILE", help="a JSON map, seen as secrets.…")
    parser.add_argument(
        "--secrets-env",
        metavar="PREFIX",
        help="every environment variable that begins with PREFIX, as secrets.… without it",
    )
    parser.add_argument(
        "--fail-on-state",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="exit with 1 when the final state has this value; may be repeated",
    )
    parser.add_argument(
        "--allow-path",
        metavar="DIR",
        action="append",
        default=[],
        help="let file.read and file.write reach below DIR too; may be repeated",
    )
    _add_backend(parser)
    _add_verbose(parser)
    _add_quiet(parser)


def _add_validate(parser: Parser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="a workflow; - for standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON list of all files")
    _add_quiet(parser)


def _add_chat(parser: Parser) -> None:
    parser.add_argument(
        "prompt", metavar="PROMPT", nargs="?", help="ask this and leave; - for piped input"
    )
    parser.add_argument("--system", metavar="TEXT", help="what the model is told beforehand")
    parser.add_argument("--temperature", metavar="T", type=float, help="0 to 2; default 0.7")
    parser.add_argument(
        "--max-tokens",
        metavar="N",
        type=int,
        help="longest answer, in tokens; default 512, at most half the context",
    )
    parser.add_argument("--seed", metavar="N", type=int, help="same seed, same answer")
    parser.add_argument(
        "--forget",
        action="store_true",
        help="drop the oldest turns of a conversation that has filled the context",
    )
    parser.add_argument("--model", metavar="NAME", help="the model to ask an API for")
    parser.add_argument("--api-base", metavar="URL", help="address of an OpenAI-compatible API")
    _add_backend(parser)
    _add_verbose(parser)


def _add_model(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print a JSON map")
    parser.add_argument(
        "--verify", action="store_true", help="compare the bundle's model with its digest"
    )
    _add_model_choice(parser)
    _add_verbose(parser)


def _add_backend(parser: Parser) -> None:
    _add_model_choice(parser)
    parser.add_argument(
        "--backend", choices=BACKENDS, help="where models run, whatever the workflow says"
    )


def _add_model_choice(parser: Parser) -> None:
    parser.add_argument("--gguf", metavar="PATH", help="a model file, or a folder with one")
    parser.add_argument(
        "--low-memory",
        action="store_true",
        help="compute with the weights as they lie in the file: slower, and half the memory",
    )


def _add_verbose(parser: Parser) -> None:
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="progress and llama.cpp's log on stderr"
    )


def _add_quiet(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="no warnings")
