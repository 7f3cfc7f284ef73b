"""Checks a whole workflow file: its keys, its names, where its rules lead, what can be reached."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from the_edge_agent import spec
from the_edge_agent.actions.registry import Registry
from the_edge_agent.errors import FileError, InvalidFile, Location
from the_edge_agent.schema import check
from the_edge_agent.suggest import nearest
from the_edge_agent.template.template import SCOPES
from the_edge_agent.value.value import describe
from the_edge_agent.workflow import io_schema, settings
from the_edge_agent.workflow.condition import Condition
from the_edge_agent.workflow.diagnostics import Diagnostics
from the_edge_agent.workflow.model import (
    END,
    START,
    ActionBody,
    EachBody,
    Fork,
    LoopBody,
    Node,
    Rule,
    StepsBody,
    Workflow,
)
from the_edge_agent.workflow.nodes import NodeReader
from the_edge_agent.workflow.subgraphs import Source
from the_edge_agent.workflow.transitions import read_condition
from the_edge_agent.yaml import document
from the_edge_agent.yaml.document import (
    MappingNode,
    Scalar,
    SequenceNode,
    Value,
    place_at,
    plain,
    shown,
)

Edges = dict[str, tuple[Rule, ...]]


def load(text: str, file: str, *, actions: Registry, source: Source | None = None) -> Workflow:
    """Read a workflow file; ``file`` is its name in messages, ``source`` where subgraphs lie.

    Raises:
        InvalidFile: with everything that is wrong, in file order.
    """
    return load_document(document.parse(text, file), file, actions=actions, source=source)


def load_document(
    value: Value, file: str, *, actions: Registry, source: Source | None = None
) -> Workflow:
    """Read a workflow from what its file says, and its overlays.

    Raises:
        InvalidFile: with everything that is wrong, in file order.
    """
    diagnostics = Diagnostics()

    def subgraph(given: str) -> Workflow:
        if source is None:
            raise FileError("no files are in reach")
        inner = source.subgraph(given)
        name = str(Path(file).parent / given)
        return load(inner.read(), name, actions=actions, source=inner)

    node_reader = partial(NodeReader, diagnostics, actions, subgraph)
    workflow = _read(value, diagnostics, actions, node_reader)
    if diagnostics.problems or workflow is None:
        raise InvalidFile(
            sorted(dict.fromkeys(diagnostics.problems), key=lambda problem: problem.place)
        )
    return workflow


def _read(
    value: Value,
    diagnostics: Diagnostics,
    actions: Registry,
    reader: Callable[[Mapping[str, Any]], NodeReader],
) -> Workflow | None:
    """Check a document and build its workflow; what is wrong goes to ``diagnostics``."""
    if not isinstance(value, MappingNode):
        got = describe(plain(value))
        diagnostics.problem(value.place, f"a workflow is a map with nodes, got {got}")
        return None
    diagnostics.keys(value, spec.FILE)
    for key in ("name", "description", "version"):
        entry = diagnostics.value(value, key, spec.FILE.known[key], null=True)
        if entry is not None and key == "version" and plain(entry.value) is None:
            diagnostics.problem(entry.value.place, "version: expected text, got null")
    initial_state = diagnostics.table(value, "initial_state")
    variables_table = diagnostics.table(value, "variables")
    data_table = diagnostics.table(value, "data")
    for table in (initial_state, variables_table, data_table):
        if table is not None:
            _refuse_infinity(table, diagnostics)
    variables = plain(variables_table) if variables_table else {}
    config = diagnostics.table(value, "config")
    if config is not None:
        _read_config(config, diagnostics)
    tree = settings.read(diagnostics.table(value, "settings"), diagnostics)
    nodes = _nodes(value, diagnostics, reader(variables))
    places, edges, forks = _edges(diagnostics.items(value, "edges"), diagnostics)
    workflow = Workflow(
        file=value.place.file,
        name=_text(value, "name"),
        description=_text(value, "description"),
        version=_text(value, "version"),
        initial_state=plain(initial_state) if initial_state else {},
        input_schema=_schema(value, "input_schema", diagnostics),
        output_schema=_schema(value, "output_schema", diagnostics),
        stdin_key=_stdin_key(value),
        variables=variables,
        data=plain(data_table) if data_table else {},
        settings=tree,
        nodes=nodes,
        edges=edges,
        forks=forks,
        actions=actions,
        warnings=(),
    )
    _check_targets(workflow, places, value, diagnostics)
    if not diagnostics.problems:
        _warn_unreachable(workflow, diagnostics)
    warnings = sorted(diagnostics.warnings, key=lambda warning: warning.place)
    return replace(workflow, warnings=tuple(warnings))


def _stdin_key(value: MappingNode) -> str | None:
    table = value.get("input_schema")
    return io_schema.of_stdin(plain(table)) if isinstance(table, MappingNode) else None


def _schema(value: MappingNode, key: str, diagnostics: Diagnostics) -> dict[str, Any] | None:
    table = diagnostics.table(value, key)
    if table is None:
        return None
    schema, problems = io_schema.read(plain(table))
    for path, message in problems:
        place = place_at(table, path) or table.place
        diagnostics.problem(place, f"{key}: {check.pointer(path)}: {message}")
    return schema


def _read_config(table: MappingNode, diagnostics: Diagnostics) -> None:
    diagnostics.keys(table, spec.CONFIG)
    for key, of in spec.CONFIG.known.items():
        entry = diagnostics.value(table, key, of)
        if entry is not None and plain(entry.value):
            message = f'"{key}" in config is not supported here: a run cannot be paused'
            diagnostics.problem(entry.place, message)


def _refuse_infinity(value: Value, diagnostics: Diagnostics) -> None:
    """Refuse the two numbers of YAML that JSON, and so the state, does not have."""
    if isinstance(value, Scalar):
        if isinstance(value.value, float) and not math.isfinite(value.value):
            diagnostics.problem(value.place, "infinity and not-a-number are not JSON data")
        return
    parts = [entry.value for entry in value] if isinstance(value, MappingNode) else value.items
    for part in parts:
        _refuse_infinity(part, diagnostics)


def _text(table: MappingNode, key: str) -> str | None:
    value = table.get(key)
    return value.value if isinstance(value, Scalar) and isinstance(value.value, str) else None


def _nodes(
    table: MappingNode, diagnostics: Diagnostics, node_reader: NodeReader
) -> tuple[Node, ...]:
    items = diagnostics.items(table, "nodes")
    if items is None or not items.items:
        entry = table.entries.get("nodes")
        if items is not None or entry is None or plain(entry.value) is None:
            place = entry.place if entry else table.place
            diagnostics.problem(place, "a workflow needs nodes: a list of one or more")
        return ()
    nodes = node_reader.nodes(items)
    seen: dict[str, Location] = {}
    for node in _with_bodies(nodes):
        if node.name in (START, END):
            diagnostics.problem(node.place, f"{node.name} is taken", "give the node another name")
        elif node.name in seen:
            diagnostics.problem(
                node.place,
                f'a second node is named "{node.name}"',
                f"the first is in line {seen[node.name].line}",
            )
        if node.name:
            seen.setdefault(node.name, node.place)
    return nodes


def _with_bodies(nodes: Iterable[Node]) -> Iterator[Node]:
    """Yield the nodes, and after each loop those of its body."""
    for node in nodes:
        yield node
        if isinstance(node.body, LoopBody):
            yield from node.body.nodes


# --- edges


def _edges(
    items: SequenceNode | None, diagnostics: Diagnostics
) -> tuple[dict[str, Location], Edges, dict[str, Fork]]:
    """Read the edges: the place of each source's first edge, edges and forks by source."""
    places: dict[str, Location] = {}
    edges: Edges = {}
    forks: dict[str, Fork] = {}
    for item in items.items if items else ():
        if not isinstance(item, MappingNode):
            diagnostics.problem(item.place, "expected an edge: {from, to}")
            continue
        diagnostics.keys(item, spec.EDGE)
        fixed = _fixed_ends(item, diagnostics)
        for key in ("from", "to"):
            if key not in item and key not in fixed and not _is_unsupported(item):
                diagnostics.problem(item.place, f"the edge has no {key}")
        to = item.get("to")
        if isinstance(to, SequenceNode):
            diagnostics.problem(
                to.place,
                "to: a list of targets is not supported here",
                "write one edge for each; the first that holds wins",
            )
            continue
        source, target = (fixed.get(key) or diagnostics.text(item, key) for key in ("from", "to"))
        condition = _edge_condition(item, diagnostics)
        if source is None or target is None:
            continue
        places.setdefault(source, _place_of(item, "from"))
        rule = Rule(target, condition, _place_of(item, "to"))
        if _type(item) == "parallel":
            _add_branch(forks, item, source, rule, diagnostics)
            continue
        if "fan_in" in item:
            place = item.entries["fan_in"].place
            diagnostics.problem(place, "fan_in belongs to an edge of type parallel")
        edges[source] = (*edges.get(source, ()), rule)
    for source in forks.keys() & edges.keys():
        message = f"from: parallel edges and others leave {source}"
        diagnostics.problem(edges[source][0].place, message, "give all of them type: parallel")
    return places, edges, forks


