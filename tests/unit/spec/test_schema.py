"""What editors are told: the same files are right and wrong as for `tea validate`."""

from __future__ import annotations

import json
from typing import Any

import fastjsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from tasks.base.paths import ROOT

VALIDATE = fastjsonschema.compile(json.loads((ROOT / "workflow.schema.json").read_text()))


def wrong(text: str) -> str:
    """The path of what is wrong in a workflow file, or nothing."""
    try:
        VALIDATE(yaml.safe_load(text))
    except fastjsonschema.JsonSchemaValueException as error:
        return "/".join(map(str, error.path[1:])) or "the file"
    return ""


def node(body: str) -> str:
    return f"nodes:\n  - {{name: a, {body}}}\n"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples/llm").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_example_is_right(path: Any) -> None:
    assert wrong(path.read_text()) == ""


@pytest.mark.parametrize(
    "body",
    [
        "uses: llm.call, with: {prompt: hi, temperature: 0.5}",
        'uses: llm.call, with: {prompt: hi, temperature: "{{ state.t }}"}',
        'uses: llm.call, with: {prompt: hi, stop: "{{ state.stops }}", seed: null}',
        'action: json.stringify, params: {data: [1], indent: "${indent}"}',
        "uses: json.parse, with: {text: '{}'}, observability: {}",
        "goto: [{if: state.x, to: a}, {to: __end__}]",
        "run: {type: expression, value: 1 + 1}",
    ],
)
def test_right_node_is_not_marked(body: str) -> None:
    assert wrong(node(body)) == ""


@pytest.mark.parametrize(
    "body",
    [
        "uses: llm.call, with: {prompt: hi, temprature: 0.5}",
        "uses: llm.call, with: {prompt: hi, temperature: 3}",
        "uses: llm.call, with: {prompt: hi, temperature: warm}",
        "uses: json.stringify, with: {indent: 2}",
        "uses: json.prase, with: {text: x}",
        "usse: llm.call",
        "imports: {}",
        "goto: []",
    ],
)
def test_wrong_node_is_marked(body: str) -> None:
    assert wrong(node(body)) != ""


def test_settings_take_templates_but_no_wrong_values() -> None:
    after = node("goto: __end__")
    assert wrong('settings: {llm: {n_ctx: "{{ env.N }}"}, max_iterations: "${n}"}\n' + after) == ""
    assert wrong("settings: {llm: {n_ctx: many}}\n" + after) == "settings/llm/n_ctx"
