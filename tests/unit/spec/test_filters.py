from __future__ import annotations

import inspect
import json
from inspect import Parameter

import pytest

from tasks.spec.table import Function, read
from the_edge_agent.template.filters.table import FILTERS, TESTS

SPEC = read()


def test_python_has_the_filters_and_tests_of_the_table() -> None:
    assert list(FILTERS) == [each.name for each in SPEC.filters]
    assert list(TESTS) == [each.name for each in SPEC.tests]


@pytest.mark.parametrize("row", SPEC.filters, ids=lambda row: row.name)
def test_python_filter_is_called_as_the_table_says(row: Function) -> None:
    _, *given = inspect.signature(FILTERS[row.name]).parameters.values()
    named = [each for each in given if each.kind == Parameter.POSITIONAL_OR_KEYWORD]
    assert [each.name for each in named] == [each.name for each in row.arguments]
    assert [each.default is Parameter.empty for each in named] == [
        each.required for each in row.arguments
    ]
    for each, argument in zip(named, row.arguments, strict=True):
        if argument.default:
            assert each.default == json.loads(argument.default)
    kinds = {each.kind for each in given} - {Parameter.POSITIONAL_OR_KEYWORD}
    assert (
        kinds
        == {
            "": set(),
            "positions": {Parameter.VAR_POSITIONAL},
            "names": {Parameter.VAR_KEYWORD},
            "both": {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD},
        }[row.more]
    )
