"""Rows of data as the text of CSV files (RFC 4180) and of JSON Lines."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from the_edge_agent.schema.check import Problem
from the_edge_agent.value import json_reader
from the_edge_agent.value.value import describe, json_text

csv.field_size_limit(sys.maxsize)  # a field may be as long as the file

# A row of its own after any text but one with a quote that is not closed. No delimiter is in it.
_END = "\n\N{SECTION SIGN}"


def delimiter_problems(params: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the parameter delimiter."""
    given = params.get("delimiter")
    if isinstance(given, str) and (len(given) != 1 or not given.isascii() or given in '"\r\n\0'):
        yield ("delimiter",), "delimiter must be one ASCII character, no quote and no line break"


def read_csv(text: str, *, header: bool, delimiter: str) -> dict[str, Any]:
    """Return the ``rows``: maps, and their ``columns``, or lists where there is no header.

    Raises:
        ValueError: what is wrong, and in which line.
    """
    records = list(_records(text, delimiter))
    line, end = records.pop()
    if end != [_END.strip()]:
        raise ValueError(f"line {line}: a quote is not closed")
    if not header:
        return {"rows": [record for _, record in records]}
    if not records:
        return {"rows": [], "columns": []}
    line, columns = records[0]
    twice = next((name for name, count in Counter(columns).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f'line {line}: the column "{twice}" is there twice')
    rows = []
    for line, record in records[1:]:
        if len(record) != len(columns):
            wanted = f"the header has {len(columns)}"
            raise ValueError(f"line {line}: the row has {len(record)} fields, {wanted}")
        rows.append(dict(zip(columns, record, strict=True)))
    return {"rows": rows, "columns": columns}


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, with the lines in which they begin."""
    lines = io.StringIO(text.removeprefix("\ufeff") + _END, newline="")
    reader = csv.reader(lines, delimiter=delimiter)
    line = 1
    for record in reader:
        if record:
            yield line, record
        line = reader.line_num + 1


def csv_text(
    data: Sequence[Any], columns: Sequence[str] | None, *, header: bool, delimiter: str
) -> str:
    """Return rows, all maps or all lists, as CSV.

    Raises:
        ValueError: what is wrong, and in which row.
    """
    if all(isinstance(row, dict) for row in data):
        if columns is None:
            columns = list(dict.fromkeys(key for row in data for key in row))
        records = [[row.get(column) for column in columns] for row in data]
    elif all(isinstance(row, list) for row in data):
        records = list(data)
    else:
        raise ValueError("the rows of data must all be maps, or all lists")
    lines: list[str] = []
    # With this end of lines texts that have a part of it are quoted.
    to = SimpleNamespace(write=lines.append)
    writer = csv.writer(to, delimiter=delimiter, lineterminator="\r\n")
    if header and columns:
        writer.writerow(columns)
    for number, record in enumerate(records, 1):
        if not record:
            raise ValueError(f"row {number} has no fields")
        if columns is not None and len(record) != len(columns):
            wanted = f"columns has {len(columns)}"
            raise ValueError(f"row {number} has {len(record)} fields, {wanted}")
        writer.writerow([_field(value, number) for value in record])
    return "".join(line.removesuffix("\r\n") + "\n" for line in lines)


def _field(value: Any, row: int) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict | list):
        raise ValueError(f"row {row}: a field must be a text, not {describe(value)}")
    return json_text(value)


def read_jsonl(text: str) -> list[Any]:
    """Return the values of the lines that are not empty.

    Raises:
        ValueError: what is wrong, and in which line.
    """
    values = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip(" \t\r"):
            try:
                values.append(json_reader.read(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    return values
