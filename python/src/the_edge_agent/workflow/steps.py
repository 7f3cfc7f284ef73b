"""Reads the bodies of nodes and steps: ``uses`` and ``run``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from the_edge_agent.workflow import code
from the_edge_agent.workflow.diagnostics import Diagnostics
from the_edge_agent.workflow.model import (
    ActionBody,
    CodeBody,
    ExpressionBody,
    Step,
    Workflow,
)
from the_edge_agent.yaml.document import (
    Entry,
    MappingNode,
    Scalar,
    Value,
    place_at,
    plain,
    shown,
)

ANYWHERE = ("fan_in", "language")  # without effect beside any other body
_NO_SECRETS = "secrets must not reach the state"


class StepReader:
    """Reads bodies; what is wrong with them goes to the diagnostics."""

    def __init__(
        self,
        diagnostics: Diagnostics,
        actions: Registry,
        subgraph: Callable[[str], Workflow],
        variables: Mapping[str, Any],
    ) -> None:
        self._diagnostics = diagnostics
        self._actions = actions
        self._subgraph = subgraph  # loads one; raises FileError, InvalidFile
        self._variables = variables
        self._so_far = 0  # problems before the node or step that is read now
        self._scopes = SCOPES  # what templates see, in branches also their item

    def _misplaced(self, table: MappingNode, allowed: frozenset[str], what: str) -> None:
        """Refuse keys that nodes know but that mean nothing in this one, or warn of them."""
        has_step = not allowed.isdisjoint(spec.ACTION_BODY | spec.RUN_BODY)
        for entry in table:
            if entry.key not in spec.NODE.known or entry.key in allowed:
                continue
            if entry.key in spec.ELSEWHERE and (has_step or entry.key in ANYWHERE):
                self._diagnostics.without_effect(entry, what, spec.ELSEWHERE[entry.key])
            else:
                self._diagnostics.problem(entry.place, f'"{entry.key}" has no meaning in {what}')

    def _list_of_steps(self, table: MappingNode) -> tuple[Step, ...] | None:
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
            step = self._one_step(item)
            steps += [step] if step is not None else []
        return tuple(steps)

    def _one_step(self, item: MappingNode) -> Step | None:
        self._so_far = len(self._diagnostics.problems)
        self._diagnostics.keys(item, spec.STEP)
        self._diagnostics.value(item, "name", spec.STEP.known["name"])
        self._diagnostics.value(item, "description", spec.STEP.known["description"], null=True)
        return self._step(item, spec.STEP.unsupported | spec.ANY_STEP)

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
            tree = compile_tree(params, self._scopes, self._diagnostics.error)
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
            tree: dict[str, Any] = compile_tree(
                value, self._scopes | RESULT_SCOPES, self._diagnostics.error
            )
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
                self._check_language(said, entry.value)
            return self._typed(entry.value)
        language = shown(said.value) if said else None
        return self._code(entry, entry.key, language, (said or entry).value.place)

    def _check_language(self, said: Entry, run: MappingNode) -> None:
        """Refuse a language beside a ``run`` that names another; an expression has none."""
        kind = run.get("type")
        if kind is not None and shown(kind) == "expression":
            self._diagnostics.without_effect(said, "a node with an expression", "there is no code")
        elif kind is not None and shown(kind) != shown(said.value):
            message = f"language and run.type say different things: {shown(kind)}"
            self._diagnostics.problem(said.value.place, message)

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
            template = (compile_text if braces else compile_expression)(value.value, self._scopes)
        except TeaError as error:
            self._diagnostics.error(value, error)
            return None
        if "secrets" in template.names:
            self._diagnostics.problem(value.place, _NO_SECRETS)
        return ExpressionBody(template, key or "result")
