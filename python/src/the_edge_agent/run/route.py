"""Where a run goes after a node: goto, edges, or the next node in the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from the_edge_agent.errors import TemplateError
from the_edge_agent.workflow.model import END, START, Node, Rule, Workflow


def entry(workflow: Workflow, scope: Mapping[str, Any]) -> str:
    """Return the name of the first node, or the end. Raises TemplateError, LimitError."""
    rules = workflow.edges.get(START)
    if rules is None:
        return workflow.nodes[0].name
    return _first(rules, scope, START, "edge")


def following(workflow: Workflow, node: Node, scope: Mapping[str, Any], result: Any) -> str:
    """Return the name of the node after ``node``, or the end.

    ``goto`` rules also see the raw ``result`` of the node.

    Raises:
        TemplateError: a condition cannot be judged, or no rule holds.
    """
    if node.goto is not None:
        seen = {**scope, "result": result, "action_result": result}
        return _first(node.goto, seen, node.name, "goto rule")
    rules = workflow.edges.get(node.name)
    if rules is not None:
        return _first(rules, scope, node.name, "edge")
    names = [each.name for each in workflow.nodes]
    return [*names, END][names.index(node.name) + 1]


def _first(rules: tuple[Rule, ...], scope: Mapping[str, Any], name: str, kind: str) -> str:
    for rule in rules:
        if rule.condition is None or rule.condition.holds(scope):
            return rule.to
    shown = ", ".join(f"{_source(rule)} → {rule.to}" for rule in rules)
    raise TemplateError(
        f"no {kind} of {name} holds: {shown}", hint="add a last one without a condition"
    )


def _source(rule: Rule) -> str:
    if rule.condition is None:
        return "always"
    expected = rule.condition.expected
    return rule.condition.source + (f" = {expected.source}" if expected else "")
