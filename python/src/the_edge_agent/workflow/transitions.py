"""Reads what a node says beside its body: where to go, and what to do when it fails."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from the_edge_agent import spec
from the_edge_agent.errors import Location, TeaError, TemplateError
from the_edge_agent.template.template import RESULT_SCOPES
from the_edge_agent.workflow.condition import Condition, compile_condition
from the_edge_agent.workflow.diagnostics import Diagnostics
from the_edge_agent.workflow.model import Rule
from the_edge_agent.workflow.retry import from_retry
from the_edge_agent.yaml.document import MappingNode, Scalar, SequenceNode, Value, plain


def read_condition(
    diagnostics: Diagnostics, value: Value, scopes: Iterable[str]
) -> Condition | None:
    """Read a condition: text or a truth value."""
    try:
        if not isinstance(value, Scalar):
            raise TemplateError("a condition must be text or a truth value")
        return compile_condition(value.value, scopes)
    except TeaError as error:
        diagnostics.error(value, error)
        return None


def read_goto(diagnostics: Diagnostics, table: MappingNode) -> tuple[Rule, ...] | None:
    """Read the goto of a node: its rules, or None where there is none."""
    value = table.get("goto")
    if value is None:
        return None
    if isinstance(value, Scalar) and isinstance(value.value, str) and value.value:
        return (Rule(value.value, None, value.place),)
    if not isinstance(value, SequenceNode) or not value.items:
        diagnostics.problem(
            value.place,
            "goto: expected the name of a node, or a list of {if, to} that is not empty",
        )
        return None
    rules = []
    for item in value.items:
        if not isinstance(item, MappingNode):
            diagnostics.problem(item.place, "goto: expected a rule: {if, to}")
            continue
        diagnostics.keys(item, spec.GOTO)
        to = diagnostics.text(item, "to")
        if "to" not in item:
            diagnostics.problem(item.place, "goto: the rule has no to")
        test = item.get("if")
        condition = read_condition(diagnostics, test, RESULT_SCOPES) if test else None
        if to is not None:
            place = item.entries["to"].value.place
            rules.append(Rule(to, condition, place))
    return tuple(rules)


def read_on_error(
    diagnostics: Diagnostics, table: MappingNode
) -> tuple[dict[str, Any], Location | None]:
    """Read on_error, retry and fallback: the keys told, and where the fallback is named."""
    on_error = diagnostics.table(table, "on_error")
    told = _told(diagnostics, on_error, spec.ON_ERROR)
    place = on_error.entries["fallback"].value.place if on_error and "fallback" in told else None
    if (entry := table.entries.get("retry")) is not None:
        retry = from_retry(_told(diagnostics, diagnostics.table(table, "retry"), spec.RETRY))
        both = told.keys() & retry.keys() - {"mode"}
        if both or told.get("mode", "retry") != "retry":
            diagnostics.problem(
                entry.place, "retry and on_error say different things", "use one of them"
            )
        told = {**told, **retry}
    fallback = diagnostics.text(table, "fallback")
    if fallback is not None:
        entry = table.entries["fallback"]
        if place is not None or told.get("mode") == "raise":
            diagnostics.problem(
                entry.place, "fallback and on_error say different things", "use one of them"
            )
        told["fallback"], place = fallback, entry.value.place
    return told, place


def _told(diagnostics: Diagnostics, table: MappingNode | None, level: spec.Level) -> dict[str, Any]:
    """Read the keys of on_error or retry."""
    if table is None:
        return {}
    diagnostics.keys(table, level)
    told = {}
    for key, of in level.known.items():
        entry = diagnostics.value(table, key, of)
        if entry is not None:
            told[key] = plain(entry.value)
    return told
