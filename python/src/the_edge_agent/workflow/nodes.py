"""Reads the nodes of a workflow file."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from the_edge_agent import spec
from the_edge_agent.actions.registry import Registry, Target
from the_edge_agent.errors import Location, TeaError
from the_edge_agent.suggest import ALIKE, nearest
from the_edge_agent.template.template import (
    RESULT_SCOPES,
    SCOPES,
    compile_expression,
    compile_text,
    compile_tree,
    has_template,
    names_in,
)
from the_edge_agent.value.value import describe
from the_edge_agent.workflow import code
from the_edge_agent.workflow.condition import Condition
from the_edge_agent.workflow.diagnostics import Diagnostics
from the_edge_agent.workflow.model import (
    ActionBody,
    Body,
    CodeBody,
    ExpressionBody,
    LoopBody,
    Node,
    Step,
    StepsBody,
)
from the_edge_agent.workflow.transitions import read_condition, read_goto, read_on_error
from the_edge_agent.yaml.document import (
    Entry,
    MappingNode,
    Scalar,
    SequenceNode,
    Value,
    place_at,
    plain,
    shown,
)

_ONLY = "the only type is while_loop"
_NO_SECRETS = "secrets must not reach the state"
_NOT_DONE = frozenset({"dynamic_parallel", "parallel_each", "parallel", "lua", "prolog"})


class NodeReader:
    """Reads nodes; what is wrong with them goes to the diagnostics."""

    def __init__(
        self, diagnostics: Diagnostics, actions: Registry, variables: Mapping[str, Any]
    ) -> None:
        self._diagnostics = diagnostics
        self._actions = actions
        self._variables = variables
        self._so_far = 0  # problems before the node or step that is read now

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
        on_error, fallback_place = read_on_error(diagnostics, value)
        return Node(name, value.place, body, goto, on_error, fallback_place)

    def _refuse_type(self, table: MappingNode) -> bool:
        """Refuse a ``type`` other than a loop's; the other keys would only add noise."""
        entry = table.entries.get("type")
        kind = shown(entry.value) if entry else ""
        if entry is None or kind == "while_loop":
            return False
        if kind in _NOT_DONE:
            self._diagnostics.problem(entry.value.place, f"type {kind} is not supported here")
        else:
            self._diagnostics.problem(entry.value.place, f"unknown type of node: {kind}", _ONLY)
        return True

    def _body(self, table: MappingNode, *, in_loop: bool) -> Body | None:
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

    def _misplaced(self, table: MappingNode, allowed: frozenset[str], what: str) -> None:
        """Refuse keys that nodes know but that mean nothing in this one, or warn of them."""
        has_step = not allowed.isdisjoint(spec.ACTION_BODY | spec.RUN_BODY)
        for entry in table:
            if entry.key not in spec.NODE.known or entry.key in allowed:
                continue
            if has_step and entry.key in spec.ELSEWHERE:
                self._diagnostics.without_effect(entry, what, spec.ELSEWHERE[entry.key])
            else:
                self._diagnostics.problem(entry.place, f'"{entry.key}" has no meaning in {what}')

    def _steps(self, table: MappingNode) -> StepsBody | None:
        items = self._diagnostics.items(table, "steps")
        entry = table.entries["steps"]
        if items is None or not items.items:
            if items is not None or plain(entry.value) is None:
                self._diagnostics.problem(entry.place, "steps: there are none")
            return None
        steps = []
        for item in items.items:
            if not isinstance(item, MappingNode):
                self._diagnostics.problem(item.place, "expected a step: a map with uses or run")
                continue
            self._so_far = len(self._diagnostics.problems)
            self._diagnostics.keys(item, spec.STEP)
            self._diagnostics.value(item, "name", spec.STEP.known["name"])
            self._diagnostics.value(item, "description", spec.STEP.known["description"], null=True)
            step = self._step(item, spec.STEP.unsupported | spec.ANY_STEP)
            steps += [step] if step is not None else []
        return StepsBody(tuple(steps))

    def _step(self, table: MappingNode, also: frozenset[str]) -> Step | None:
        has_run = {"run", "script"} & table.entries.keys()
        has_action = {"uses", "action"} & table.entries.keys()
        if has_run and has_action:
            self._diagnostics.problem(table.place, "a step has one body, this has: uses, run")
            return None
        if has_run:
            self._misplaced(table, also | spec.RUN_BODY, "a node with run")
            return self._run(table)
        if has_action:
            self._misplaced(table, also | spec.ACTION_BODY, "a node with uses")
            return self._action(table)
        self._diagnostics.problem(table.place, "the step has no body", "give it uses or run")
        return None

    # --- actions

    def _pair(self, table: MappingNode, name: str, other: str) -> Entry | None:
        """Return the entry of a key that has two names. Both at once are refused."""
        entry, second = table.entries.get(name), table.entries.get(other)
        if entry and second:
            self._diagnostics.problem(
                second.place, f'"{name}" and "{other}" mean the same: use one'
            )
        return entry or second

    def _action(self, table: MappingNode) -> ActionBody | None:
        uses = self._pair(table, "uses", "action")
        given = self._pair(table, "with", "params")
        output = self._pair(table, "output", "outputs")
        action = self._diagnostics.text(table, uses.key) if uses else None
        params = self._diagnostics.table(table, given.key) if given else None
        target = self._output(output.value) if output else None
        if uses is None or action is None:
            return None
        tree: dict[str, Any] = {}
        if params is not None:
            tree = compile_tree(params, SCOPES, self._diagnostics.error)
        nodes = self._check_action(uses, action, params, tree)
        return ActionBody(action, tree, target, nodes)

    def _check_action(
        self, uses: Entry, action: str, params: MappingNode | None, tree: Mapping[str, Any]
    ) -> tuple[tuple[str, Location], ...]:
        """Check an action and its parameters; return the nodes that it has run."""
        action_spec = self._actions.get(action)
        if action_spec is None:
            hint = nearest(action, self._actions, ALIKE) or (
                f"known: {', '.join(sorted(self._actions))}"
            )
            self._diagnostics.problem(uses.value.place, f'unknown action "{action}"', hint)
            return ()
        for entry in params or ():
            if entry.key not in action_spec.params:
                hint = nearest(entry.key, action_spec.params) or (
                    f"known: {', '.join(sorted(action_spec.params))}"
                )
                self._diagnostics.problem(
                    entry.place, f'{action}: unknown parameter "{entry.key}"', hint
                )
        # A misspelled key was most likely meant to be the one that is missing.
        if len(self._diagnostics.problems) == self._so_far:
            for key in sorted(action_spec.required - tree.keys()):
                self._diagnostics.problem(
                    uses.value.place, f"{action}: the parameter {key} is missing"
                )
        if action_spec.check is None or params is None:
            return ()
        known = {
            key: value
            for key, value in tree.items()
            if key in action_spec.params and not has_template(value)
        }
        for path, message in action_spec.check(known):
            place = place_at(params, path) or uses.value.place
            self._diagnostics.problem(place, f"{action}: {message}")
        if action_spec.targets is None or len(self._diagnostics.problems) > self._so_far:
            return ()
        nodes = []
        for target in action_spec.targets(known):
            place = params.entries[target.key].value.place
            if target.kind == "node":
                nodes.append((target.name, place))
            else:
                self._check_target(action, target, place)
        return tuple(nodes)

    def _check_target(self, action: str, target: Target, place: Location) -> None:
        """Refuse an action that another action cannot run."""
        found = self._actions.get(target.name)
        what = f'{action}: {target.key}: "{target.tool}"'
        if found is None:
            hint = nearest(target.name, self._actions, ALIKE)
            message = f'{what}: unknown action "{target.name}"'
            self._diagnostics.problem(place, message, hint)
        elif found.targets is not None:
            message = f"{what}: {target.name} runs others itself, so it cannot be run by another"
            self._diagnostics.problem(place, message)

    def _output(self, value: Value) -> str | dict[str, Any] | None:
        if isinstance(value, MappingNode):
            tree: dict[str, Any] = compile_tree(value, RESULT_SCOPES, self._diagnostics.error)
            if "secrets" in names_in(tree):
                self._diagnostics.problem(value.place, _NO_SECRETS)
            return tree
        if isinstance(value, Scalar) and isinstance(value.value, str) and value.value:
            if "{{" in value.value or "{%" in value.value:
                self._diagnostics.problem(
                    value.place,
                    "output names a key of the state; it is no template",
                    'for a template write a map: {key: "{{ … }}"}',
                )
            return value.value
        self._diagnostics.problem(value.place, "output: expected the name of a key, or a map")
        return None

    # --- run

    def _run(self, table: MappingNode) -> Step | None:
        entry = self._pair(table, "run", "script")
        assert entry is not None
        said = self._diagnostics.value(table, "language", spec.NODE.known["language"])
        if isinstance(entry.value, MappingNode):
            if said:
                self._diagnostics.problem(
                    said.value.place, "run.type says the language: use one of them"
                )
            return self._typed(entry.value)
        language = shown(said.value) if said else None
        return self._code(entry, entry.key, language, (said or entry).value.place)

    def _typed(self, table: MappingNode) -> Step | None:
        """Read a ``run`` that says what it is: {type: python, code}, {type: expression, value}."""
        entry = self._diagnostics.value(table, "type", spec.EXPRESSION.known["type"])
        if "type" not in table:
            hint = "write type: expression, or a language"
            self._diagnostics.problem(table.place, "run: it has no type", hint)
        if entry is None:
            return None
        kind = shown(entry.value)
        self._diagnostics.keys(table, spec.EXPRESSION)
        allowed = {"type", "value", "output_key"} if kind == "expression" else {"type", "code"}
        for other in table:
            if other.key in spec.EXPRESSION.known and other.key not in allowed:
                self._diagnostics.problem(
                    other.place, f'"{other.key}" has no meaning in a run of type {kind}'
                )
        if kind == "expression":
            return self._expression(table)
        source = table.entries.get("code")
        if source is None:
            self._diagnostics.problem(table.place, f"run: type {kind} needs code")
            return None
        return self._code(source, "run.code", kind, entry.value.place)

    def _code(
        self, entry: Entry, what: str, language: str | None, place: Location
    ) -> CodeBody | None:
        """Read code; ``place`` is where its language is said."""
        value = entry.value
        if not isinstance(value, Scalar) or not isinstance(value.value, str):
            self._diagnostics.problem(value.place, f"{what}: expected code")
            return None
        if not value.value.strip():
            self._diagnostics.problem(entry.place, f"{what}: there is no code")
            return None
        language = language or code.marked_language(value.value) or "python"
        if language != "python":
            self._diagnostics.problem(
                place, f"{language.capitalize()} code is not supported here", "write it in Python"
            )
            return None
        return self._python(value, value.value)

    def _python(self, value: Scalar, source: str) -> CodeBody | None:
        try:
            compiled = code.compile_code(source, self._variables)
            if compiled.names <= {"variables"}:
                code.check(compiled.source({"variables": self._variables}))
        except TeaError as error:
            self._diagnostics.error(value, error)
            return None
        except SyntaxError as error:
            place = value.place
            if value.literal and error.lineno:
                place = Location(place.file, place.line + error.lineno, 1)
            shown = error.lineno is not None and not value.literal
            line = f" (line {error.lineno} of the code)" if shown else ""
            other = code.likely_language(source)
            hint = f"if it is {other.capitalize()}, write language: {other}" if other else ""
            self._diagnostics.problem(place, f"not valid Python: {error.msg}{line}", hint)
            return None
        return CodeBody(compiled)

    def _expression(self, table: MappingNode) -> ExpressionBody | None:
        key = self._diagnostics.text(table, "output_key") if "output_key" in table else "result"
        value = table.get("value")
        if not isinstance(value, Scalar) or value.value is None or value.value == "":
            self._diagnostics.problem(table.place, "run: value: expected an expression")
            return None
        if not isinstance(value.value, str):
            return ExpressionBody(value.value, key or "result")
        try:
            braces = "{{" in value.value or "{%" in value.value
            template = (compile_text if braces else compile_expression)(value.value)
        except TeaError as error:
            self._diagnostics.error(value, error)
            return None
        if "secrets" in template.names:
            self._diagnostics.problem(value.place, _NO_SECRETS)
        return ExpressionBody(template, key or "result")

    def _loop(self, table: MappingNode) -> LoopBody | None:
        diagnostics = self._diagnostics
        for key in ("condition", "max_iterations", "body"):
            if key not in table:
                diagnostics.problem(table.place, f"a while_loop needs {key}")
        value = table.get("condition")
        condition = read_condition(diagnostics, value, SCOPES) if value else None
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
