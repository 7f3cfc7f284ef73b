"""Templates: text with ``{{ … }}``, ``{% … %}`` and ``${name}``.

Jinja2 parses and compiles; ``language`` decides what an expression means. A text that is exactly
one ``{{ … }}`` gives the value with its type, any other gives text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

from jinja2 import TemplateError as JinjaError
from jinja2 import nodes
from jinja2.environment import Template as JinjaTemplate

from the_edge_agent import limits
from the_edge_agent.errors import TeaError, TemplateError
from the_edge_agent.template import language
from the_edge_agent.value.value import to_data
from the_edge_agent.yaml import document

SCOPES = frozenset({"state", "variables", "data", "settings", "env", "secrets"})
RESULT_SCOPES = SCOPES | {"result", "action_result"}
SETTINGS_SCOPES = frozenset({"env", "variables"})

_MARKS = ("{{", "{%", "{#", "${")
_VALUE = "tea_value"

# Reports a template that is wrong: the value that holds it, what is wrong, what to do.
Report = Callable[[document.Value, TeaError], None]


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled text or expression. ``names`` are the scopes that it reads."""

    source: str
    names: frozenset[str]
    native: bool
    compiled: JinjaTemplate

    def render(self, scope: Mapping[str, Any]) -> Any:
        """Return the text, or the value of a single expression (JSON data, a copy).

        Raises:
            TemplateError, LimitError: the template cannot be computed with these values.
        """
        value = self.evaluate(scope)
        return value if isinstance(value, str) else to_data(value)

    def evaluate(self, scope: Mapping[str, Any]) -> Any:
        """Like ``render``, but what is absent stays an Absent."""
        context = self.compiled.new_context(dict(scope))
        try:
            with limits.budget():
                pieces = []
                size = 0
                for piece in self.compiled.root_render_func(context):
                    size += len(piece)
                    if size > limits.MAX_TEXT:
                        limits.check_text(size)
                    pieces.append(piece)
                return context.vars[_VALUE] if self.native else "".join(pieces)
        except TeaError:
            raise
        except (JinjaError, TypeError, ValueError, AttributeError, LookupError) as error:
            raise TemplateError(f"the template cannot be computed: {error}") from error
        except (RecursionError, MemoryError) as error:
            raise TemplateError("the template needs more memory than there is") from error


def is_template(text: str) -> bool:
    """Whether ``text`` holds anything that rendering would change."""
    return any(mark in text for mark in _MARKS)


def _refuses_depth(compiler: Callable[..., Template]) -> Callable[..., Template]:
    """Turn Python's own limit of depth into an error of the template."""

    @wraps(compiler)
    def compiled(text: str, scopes: Iterable[str] = SCOPES) -> Template:
        try:
            return compiler(text, scopes)
        except RecursionError as error:
            raise TemplateError("the expression is nested too deep") from error

    return compiled


@_refuses_depth
def compile_text(text: str, scopes: Iterable[str] = SCOPES) -> Template:
    """Compile a text with templates in it.

    Raises:
        TemplateError: it is not well formed, or uses a name, filter, test or method that is
            not known.
    """
    tree = language.parse(text)
    environment = frozenset(scopes) == SETTINGS_SCOPES
    stripped = text.strip()
    body = tree.body
    if stripped.startswith("{{") and stripped.endswith("}}"):
        single = _single_expression(body)
        if single is not None:
            return _expression(text, single, scopes)
    if stripped.startswith("${") and len(body) == 1:
        single = _single_expression(language.fill_variables(tree, environment=environment).body)
        if single is not None:
            return _expression(text, single, scopes)
    tree = language.fill_variables(tree, environment=environment)
    compiled, names = language.compile_tree(tree, scopes)
    return Template(text, names, False, compiled)


@_refuses_depth
def compile_expression(text: str, scopes: Iterable[str] = SCOPES) -> Template:
    """Compile a bare expression, without braces. Raises TemplateError like ``compile_text``."""
    return _expression(text, language.parse_expression(text), scopes)


def _single_expression(body: list[nodes.Node]) -> nodes.Expr | None:
    if len(body) != 1 or not isinstance(body[0], nodes.Output):
        return None
    parts = [
        part
        for part in body[0].nodes
        if not isinstance(part, nodes.TemplateData) or part.data.strip()
    ]
    if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData):
        return parts[0]
    return None


def _expression(text: str, expression: nodes.Expr, scopes: Iterable[str]) -> Template:
    target = nodes.Name(_VALUE, "store", lineno=1)
    tree = nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1)
    compiled, names = language.compile_tree(tree, scopes)
    return Template(text, names, True, compiled)


def compile_tree(value: document.Value, scopes: Iterable[str], report: Report) -> Any:
    """Compile every string in ``value``, at any depth.

    Returns Python data with a Template in the place of each string that is one; ``render_tree``
    takes it. Map keys are not templates. What is wrong goes to ``report``.
    """
    if isinstance(value, document.SequenceNode):
        return [compile_tree(item, scopes, report) for item in value.items]
    if isinstance(value, document.MappingNode):
        return {entry.key: compile_tree(entry.value, scopes, report) for entry in value}
    if isinstance(value.value, str) and is_template(value.value):
        try:
            return compile_text(value.value, scopes)
        except TeaError as error:
            report(value, error)
    return value.value


def render_tree(tree: Any, scope: Mapping[str, Any]) -> Any:
    """Render what ``compile_tree`` gave. Raises TemplateError, LimitError."""
    if isinstance(tree, Template):
        return tree.render(scope)
    if isinstance(tree, dict):
        return render_map(tree, scope)
    if isinstance(tree, list):
        return [render_tree(item, scope) for item in tree]
    return tree


def render_map(tree: Mapping[str, Any], scope: Mapping[str, Any]) -> dict[str, Any]:
    """Render a map; the message of an error begins with the key that it is in."""
    rendered = {}
    for key, item in tree.items():
        try:
            rendered[key] = render_tree(item, scope)
        except TeaError as error:
            error.message = f"{key}: {error.message}"
            raise
    return rendered


def has_template(tree: Any) -> bool:
    """Whether ``tree`` (from ``compile_tree``) holds a template anywhere."""
    if isinstance(tree, Template):
        return True
    if isinstance(tree, dict):
        return any(map(has_template, tree.values()))
    return isinstance(tree, list) and any(map(has_template, tree))


def names_in(tree: Any) -> frozenset[str]:
    """Return the scopes that the templates in ``tree`` read."""
    if isinstance(tree, Template):
        return tree.names
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return frozenset().union(*map(names_in, parts))
