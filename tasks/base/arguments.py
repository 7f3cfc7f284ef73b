"""What may follow ``--`` on the command line of a session, and the names of sessions."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from typing import NoReturn

from tasks.base.errors import UnknownName, UsageError


class Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help lists the options")

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse all ``words``; an option that there is not comes with the nearest."""
        given, rest = self.parse_known_args(words)
        for word in rest:
            if word.startswith("-"):
                raise UnknownName("option", word.partition("=")[0], self._option_string_actions)
            self.error(f"unexpected argument {word!r}")
        return given


def parser(session: str) -> Parser:
    """A parser of what is given to ``session``; options have no abbreviations."""
    return Parser(prog=f"nox -s {session} --", allow_abbrev=False)


def none(session: str, words: Sequence[str]) -> None:
    """Refuse anything after ``--`` of a session that takes nothing."""
    parser(session).read(words)


def sessions(words: Sequence[str], known: Collection[str]) -> None:
    """Refuse the name of a session that there is not, with the nearest; ``words`` are nox's own.

    nox refuses it too, but names no other and has an exit code that means something else here.
    """
    reader = Parser(add_help=False, allow_abbrev=False)
    names = ("-s", "-e", "--session", "--sessions")
    reader.add_argument(*names, dest="names", nargs="*", action="extend", default=[])
    own = words[: words.index("--")] if "--" in words else words
    for name in reader.parse_known_args(own)[0].names:
        if name not in known:
            raise UnknownName("session", name, known)
