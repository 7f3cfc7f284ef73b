r"""Regular expressions that every engine reads the same.

What is common to Python's re, Rust's regex crate and ECMA-262: classes, groups, repetition and
choice. A pattern is read once and written anew, with ``\d``, ``\w``, ``\s`` and ``.`` as plain
classes of ASCII, so that no engine's own idea of them counts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NoReturn

MAX_COUNT = 1000  # of a repetition
MAX_SIZE = 10_000  # characters and classes, with repetitions written out
_MAX_DEPTH = 50
_ANY = "(?s:.)*"
_LAST = "\U0010ffff"
_CLASSES = {
    "d": "0-9",
    "w": "0-9A-Z_a-z",
    "s": "\t-\r ",
    "D": f"\0-/:-{_LAST}",
    "W": f"\0-/:-@\\[-\\^`{{-{_LAST}",
    "S": f"\0-\x08\x0e-\x1f!-{_LAST}",
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_REFUSED = {
    "b": "word boundaries are not supported",
    "B": "word boundaries are not supported",
    "k": "references to groups are not supported",
    "p": "classes of Unicode are not supported",
    "P": "classes of Unicode are not supported",
}


def whole(pattern: str) -> str:
    """Return ``pattern`` as one that is to match whole texts: ``^`` and ``$`` add nothing.

    Raises:
        ValueError: what is wrong with it, and where.
    """
    branches = _Reader(pattern).read()
    return "|".join(text for text, _, _ in branches)


def search(pattern: str) -> str:
    """Return a pattern that matches the whole of those texts that have a match of ``pattern``.

    Raises:
        ValueError: as ``whole``.
    """
    branches = _Reader(pattern).read()
    return "|".join(
        f"{'' if begins else _ANY}{text}{'' if ends else _ANY}" for text, begins, ends in branches
    )


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the pattern of ``search``, to match whole texts with."""
    return re.compile(search(pattern))


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def read(self) -> list[tuple[str, bool, bool]]:
        """Return the branches, each with whether it is bound to the beginning and to the end."""
        branches, size = self._branches(0)
        if self._at < len(self._pattern):
            self._fail("a group ends that did not begin")
        if size > MAX_SIZE:
            raise ValueError(f"the pattern is larger than {MAX_SIZE} characters")
        return branches

    def _fail(self, reason: str) -> NoReturn:
        raise ValueError(f"{reason}, at character {self._at + 1} of the pattern")

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        found = self._pattern.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _branches(self, depth: int) -> tuple[list[tuple[str, bool, bool]], int]:
        if depth > _MAX_DEPTH:
            self._fail("groups are nested too deep")
        text, begins, ends, size = self._branch(depth)
        branches = [(text, begins, ends)]
        while self._take("|"):
            text, begins, ends, more = self._branch(depth)
            branches.append((text, begins, ends))
            size += more
        return branches, size

    def _branch(self, depth: int) -> tuple[str, bool, bool, int]:
        parts: list[str] = []
        size = 0
        begins = depth == 0 and self._take("^")
        while (char := self._next()) and char not in "|)":
            if (
                char == "$"
                and depth == 0
                and self._pattern[self._at + 1 : self._at + 2] in ("", "|")
            ):
                self._at += 1
                return "".join(parts), begins, True, size
            if char in "^$":
                self._fail(f"{char} stands only where a pattern begins or ends")
            if char in "*+?{":
                self._fail(f"there is nothing that {char} could repeat")
            text, of_text = self._atom(depth)
            times, most = self._repetition()
            parts.append(text + times)
            size += of_text * most
        return "".join(parts), begins, False, size

    def _atom(self, depth: int) -> tuple[str, int]:
        if self._take("("):
            if not self._take("?:") and self._next() == "?":
                self._fail(
                    "a group is (…) or (?:…): look-around, names and flags are not supported"
                )
            branches, size = self._branches(depth + 1)
            if not self._take(")"):
                self._fail("a group does not end")
            return f"(?:{'|'.join(text for text, _, _ in branches)})", size
        if self._take("["):
            return self._class(), 1
        if self._take("."):
            return r"[^\n]", 1
        if self._take("\\"):
            name = self._next()
            if name in _CLASSES:
                self._at += 1
                return f"[{_CLASSES[name]}]", 1
            return _escaped(self._escape()), 1
        char = self._next()
        self._at += 1
        return _escaped(char), 1

    def _repetition(self) -> tuple[str, int]:
        """Return how often what stands before is repeated, and a number for how large that is."""
        char = self._next()
        if char not in ("*", "+", "?", "{"):
            return "", 1
        begin = self._at
        self._at += 1
        times, most = char, 1
        if char == "{":
            found = re.compile(r"([0-9]{1,4})(,([0-9]{0,4}))?\}").match(self._pattern, self._at)
            if found is None:
                self._at = begin
                self._fail("{ begins no repetition; write \\{ for the character")
            self._at = found.end()
            least = int(found[1])
            most = int(found[3]) if found[3] else least
            if most < least or most > MAX_COUNT:
                self._fail(f"a repetition goes from fewer to more, at most {MAX_COUNT} times")
            times, most = f"{{{found[0]}", max(most, 1)
        self._take("?")  # fewest first: the same texts match
        if self._next() in ("*", "+", "?", "{"):
            self._fail("what is repeated is repeated again; write a group")
        return times, most

    def _class(self) -> str:
        negated = "^" if self._take("^") else ""
        if self._next() == "]":
            self._fail("a class is empty; write \\] for the character")
        parts: list[str] = []
        while not self._take("]"):
            if not self._next():
                self._fail("a class does not end")
            first = self._item()
            if len(first) > 1:
                parts.append(first)
                continue
            after = self._pattern[self._at + 1 : self._at + 2]
            if self._next() == "-" and after not in ("", "]"):
                self._at += 1
                last = self._item()
                if len(last) > 1 or last < first:
                    self._fail("a range goes from one character to a later one")
                parts.append(f"{_escaped(first)}-{_escaped(last)}")
            else:
                parts.append(_escaped(first))
        return f"[{negated}{''.join(parts)}]"

    def _item(self) -> str:
        """Return a character of a class, or the inside of a class with a name."""
        if self._take("\\"):
            name = self._next()
            if name in _CLASSES:
                self._at += 1
                return _CLASSES[name]
            return self._escape()
        if self._next() == "[":
            self._fail("a class within a class is not supported; write \\[ for the character")
        char = self._next()
        self._at += 1
        return char

    def _escape(self) -> str:
        char = self._next()
        for letter, digits in (("x", 2), ("u", 4)):
            found = re.compile(f"{letter}([0-9A-Fa-f]{{{digits}}})").match(self._pattern, self._at)
            if found is not None:
                code = int(found[1], 16)
                if 0xD800 <= code < 0xE000:
                    self._fail("half of a character")
                self._at = found.end()
                return chr(code)
        if char.isdigit():
            self._fail("references to groups are not supported")
        if char in _REFUSED:
            self._fail(_REFUSED[char])
        if char not in _CONTROLS and (not char or not char.isascii() or char.isalnum()):
            self._fail(f"there is no \\{char}")
        self._at += 1
        return _CONTROLS.get(char, char)


def _escaped(char: str) -> str:
    if char == "\n":
        return r"\n"
    return f"\\{char}" if char in "\\.+*?()|[]{}^$#&-~" else char