def _type(table: MappingNode) -> str:
    entry = table.entries.get("type")
    return shown(entry.value) if entry else ""


def _add_branch(
    forks: dict[str, Fork],
    item: MappingNode,
    source: str,
    rule: Rule,
    diagnostics: Diagnostics,
) -> None:
    """Add a parallel edge to the fork of its source."""
    fan_in = diagnostics.text(item, "fan_in")
    if source == START:
        diagnostics.problem(item.place, "a parallel edge cannot leave the start")
    if "fan_in" not in item:
        diagnostics.problem(item.place, "a parallel edge needs fan_in: where its branch ends")
    if fan_in is None:
        return
    place = _place_of(item, "fan_in")
    fork = forks.setdefault(source, Fork((), Rule(fan_in, None, place)))
    if fork.fan_in.to != fan_in:
        diagnostics.problem(
            place, f"fan_in: other parallel edges of {source} end at {fork.fan_in.to}"
        )
    forks[source] = replace(fork, branches=(*fork.branches, rule))


def _place_of(table: MappingNode, key: str) -> Location:
    entry = table.entries.get(key)
    return entry.value.place if entry else table.place


def _fixed_ends(table: MappingNode, diagnostics: Diagnostics) -> dict[str, str]:
    """Return the end of an edge that its type says: of type entry ``from``, of finish ``to``."""
    diagnostics.value(table, "type", spec.EDGE.known["type"])
    kind = _type(table)
    fixed = {"entry": {"from": START}, "finish": {"to": END}}.get(kind, {})
    for key, name in fixed.items():
        if (given := diagnostics.text(table, key)) not in (None, name):
            place = _place_of(table, key)
            diagnostics.problem(place, f"{key}: an edge of type {kind} has {name}, not {given}")
    return fixed


