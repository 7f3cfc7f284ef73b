"""The grammar of the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from the_edge_agent import spec
from the_edge_agent.cli import streams
from the_edge_agent.errors import UsageError

PROGRAM = "tea"
COMMANDS = tuple(name for name in spec.COMMANDS if name != PROGRAM)
_TYPES = {"text": str, "whole": int, "number": float}
_COUNTS = {"one": None, "some": "+", "optional": "?"}


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
    program = spec.COMMANDS[PROGRAM]
    parser = Parser(
        prog=PROGRAM,
        description=program.help,
        epilog=_exit_codes(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_options(parser, program)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    commands: dict[str, Parser] = {}
    for name in COMMANDS:
        command = spec.COMMANDS[name]
        commands[name] = subparsers.add_parser(
            name,
            help=command.help,
            description=f"{command.help[0].upper()}{command.help[1:]}.",
            allow_abbrev=False,
        )
        _add_options(commands[name], command)
    return parser, commands


def _exit_codes() -> str:
    lines = [f"  {code:<5}{text.replace('`', '')}" for code, text in spec.EXITS.items()]
    return "\n".join(["exit codes:", *lines])


def _add_options(parser: Parser, command: spec.Command) -> None:
    for option in command.options:
        names = [f"-{option.short}"] if option.short else []
        names.append(f"--{option.name}")
        if option.count:
            parser.add_argument(
                option.name, metavar=option.value, nargs=_COUNTS[option.count], help=option.help
            )
        elif not option.value:
            parser.add_argument(*names, action="store_true", help=option.help)
        else:
            parser.add_argument(
                *names,
                metavar=None if option.words else option.value,
                choices=option.words or None,
                type=_TYPES[option.type],
                action="append" if option.repeated else "store",
                default=[] if option.repeated else None,
                help=option.help,
            )
