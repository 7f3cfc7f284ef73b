"""Answers of a real model that are held to a shape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tea.model.conftest import Asker
from the_edge_agent.errors import ActionError, LimitError
from the_edge_agent.llm.backend import ChatReply
from the_edge_agent.llm.shape import Choices, JsonObject, JsonSchema, Lark, Regex, Shape

FILE = Path(__file__).resolve().parents[2] / "shapes/schemas.yaml"
SCHEMAS: Mapping[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
IN_CI = 30


def further(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the schema, and others with it inside, as people nest them."""
    defs = schema.get("$defs", {})
    inner = {key: value for key, value in schema.items() if key != "$defs"}

    def closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
            "$defs": defs,
        }

    note = {"type": "string", "description": "What a reader should know. " * 8, "maxLength": 20}
    yield dict(schema)
    yield {"type": "array", "items": inner, "minItems": 1, "maxItems": 2, "$defs": defs}
    yield closed({"result": inner}, ["result"])
    yield closed({"note": note, "result": inner}, ["note", "result"])
    yield closed({"result": inner, "next": {"type": "boolean"}}, ["result"])
    yield {"anyOf": [inner, {"type": "null"}], "$defs": defs}
    yield {"$ref": "#/$defs/whole", "$defs": {**defs, "whole": inner}}
    yield closed(
        {"kind": {"enum": ["a", "b"]}, "of": {"type": "array", "items": inner, "maxItems": 1}},
        ["kind", "of"],
    )


ALL = [
    (f"{name}-{number}", case["prompt"], schema)
    for name, case in SCHEMAS.items()
    for number, schema in enumerate(further(case["schema"]))
]
FEW = [each for each in ALL if each[0].endswith("-0")][:IN_CI]


def outcome(asker: Asker, prompt: str, shape: Shape, **fields: Any) -> ChatReply | None:
    """Return the answer; None when it is cut. One that is not valid is an error of the program."""
    try:
        return asker.ask(f"{prompt} Answer as JSON.", shape=shape, temperature=1, **fields)
    except LimitError as error:
        assert "max_tokens cut the answer" in error.message
        return None


def check(
    asker: Asker, cases: list[tuple[str, str, dict[str, Any]]], seeds: tuple[int, ...]
) -> None:
    """Ask all at once; the program raises where a finished answer is not valid."""

    async def ask(prompt: str, schema: dict[str, Any], seed: int) -> ChatReply:
        shape = JsonSchema(schema)
        fields = {"temperature": 1, "seed": seed, "max_tokens": 256}
        return await asker.begin(f"{prompt} Answer as JSON.", shape=shape, **fields)

    async def ask_all() -> list[ChatReply | BaseException]:
        answers = (ask(prompt, schema, seed) for _, prompt, schema in cases for seed in seeds)
        return await asyncio.gather(*answers, return_exceptions=True)

    cut = 0
    for outcome in asker.run(ask_all()):
        if isinstance(outcome, LimitError):
            assert "max_tokens cut the answer" in outcome.message
            cut += 1
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            assert outcome.finish_reason == "stop"
    assert cut <= len(cases) * len(seeds) / 10


def test_finished_answers_are_valid(asker: Asker) -> None:
    check(asker, FEW, (1,))


@pytest.mark.large
def test_finished_answers_to_300_schemas_are_valid(asker: Asker) -> None:
    assert len(ALL) >= 300
    check(asker, ALL, (1, 2))


@pytest.mark.parametrize("seed", range(3))
def test_a_choice_may_begin_with_another(asker: Asker, seed: int) -> None:
    texts = ("Paris", "Paris, France", 'a "quoted" city', "London")
    reply = outcome(asker, "The capital of France?", Choices(texts), seed=seed, max_tokens=16)
    assert reply is not None
    assert reply.data == reply.content
    assert reply.content in texts


def test_a_single_choice_is_not_sampled(asker: Asker) -> None:
    asker.log.clear()
    reply = outcome(asker, "Say it.", Choices(("exactly these words, no others",)), max_tokens=16)
    assert reply is not None
    assert reply.content == "exactly these words, no others"
    assert any("(0 sampled, " in line for line in asker.log)


def test_regexes_grammars_and_maps_are_held_to(asker: Asker) -> None:
    date = outcome(asker, "When?", Regex("[0-9]{4}-[0-9]{2}"), seed=1, max_tokens=16)
    letters = outcome(asker, "Go.", Lark('start: "a" /[0-9]{3}/ "z"'), seed=1, max_tokens=16)
    free = outcome(asker, "A cat with a name.", JsonObject(), seed=1, max_tokens=200)
    assert date is not None and len(date.content) == 7
    assert letters is not None and letters.content[1:4].isdigit()
    assert free is None or isinstance(free.data, dict)


def test_json_is_on_one_line_in_the_schema_s_order(asker: Asker) -> None:
    schema = {
        "type": "object",
        "properties": {"z": {"const": 1}, "a": {"const": [1, 2]}},
        "required": ["a", "z"],
        "additionalProperties": False,
    }
    reply = outcome(asker, "Go.", JsonSchema(schema), max_tokens=32)
    assert reply is not None
    assert reply.content == '{"z": 1, "a": [1, 2]}'


def test_an_answer_that_is_cut_is_an_error(asker: Asker) -> None:
    schema = SCHEMAS["person"]["schema"]
    with pytest.raises(LimitError, match="max_tokens cut the answer after 5 tokens"):
        asker.ask("Anna", shape=JsonSchema(schema), max_tokens=5)


@pytest.mark.parametrize(
    "shape", [Lark("start: missing"), JsonSchema({"type": "string", "not": {}})]
)
def test_a_shape_that_cannot_be_held_to_is_an_error(asker: Asker, shape: Shape) -> None:
    with pytest.raises(ActionError, match="no answer can be held to this shape"):
        asker.ask("Go.", shape=shape, max_tokens=5)
    assert asker.ask("Go.", max_tokens=2).completion_tokens == 2  # others are answered


def test_penalties_count_with_a_shape_too(asker: Asker) -> None:
    shape, fields = Regex("((red|green|blue) ){8}"), {"temperature": 0, "max_tokens": 60}
    plain = asker.ask("Red, red, red.", shape=shape, **fields)
    held_back = asker.ask("Red, red, red.", shape=shape, frequency_penalty=2.0, **fields)
    assert held_back.data != plain.data
