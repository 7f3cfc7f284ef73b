"""The ``settings`` of a workflow file: checked when loaded, rendered and checked when run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from the_edge_agent import spec
from the_edge_agent.errors import TeaError, TemplateError
from the_edge_agent.template.template import (
    SETTINGS_SCOPES,
    compile_tree,
    has_template,
    render_tree,
)
from the_edge_agent.workflow import types
from the_edge_agent.workflow.diagnostics import Diagnostics
from the_edge_agent.yaml.document import MappingNode, Value


def read(table: MappingNode | None, diagnostics: Diagnostics) -> dict[str, Any]:
    """Read and check settings; strings become templates over ``env`` and ``variables``."""
    if table is None:
        return {}
    diagnostics.keys(table, spec.SETTINGS)
    parts: dict[str, MappingNode] = {}
    for key, level in (("llm", spec.LLM), ("error_handling", spec.ERROR_HANDLING)):
        part = diagnostics.table(table, key)
        if part is not None:
            diagnostics.keys(part, level)
            parts[key] = part
    tree: dict[str, Any] = {}
    for entry in table:
        if entry.key not in spec.SETTINGS.known:
            continue
        if entry.key in ("llm", "error_handling") and entry.key not in parts:
            continue
        tree[entry.key] = compile_tree(entry.value, SETTINGS_SCOPES, diagnostics.error)
    fixed = _without_templates(tree)
    for path, message in problems(fixed):
        diagnostics.problem(_place(table, path).place, message)
    return tree


def render(tree: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Render settings over ``env`` and ``variables``; a value that is null is left out,
    but for those that an API is then not sent.

    Raises:
        TemplateError: a template cannot be computed, or gives what the key does not take.
    """
    settings: dict[str, Any] = {}
    for key, part in tree.items():
        if isinstance(part, dict):
            values = {name: _rendered(f"{key}.{name}", part[name], scope) for name in part}
            settings[key] = {
                name: item
                for name, item in values.items()
                if item is not None or (key == "llm" and name in spec.SENT)
            }
        elif (value := _rendered(key, part, scope)) is not None:
            settings[key] = value
    for path, message in problems(settings):
        raise TemplateError(f"{'.'.join(('settings', *path[:-1]))}: {message}")
    return settings


def _rendered(path: str, tree: Any, scope: Mapping[str, Any]) -> Any:
    try:
        return render_tree(tree, scope)
    except TeaError as error:
        error.message = f"settings.{path}: {error.message}"
        raise


def problems(settings: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (path, message) for each value that its key does not take."""
    for key, message in types.problems(spec.LLM.known, settings.get("llm") or {}):
        yield ("llm", key), message
    for key, value in (settings.get("error_handling") or {}).items():
        of = spec.ERROR_HANDLING.known.get(key)
        wrong = types.wrong(of, value) if of else ""
        if wrong:
            yield ("error_handling", key), f"{key}: {wrong}"
    limit = settings.get("max_iterations", spec.SETTINGS_MAX_ITERATIONS)
    wrong = types.wrong(spec.SETTINGS.known["max_iterations"], limit)
    if wrong:
        yield ("max_iterations",), f"max_iterations: {wrong}"


def _without_templates(tree: Any) -> Any:
    """Return what of the settings is known before they are rendered."""
    known: dict[str, Any] = {}
    for key, part in tree.items():
        if isinstance(part, dict):
            known[key] = {name: item for name, item in part.items() if not has_template(item)}
        elif not has_template(part):
            known[key] = part
    return known


def _place(table: MappingNode, path: tuple[str, ...]) -> Value:
    value: Value = table
    for key in path:
        assert isinstance(value, MappingNode)
        value = value.entries[key].value
    return value


def fixed_fallback(tree: Mapping[str, Any]) -> str | None:
    """Return ``error_handling.fallback`` where it is written without a template."""
    fallback = (tree.get("error_handling") or {}).get("fallback")
    return fallback if isinstance(fallback, str) else None