def _is_unsupported(table: MappingNode) -> bool:
    return bool(spec.EDGE.unsupported & table.entries.keys())


def _edge_condition(table: MappingNode, diagnostics: Diagnostics) -> Condition | None:
    when = table.get("when")
    expected = read_condition(diagnostics, when, SCOPES) if when is not None else None
    value = table.get("condition")
    if value is None:
        return expected
    if isinstance(value, MappingNode):
        diagnostics.keys(value, spec.CONDITION)
        kind, inner = value.get("type"), value.get("value")
        if kind is None or shown(kind) != "expression" or inner is None:
            wrong = f"type {shown(kind)} is not supported here" if kind else "it has no type"
            diagnostics.problem(
                value.place, f"condition: {wrong}", "write text, or {type: expression, value}"
            )
            return None
        value = inner
    condition = read_condition(diagnostics, value, SCOPES)
    if condition is None or expected is None:
        return condition
    return replace(condition, expected=expected)


# --- targets and reach


def _check_targets(
    workflow: Workflow,
    sources: Mapping[str, Location],
    table: MappingNode,
    diagnostics: Diagnostics,
) -> None:
    names = {node.name for node in workflow.nodes}
    inner = {node.name for node in _with_bodies(workflow.nodes)} - names

    def check(name: str, place: Location, what: str, allowed: set[str]) -> None:
        if name in allowed:
            return
        if name in inner:
            diagnostics.problem(place, f'{what}: "{name}" is inside a loop\'s body')
        else:
            diagnostics.problem(place, f'{what}: there is no node "{name}"', nearest(name, allowed))

    for source, place in sources.items():
        check(source, place, "from", names | {START})
    for rules in workflow.edges.values():
        for rule in rules:
            check(rule.to, rule.place, "to", names | {END})
    for fork in workflow.forks.values():
        for rule in fork.branches:
            check(rule.to, rule.place, "to", names)
        check(fork.fan_in.to, fork.fan_in.place, "fan_in", names)
    for node in _with_bodies(workflow.nodes):
        for rule in node.goto or ():
            is_fan_in = isinstance(node.body, EachBody) and node.body.fan_in is not None
            check(rule.to, rule.place, "fan_in" if is_fan_in else "goto", names | {END})
        if "fallback" in node.on_error:
            place = node.fallback_place or node.place
            check(node.on_error["fallback"], place, "fallback", names | {END})
        for name, place in _nodes_run_by(node):
            check(name, place, "node", names)
    fallback = settings.fixed_fallback(workflow.settings)
    if fallback is not None:
        check(fallback, _fallback_place(table), "fallback", names | {END})


