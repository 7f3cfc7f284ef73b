"""Reads the bodies that begin branches: ``type: dynamic_parallel``."""

from __future__ import annotations

from typing import Any

from the_edge_agent import spec
from the_edge_agent.errors import FileError, InvalidFile
from the_edge_agent.template.template import (
    RESULT_SCOPES,
    compile_tree,
    has_template,
)
from the_edge_agent.value.value import describe
from the_edge_agent.workflow import code
from the_edge_agent.workflow.model import (
    EachBody,
    Rule,
    Step,
    Workflow,
)
from the_edge_agent.workflow.steps import StepReader
from the_edge_agent.yaml.document import (
    MappingNode,
    Scalar,
    SequenceNode,
    Value,
    plain,
)

RESULTS = code.RESULTS
CONCURRENCY = spec.NODE.known["max_concurrency"].expected


def is_concurrency(value: Any) -> bool:
    """Whether that many branches may run at a time."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


class EachReader(StepReader):
    """Reads steps, and lists of items with the steps of each."""

    def _each(self, table: MappingNode) -> EachBody | None:
        diagnostics = self._diagnostics
        names = [
            self._variable(table, key, default)
            for key, default in (("item_var", "item"), ("index_var", "index"))
        ]
        items = table.get("items")
        if items is None:
            diagnostics.problem(table.place, "a dynamic_parallel needs items")
        bodies = [key for key in ("action", "steps", "subgraph") if key in table]
        if len(bodies) != 1:
            diagnostics.problem(
                table.place, "a dynamic_parallel needs exactly one of action, steps, subgraph"
            )
        before, self._scopes = self._scopes, self._scopes | set(names)
        workflow = self._workflow(table) if bodies == ["subgraph"] else None
        steps = self._branch(table, bodies[0]) if len(bodies) == 1 else None
        given = diagnostics.table(table, "input")
        tree = compile_tree(given, self._scopes, diagnostics.error) if given is not None else {}
        self._scopes = before
        if given is not None and "subgraph" not in table:
            diagnostics.problem(table.entries["input"].place, "input belongs to a subgraph")
        config = diagnostics.table(table, "parallel_config")
        if config is not None:
            diagnostics.keys(config, spec.PARALLEL_CONFIG)
        limit = self._concurrency(table, config)
        fail_fast = self._fail_fast(table, config)
        output = diagnostics.text(table, "output") if "output" in table else RESULTS
        fan_in = diagnostics.text(table, "fan_in")
        item_tree = self._items(items) if items is not None else None
        if steps is None:
            return None
        return EachBody(
            items=item_tree,
            item_var=names[0],
            index_var=names[1],
            steps=steps,
            max_concurrency=limit,
            fail_fast=fail_fast,
            output=output or RESULTS,
            fan_in=fan_in,
            subgraph=workflow,
            input=tree,
        )

    def _workflow(self, table: MappingNode) -> Workflow | None:
        """Load the subgraph; its problems and warnings are those of this file, too."""
        path = self._diagnostics.text(table, "subgraph")
        if path is None:
            return None
        place = table.entries["subgraph"].value.place
        try:
            workflow = self._subgraph(path)
        except FileError as error:
            self._diagnostics.problem(place, f"subgraph: {error.message}")
            return None
        except InvalidFile as error:
            self._diagnostics.problems += error.problems
            return None
        self._diagnostics.warnings += workflow.warnings
        return workflow

    def _variable(self, table: MappingNode, key: str, default: str) -> str:
        name = self._diagnostics.text(table, key) if key in table else default
        if name is not None and (not name.isidentifier() or name in RESULT_SCOPES):
            place = table.entries[key].value.place
            self._diagnostics.problem(place, f'{key}: "{name}" cannot be a name of its own')
        return name or default

    def _branch(self, table: MappingNode, key: str) -> tuple[Step, ...] | None:
        """Read what a branch does: its action, or its steps."""
        if key == "subgraph":
            return ()
        if key == "steps":
            return self._list_of_steps(table)
        action = table.entries["action"]
        if not isinstance(action.value, MappingNode):
            hint = "write action: {uses: …, with: …}"
            self._diagnostics.problem(action.value.place, "action: expected a map", hint)
            return None
        step = self._one_step(action.value)
        return (step,) if step is not None else None

    def _items(self, value: Value) -> Any:
        is_text = isinstance(value, Scalar) and isinstance(value.value, str)
        if not is_text and not isinstance(value, SequenceNode):
            got = describe(plain(value))
            self._diagnostics.problem(value.place, f"items: expected a list, got {got}")
            return None
        tree = compile_tree(value, self._scopes, self._diagnostics.error)
        if isinstance(tree, str):
            message = "items: expected a list, or a template that gives one"
            self._diagnostics.problem(value.place, message)
        return tree

    def _concurrency(self, table: MappingNode, config: MappingNode | None) -> Any:
        """Read the most branches at a time: a number, a template, or None."""
        for given in (table, config):
            value = given.get("max_concurrency") if given is not None else None
            if value is None:
                continue
            tree = compile_tree(value, self._scopes, self._diagnostics.error)
            if not has_template(tree) and not is_concurrency(tree):
                message = f"max_concurrency: expected {CONCURRENCY}"
                self._diagnostics.problem(value.place, message)
            return tree
        return None

    def _fail_fast(self, table: MappingNode, config: MappingNode | None) -> bool:
        for given in (table, config):
            if given is not None and "fail_fast" in given:
                entry = self._diagnostics.value(given, "fail_fast", spec.NODE.known["fail_fast"])
                return entry is not None and plain(entry.value) is True
        return False

    def _fan_in(
        self, table: MappingNode, name: str, goto: tuple[Rule, ...] | None, *, in_loop: bool
    ) -> tuple[Rule, ...] | None:
        place = table.entries["fan_in"].value.place
        if in_loop:
            self._diagnostics.problem(place, "a node in a loop's body cannot have fan_in")
        elif goto is not None:
            self._diagnostics.problem(place, "fan_in and goto both say what comes next")
        return (Rule(name, None, place),)
