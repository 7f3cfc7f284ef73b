"""Reads the nodes of a workflow file."""

from __future__ import annotations

from collections.abc import Set

from the_edge_agent import spec
from the_edge_agent.value.value import describe
from the_edge_agent.workflow.branches import EachReader
from the_edge_agent.workflow.condition import Condition
from the_edge_agent.workflow.model import (
    Body,
    EachBody,
    LoopBody,
    Node,
    StepsBody,
)
from the_edge_agent.workflow.transitions import read_condition, read_goto, read_on_error
from the_edge_agent.yaml.document import (
    MappingNode,
    SequenceNode,
    Value,
    plain,
    shown,
)

_TYPES = ("while_loop", "dynamic_parallel")
_EACH = spec.EACH_BODY | {"type", "action", "steps", "output"}
_NOT_DONE = frozenset({"parallel_each", "parallel", "lua", "prolog"})


class NodeReader(EachReader):
    """Reads nodes; what is wrong with them goes to the diagnostics."""

    def nodes(self, items: SequenceNode, *, in_loop: bool = False) -> tuple[Node, ...]:
        """Read a list of nodes: those of the file, or those of a loop's body."""
        return tuple(
            node for item in items.items if (node := self.node(item, in_loop=in_loop)) is not None
        )

    def node(self, value: Value, *, in_loop: bool) -> Node | None:
        """Read one node."""
        diagnostics = self._diagnostics
        if not isinstance(value, MappingNode):
            diagnostics.problem(
                value.place,
                f"expected a node, got {describe(plain(value))}",
                "a node is a map with a name",
            )
            return None
        name = diagnostics.text(value, "name")
        if "name" not in value:
            diagnostics.problem(value.place, "the node has no name")
        with diagnostics.within(f"node {name}" if name else None):
            return self._named(value, name or "", in_loop=in_loop)

    def _named(self, value: MappingNode, name: str, *, in_loop: bool) -> Node | None:
        diagnostics = self._diagnostics
        self._so_far = len(diagnostics.problems)
        diagnostics.value(value, "description", spec.NODE.known["description"], null=True)
        if self._refuse_type(value):
            return Node(name, value.place, None)
        diagnostics.keys(value, spec.NODE)
        if in_loop and (entry := value.entries.get("goto")):
            diagnostics.problem(entry.place, "a node in a loop's body cannot have goto")
        body = self._body(value, in_loop=in_loop)
        goto = None if in_loop else read_goto(diagnostics, value)
        if isinstance(body, EachBody) and body.fan_in is not None:
            goto = self._fan_in(value, body.fan_in, goto, in_loop=in_loop)
        on_error, fallback_place = read_on_error(diagnostics, value)
        return Node(name, value.place, body, goto, on_error, fallback_place)

    def _refuse_type(self, table: MappingNode) -> bool:
        """Refuse a ``type`` that is not done; the other keys would only add noise."""
        entry = table.entries.get("type")
        kind = shown(entry.value) if entry else ""
        if entry is None or kind in _TYPES:
            return False
        if kind in _NOT_DONE:
            self._diagnostics.problem(entry.value.place, f"type {kind} is not supported here")
        else:
            self._diagnostics.problem(
                entry.value.place, f"unknown type of node: {kind}", f"known: {', '.join(_TYPES)}"
            )
        return True

    def _body(self, table: MappingNode, *, in_loop: bool) -> Body | None:
        entry = table.entries.get("type")
        if entry is not None and shown(entry.value) == "dynamic_parallel":
            self._misplaced(table, spec.ANY_NODE | _EACH, "a dynamic_parallel")
            return self._each(table)
        return self._one_body(table, in_loop=in_loop)

    def _one_body(self, table: MappingNode, *, in_loop: bool) -> Body | None:
        styles: dict[str, Set[str]] = {
            "uses": {"uses", "action"},
            "run": {"run", "script"},
            "steps": {"steps"},
            "type: while_loop": {"type"},
        }
        found = [style for style, names in styles.items() if names & table.entries.keys()]
        if len(found) > 1:
            self._diagnostics.problem(
                table.place, f"a node has one body, this has: {', '.join(found)}"
            )
            return None
        if not found:
            self._misplaced(table, spec.EMPTY_NODE, "a node without a body")
            return None
        if found == ["steps"]:
            self._misplaced(table, spec.ANY_NODE | {"steps"}, "a node with steps")
            return self._steps(table)
        if found == ["type: while_loop"]:
            if in_loop:
                self._diagnostics.problem(table.place, "a loop cannot be inside a loop")
                return None
            self._misplaced(table, spec.ANY_NODE | spec.LOOP_BODY, "a while_loop")
            return self._loop(table)
        return self._step(table, spec.ANY_NODE)

    def _steps(self, table: MappingNode) -> StepsBody | None:
        steps = self._list_of_steps(table)
        return StepsBody(steps) if steps is not None else None

    # --- loops

    def _loop(self, table: MappingNode) -> LoopBody | None:
        diagnostics = self._diagnostics
        for key in ("condition", "max_iterations", "body"):
            if key not in table:
                diagnostics.problem(table.place, f"a while_loop needs {key}")
        value = table.get("condition")
        condition = read_condition(diagnostics, value, self._scopes) if value else None
        limit = diagnostics.whole(table, "max_iterations", spec.NODE.known["max_iterations"])
        ends = diagnostics.value(table, "on_max_iterations", spec.NODE.known["on_max_iterations"])
        items = diagnostics.items(table, "body")
        if items is not None and not items.items:
            diagnostics.problem(items.place, "body: there are no nodes")
        nodes = self.nodes(items, in_loop=True) if items is not None else ()
        if items is None and "body" in table and plain(table.entries["body"].value) is None:
            diagnostics.problem(table.entries["body"].place, "body: there are no nodes")
        if not nodes:
            return None
        # What is missing was noted; the nodes go on to the checks of names and targets.
        stops = ends is not None and shown(ends.value) == "stop"
        return LoopBody(condition or Condition("", False), limit or 1, nodes, stops)
