from __future__ import annotations

import math
from typing import Any

import pytest

from the_edge_agent.errors import InvalidFile
from the_edge_agent.yaml.document import MAX_DEPTH, Entry, MappingNode, parse, plain

SCALARS: dict[str, Any] = {
    "yes": "yes", "on": "on", "No": "No", "off": "off", "y": "y",
    "true": True, "True": True, "TRUE": True, "tRUE": "tRUE", "false": False,
    "null": None, "~": None, "Null": None, "nULL": "nULL",
    "1": 1, "-1": -1, "+7": 7, "007": 7, "0o17": 15, "0x1F": 31, "0b1": "0b1", "1_000": "1_000",
    "1.5": 1.5, ".5": 0.5, "5.": 5.0, "1e3": 1000.0, "-1E-2": -0.01, "1.2.3": "1.2.3",
    ".inf": math.inf, "-.INF": -math.inf,
    "12:30": "12:30", "12:30:45": "12:30:45", "2024-01-31": "2024-01-31",
    "'1'": "1", '"true"': "true", '""': "", "=": "=",
}  # fmt: skip


@pytest.mark.parametrize("source", SCALARS)
def test_scalar_means_what_the_core_schema_of_yaml_1_2_says(source: str) -> None:
    value = plain(parse(f"key: {source}\n", "f"))["key"]
    assert (type(value), value) == (type(SCALARS[source]), SCALARS[source])


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(plain(parse("key: .nan", "f"))["key"])


def test_text_is_not_folded_at_separators_of_yaml_1_1() -> None:
    text = "a \u2028 b \x85 c \u2029 d"
    assert plain(parse(f'key: "{text}"\nblock: |\n  {text}\n', "f")) == {
        "key": text,
        "block": f"{text}\n",
    }


REFUSED = {
    "a: 1\nb: 2\na: 3\n": ("3:1", 'duplicate key "a"'),
    "a: {b: 1, b: 2}\n": ("1:11", 'duplicate key "b"'),
    "a: 1\n'a': 3\n": ("2:1", 'duplicate key "a"'),
    "a: !!str 1\n": ("1:4", "!!str"),
    "a: !mine 1\n": ("1:4", "!mine"),
    "! a: 1\n": ("1:1", "tag"),
    "a: 1\n---\nb: 2\n": ("2:1", "second YAML document"),
    "a: 1\n...\nb: 2\n": ("3:1", "not valid YAML"),
    "a: *nowhere\n": ("1:4", "*nowhere"),
    "a: &x [1, *x]\n": ("1:11", "inside the value"),
    "a: [1,\n": ("2:1", "not valid YAML"),
    "a:\n\t- b\n": ("2:1", "spaces"),
    "a: b: c\n": ("1:5", "not valid YAML"),
    "a: \x01\n": ("1:4", "U+0001"),
    "": ("1:1", "empty"),
    "# only a comment\n": ("1:1", "empty"),
    "1: a\n": ("1:1", "key must be text"),
    "null: a\n": ("1:1", "key must be text"),
    "? [a]\n: b\n": ("1:3", "key must be text"),
    "a:\n  <<: text\n": ("2:7", "<< needs a mapping"),
    "a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n": ("4:3", 'duplicate key "<<"'),
    "%YAML 2.0\n---\na: 1\n": ("1:1", "not valid YAML"),
    "a: " + "9" * 5000: ("1:4", "out of range"),
    "a: " + "[" * (MAX_DEPTH + 1): (f"1:{MAX_DEPTH + 3}", "nested deeper"),
}


@pytest.mark.parametrize("source", REFUSED, ids=lambda source: repr(source)[:30])
def test_document_is_refused_with_its_place(source: str) -> None:
    place, words = REFUSED[source]
    with pytest.raises(InvalidFile) as caught:
        parse(source, "f.yaml")
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"f.yaml:{place}: ")
    assert words in str(problem)


def test_every_duplicate_and_tag_is_reported_in_file_order() -> None:
    with pytest.raises(InvalidFile) as caught:
        parse("a: !x 1\nb: {c: 1, c: 2}\na: 2\n", "f")
    assert [problem.place.line for problem in caught.value.problems] == [1, 2, 3]


MERGES: dict[str, Any] = {
    "base: &b {x: 1, y: 2}\nkey: {<<: *b, y: 3}": {"x": 1, "y": 3},
    "base: &b {x: 1, y: 2}\nkey: {y: 3, <<: *b}": {"y": 3, "x": 1},
    "a: &a {x: 1}\nb: &b {x: 2, z: 2}\nkey: {<<: [*a, *b]}": {"x": 1, "z": 2},
    "key: {<<: {x: 1}}": {"x": 1},
    'key: {"<<": {x: 1}}': {"<<": {"x": 1}},
}


@pytest.mark.parametrize("source", MERGES)
def test_merge_key_adds_what_is_not_written(source: str) -> None:
    value = plain(parse(source, "f"))["key"]
    assert list(value.items()) == list(MERGES[source].items())


def test_aliases_do_not_grow_past_a_megabyte() -> None:
    rows = ["a0: &a0 [" + ",".join(["x" * 10] * 10) + "]"]
    rows += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert len(plain(parse("\n".join(rows[:3]), "f"))["a2"]) == 10
    with pytest.raises(InvalidFile) as caught:
        parse("\n".join(rows), "f")
    (problem,) = caught.value.problems
    assert "1 MB" in problem.message
    assert problem.place.line <= 6


def test_an_anchor_can_be_given_again() -> None:
    assert plain(parse("a: &x 1\nb: *x\nc: &x 2\nd: *x\n", "f")) == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_places_count_characters_from_one() -> None:
    table = parse("ä: 1\nb: {é: [x, y]}\n", "f")
    assert isinstance(table, MappingNode)
    entry: Entry = table.entries["b"]
    assert (entry.place.line, entry.place.column) == (2, 1)
    assert (entry.value.place.line, entry.value.place.column) == (2, 4)