def _fallback_place(table: MappingNode) -> Location:
    value: Value = table
    for key in ("settings", "error_handling", "fallback"):
        assert isinstance(value, MappingNode)
        value = value.entries[key].value
    return value.place


def _warn_unreachable(workflow: Workflow, diagnostics: Diagnostics) -> None:
    reached = _reachable(workflow)
    reached |= {name for node in _with_bodies(workflow.nodes) for name, _ in _nodes_run_by(node)}
    for node in workflow.nodes:
        if node.name not in reached:
            diagnostics.warn(node.place, f'nothing leads to the node "{node.name}"')


def _nodes_run_by(node: Node) -> Iterator[tuple[str, Location]]:
    """Yield the nodes that the actions of a node have run out of turn."""
    steps = node.body.steps if isinstance(node.body, StepsBody | EachBody) else (node.body,)
    for step in steps:
        if isinstance(step, ActionBody):
            yield from step.nodes


def _reachable(workflow: Workflow) -> set[str]:
    """Return the names of the nodes that some run might enter."""
    nodes = {node.name: node for node in workflow.nodes}
    following = dict(zip(nodes, [*list(nodes)[1:], END], strict=True))
    entry = workflow.edges.get(START)
    todo = [rule.to for rule in entry] if entry else [workflow.nodes[0].name]
    fallback = settings.fixed_fallback(workflow.settings)
    todo += [fallback] if fallback else []
    reached: set[str] = set()
    while todo:
        name = todo.pop()
        if name in reached or name not in nodes:
            continue
        reached.add(name)
        node = nodes[name]
        fork = workflow.forks.get(name)
        branches = (*fork.branches, fork.fan_in) if fork else None
        rules = node.goto or branches or workflow.edges.get(name)
        todo += [rule.to for rule in rules] if rules else [following[name]]
        todo += [
            each.on_error["fallback"]
            for each in _with_bodies([node])
            if "fallback" in each.on_error
        ]
    return reached
