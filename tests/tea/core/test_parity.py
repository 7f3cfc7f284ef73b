"""The templates of tests/parity, which every engine renders to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.case import parse
from tests.conformance.judge import same
from the_edge_agent.errors import TeaError
from the_edge_agent.template import compile_expression, compile_text

TABLE = parse((Path(__file__).parents[2] / "parity/templates.yaml").read_text(encoding="utf-8"))
ROWS: list[dict[str, Any]] = TABLE["templates"]
SCOPE = {"settings": {}, "env": {}, "secrets": {}, **TABLE["scopes"]}


def rendered(row: dict[str, Any]) -> Any:
    if "expression" in row:
        return compile_expression(row["expression"]).render(SCOPE)
    return compile_text(row["template"]).render(SCOPE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.get("template", row.get("expression")))
def test_template_gives_what_the_table_says(row: dict[str, Any]) -> None:
    if "gives" in row:
        assert same(row["gives"], rendered(row))
        return
    with pytest.raises(TeaError) as caught:
        rendered(row)
    assert caught.value.kind == row["error"]
    assert row.get("message") in (None, str(caught.value))


def test_the_table_is_long_enough_to_mean_something() -> None:
    assert len(ROWS) >= 200
