"""Tables of the data files, read key by key; an error names file, key and what was expected.

``models.toml: gemma3-1b.context: expected a whole number of tokens, got "8k"``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.base import forms
from tasks.base.errors import CatalogError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


class TomlRow:
    """One table of a data file, read key by key; every key must be asked for."""

    def __init__(self, where: str, values: Mapping[str, Any]) -> None:
        self._where = where
        self._values = dict(values)

    def error(self, key: str, expected: str) -> CatalogError:
        """The error for ``key``."""
        found = f"got {self._values[key]!r}" if key in self._values else "it is missing"
        return CatalogError(f"{self._where}.{key}: expected {expected}, {found}")

    def text(self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "text") -> str:
        """A non-empty string, matching ``pattern`` as a whole when one is given."""
        value = self._values.get(key)
        if not isinstance(value, str) or not value or (pattern and not pattern.fullmatch(value)):
            raise self.error(key, expected)
        del self._values[key]
        return value

    def optional_text(
        self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "text"
    ) -> str | None:
        """A string as ``text`` reads it, or None where the key is not there."""
        return self.text(key, pattern, expected) if key in self._values else None

    def sha256(self, key: str = "sha256") -> str:
        """64 hexadecimal digits."""
        return self.text(key, forms.SHA256, "a sha256 of 64 hexadecimal digits")

    def integer(self, key: str, unit: str) -> int:
        """A whole number above zero."""
        value = self._values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise self.error(key, f"a whole number of {unit}")
        del self._values[key]
        return value

    def flag(self, key: str) -> bool:
        """True or false; false where the key is not there."""
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        self._values.pop(key, None)
        return value

    def texts(
        self, key: str, pattern: re.Pattern[str] | None = None, expected: str = "texts"
    ) -> tuple[str, ...]:
        """A list of strings, each matching ``pattern`` as a whole when one is given."""
        value = self._values.get(key)
        if not isinstance(value, list) or not all(
            isinstance(item, str) and (pattern is None or pattern.fullmatch(item)) for item in value
        ):
            raise self.error(key, f"a list of {expected}")
        del self._values[key]
        return tuple(value)

    def row(self, key: str) -> TomlRow:
        """A table within the table."""
        value = self._values.get(key)
        if not isinstance(value, dict):
            raise self.error(key, "a table")
        del self._values[key]
        return TomlRow(f"{self._where}.{key}", value)

    def rows(self, key: str) -> list[TomlRow]:
        """A list of tables, at least one."""
        value = self._values.get(key)
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(item, dict) for item in value)
        ):
            raise self.error(key, "a list of tables")
        del self._values[key]
        return [TomlRow(f"{self._where}.{key}[{index}]", item) for index, item in enumerate(value)]

    def has(self, key: str) -> bool:
        """Whether ``key`` is there and not yet read."""
        return key in self._values

    def end(self) -> None:
        """Refuse the keys that nothing asked for."""
        for key in self._values:
            raise CatalogError(f"{self._where}.{key}: no such key")


def read_tables(path: Path) -> dict[str, TomlRow]:
    """The tables of a TOML file by name."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CatalogError(f"{path.name}: not found in {path.parent}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path.name}: {error}") from error
    tables = {}
    for name, table in values.items():
        if not isinstance(table, dict) or not _NAME.fullmatch(name):
            raise CatalogError(f"{path.name}: {name}: expected a table with a lower-case name")
        tables[name] = TomlRow(f"{path.name}: {name}", table)
    return tables
