"""The template language on Jinja2: which syntax is in it, and what an expression does.

Jinja2's parser gives the tree. Every operator, path, filter, method and loop in it is replaced
by a call of our own function, so that values mean the same in every engine and no attribute of
a Python object can be reached. What is not in the language is refused here.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from jinja2 import TemplateSyntaxError, nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame
from jinja2.idtracking import VAR_LOAD_RESOLVE
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from the_edge_agent import limits
from the_edge_agent.errors import TemplateError
from the_edge_agent.suggest import ALIKE, nearest
from the_edge_agent.template import operators
from the_edge_agent.template.filters.table import FILTERS, TESTS, call
from the_edge_agent.value.value import Absent, elements, text_form

_GLOBALS = frozenset({"range"})
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SETTING = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")  # in settings
# A quote that is never closed goes to the end of the text. Nothing is tried twice: 40 kB of \" in
# a row took 13 seconds.
_QUOTED = re.compile(r"""("(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?)""", re.DOTALL)
_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.List,
    nodes.Dict, nodes.Pair, nodes.Tuple, nodes.CondExpr, nodes.Not, nodes.And, nodes.Or,
    nodes.Compare, nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv,
    nodes.Mod, nodes.Neg, nodes.Concat, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Call, nodes.Filter, nodes.Test, nodes.For, nodes.If, nodes.Assign, nodes.AssignBlock,
    nodes.Keyword,
)  # fmt: skip
_REFUSED = {
    "Pow": "the operator **", "CallBlock": "{% call %}", "FilterBlock": "{% filter %}",
    "FromImport": "{% from %}", "ScopedEvalContextModifier": "{% autoescape %}",
    "NSRef": "setting a key of a value", "With": "{% with %}", "Macro": "{% macro %}",
    "Include": "{% include %}", "Import": "{% import %}", "Extends": "{% extends %}",
    "Block": "{% block %}", "Pos": "the sign + before a value",
}  # fmt: skip
_TOO_LONG = "not a well-formed template: a number with too many digits"
_LOOP_METHODS = frozenset({"cycle", "changed"})


def _text(value: Any, path: str = "") -> str:
    text = text_form(value, path)
    limits.charge_text(len(text))
    return text


def _filter(value: Any, name: str, /, *args: Any, **names: Any) -> Any:
    return call(FILTERS[name], name, value, args, names)


def _test(value: Any, name: str, /, *args: Any) -> bool:
    return bool(call(TESTS[name], name, value, args, {}))


def _method(value: Any, name: str, path: str, *args: Any) -> Any:
    return operators.call_method(value, name, path, *args)


# What expressions become calls of, named with a colon so that no template can name them.
_MEANING: Mapping[str, Callable[..., Any]] = {
    "text": _text,
    "member": operators.member,
    "absent": lambda path: Absent(path=path),
    "slice": operators.slice_of,
    "elements": elements,
    "concat": operators.concat,
    "calculate": operators.calculate,
    "negate": operators.negate,
    "compare": operators.compare,
    "method": _method,
    "filter": _filter,
    "test": _test,
}


def _late(function: Callable[..., Any]) -> Callable[..., Any]:
    """Keep Jinja2 from calling ``function`` on constants while it compiles, without limits."""

    @pass_context
    def call_at_run(_: Context, *args: Any, **names: Any) -> Any:
        return function(*args, **names)

    return call_at_run


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        keep_trailing_newline=True, undefined=Absent, optimized=False, cache_size=0
    )
    environment.globals = {"range": operators.count}
    environment.filters = {f"tea:{name}": _late(function) for name, function in _MEANING.items()}
    environment.tests = {}
    return environment


_JINJA = _environment()


def parse(text: str) -> nodes.Template:
    """Return the tree of a text. Raises TemplateError where it is not well formed."""
    if "\r" in text:
        with contextlib.suppress(TemplateSyntaxError):
            return _parse_with_returns(text)
    try:
        return Parser(_JINJA, text).parse()
    except TemplateSyntaxError as error:
        raise TemplateError(_syntax_message(error, text)) from error
    except ValueError as error:  # Python converts numbers of 4,300 digits at most
        raise TemplateError(_TOO_LONG) from error


def _parse_with_returns(text: str) -> nodes.Template:
    """Parse a text and keep its carriage returns, which Jinja2 would turn into line feeds."""
    spare = next(chr(code) for code in range(0xE000, 0xF8FF) if chr(code) not in text)
    tree = Parser(_JINJA, text.replace("\r", spare)).parse()
    for data in tree.find_all(nodes.TemplateData):
        data.data = data.data.replace(spare, "\r")
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str):
            constant.value = constant.value.replace(spare, "\r")
    return tree


def parse_expression(text: str) -> nodes.Expr:
    """Return the tree of a bare expression. Raises TemplateError where it is not well formed."""
    filled = _variables_outside_quotes(text)
    try:
        parser = Parser(_JINJA, filled, state="variable")
        expression = parser.parse_expression()
        if not parser.stream.eos:
            raise TemplateSyntaxError("the expression goes on after its end", 1)
    except TemplateSyntaxError as error:
        raise TemplateError(_syntax_message(error, text)) from error
    except ValueError as error:
        raise TemplateError(_TOO_LONG) from error
    expression.set_environment(_JINJA)
    if any(_VARIABLE.search(str(constant.value)) for constant in _constants(expression)):
        raise TemplateError("${name} is not filled in inside quotes", hint="write variables.name")
    return expression


def _constants(expression: nodes.Expr) -> Iterator[nodes.Const]:
    if isinstance(expression, nodes.Const):
        yield expression
    yield from expression.find_all(nodes.Const)


def _variables_outside_quotes(text: str) -> str:
    parts = _QUOTED.split(text)
    return "".join(
        part if number % 2 else _VARIABLE.sub(r"variables.\1", part)
        for number, part in enumerate(parts)
    )


def _syntax_message(error: TemplateSyntaxError, text: str) -> str:
    where = f" in line {error.lineno} of the text" if "\n" in text.strip() else ""
    return f"not a well-formed template{where}: {error.message}"


def fill_variables(tree: nodes.Template, *, environment: bool) -> nodes.Template:
    """Put ``variables.name`` in the place of each ``${name}`` of the plain text of ``tree``.

    With ``environment`` an environment variable stands in for a variable that there is not, and
    the text of ``${name:-text}`` for both.
    """
    for output in tree.find_all(nodes.Output):
        output.nodes[:] = [part for node in output.nodes for part in _filled(node, environment)]
    return tree


def _filled(node: nodes.Expr, environment: bool) -> Iterator[nodes.Expr]:
    if not isinstance(node, nodes.TemplateData):
        yield node
        return
    end = 0
    for found in (_SETTING if environment else _VARIABLE).finditer(node.data):
        if found.start() > end:
            yield nodes.TemplateData(node.data[end : found.start()], lineno=node.lineno)
        end = found.end()
        yield _setting(found[1], found[2]) if environment else _member("variables", found[1])
    if end < len(node.data):
        yield nodes.TemplateData(node.data[end:], lineno=node.lineno)


def _member(scope: str, name: str) -> nodes.Expr:
    return nodes.Getattr(nodes.Name(scope, "load", lineno=1), name, "load", lineno=1)


def _setting(name: str, otherwise: str | None) -> nodes.Expr:
    value = _member("env", name)
    if otherwise is not None:
        value = _default(value, nodes.Const(otherwise), nodes.Const(True))
    return _default(_member("variables", name), value)


def _default(value: nodes.Expr, *arguments: nodes.Expr) -> nodes.Expr:
    return nodes.Filter(value, "default", list(arguments), [], None, None, lineno=1)


def _check_node(node: nodes.Node) -> None:
    if not isinstance(node, _ALLOWED):
        name = type(node).__name__
        shown = _REFUSED.get(name, name.lower())
        raise TemplateError(f"{shown} is not part of the template language")
    if isinstance(node, nodes.Const) and node.value in (math.inf, -math.inf):
        raise TemplateError("a number is too large")
    if isinstance(node, nodes.For) and node.recursive:
        raise TemplateError("recursive loops are not part of the template language")
    if isinstance(node, nodes.Filter):
        _check_use("filter", FILTERS, node)
    if isinstance(node, nodes.Test):
        _check_use("test", TESTS, node)
    if isinstance(node, nodes.AssignBlock) and node.filter is not None:
        raise TemplateError("a filter on a set block is not part of the template language")
    if isinstance(node, nodes.Call):
        _check_call(node)


def _check_use(kind: str, table: Any, node: nodes.Filter | nodes.Test) -> None:
    if node.name not in table:
        raise TemplateError(f"there is no {kind} {node.name!r}", hint=nearest(node.name, table))
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise TemplateError("* and ** arguments are not part of the template language")
    if node.node is None:
        raise TemplateError("a filter block is not part of the template language")
    arguments = [None] * len(node.args)
    names: dict[str, Any] = {str(each.key): None for each in node.kwargs}
    try:
        inspect.signature(table[node.name]).bind(None, *arguments, **names)
    except TypeError as error:
        raise TemplateError(f"the {kind} {node.name}: {error}") from error
    if node.name == "default" and not (arguments or names):
        raise TemplateError("the filter default needs the value to use instead")


def _check_call(node: nodes.Call) -> None:
    if node.dyn_args is not None or node.dyn_kwargs is not None:
        raise TemplateError("* and ** arguments are not part of the template language")
    target = node.node
    if isinstance(target, nodes.Name) and target.name in _GLOBALS and not node.kwargs:
        return
    if isinstance(target, nodes.Getattr) and not node.kwargs:
        loop = isinstance(target.node, nodes.Name) and target.node.name == "loop"
        if target.attr in (_LOOP_METHODS if loop else operators.METHODS):
            return
        hint = nearest(target.attr, operators.METHODS)
        raise TemplateError(f"there is no method {target.attr}()", hint=hint)
    name = target.name if isinstance(target, nodes.Name) else "this"
    raise TemplateError(f"{name}() cannot be called", hint=nearest(str(name), _GLOBALS))


def compile_tree(tree: nodes.Template, scopes: Iterable[str]) -> tuple[Any, frozenset[str]]:
    """Compile a tree; return the Jinja2 template and the top-level names that it reads.

    Raises:
        TemplateError: a name, filter, test, method or statement that is not in the language.
    """
    called = {id(node.node) for node in tree.find_all(nodes.Call)}
    for node in tree.find_all(nodes.Node):
        _check_node(node)
        # Jinja2 knows this name by itself and does not count it as undeclared.
        if isinstance(node, nodes.Name) and node.name == "self":
            raise TemplateError("there is no name 'self' here")
        if isinstance(node, nodes.Name) and node.name in _GLOBALS and id(node) not in called:
            raise TemplateError(f"{node.name} is not a value", hint=f"call it: {node.name}(3)")
    tree = _Meaning().visit(tree)
    tree.set_environment(_JINJA)
    try:
        generator = _Generator(_JINJA, None, None, optimized=False)
        generator.visit(tree)
        names = frozenset(generator.undeclared) - _GLOBALS
        allowed = frozenset(scopes)
        for name in sorted(names - allowed):
            hint = nearest(name, allowed, ALIKE)
            if not hint and "state" in allowed:
                hint = f"for a key of the state write state.{name}"
            hint = hint or f"known here: {', '.join(sorted(allowed))}"
            raise TemplateError(f"there is no name {name!r} here", hint=hint)
        code = compile(generator.stream.getvalue(), "<template>", "exec")  # type: ignore[attr-defined]
        return _JINJA.template_class.from_code(_JINJA, code, _JINJA.globals), names
    except (TemplateSyntaxError, SyntaxError) as error:
        raise TemplateError(f"not a well-formed template: {error}") from error


class _Generator(CodeGenerator):
    """Writes the code of a template and notes the names that come from outside, in one go."""

    undeclared: set[str]

    def enter_frame(self, frame: Frame) -> None:
        """Note what the frame looks up."""
        super().enter_frame(frame)
        self.undeclared = getattr(self, "undeclared", set())
        for action, name in frame.symbols.loads.values():
            if (
                action == VAR_LOAD_RESOLVE
                and name is not None
                and name not in self.environment.globals
            ):
                self.undeclared.add(name)


def path_of(node: nodes.Node) -> str:
    """Return the text that names the value of ``node`` in messages."""
    if isinstance(node, nodes.Name):
        return str(node.name)
    if isinstance(node, nodes.Getattr):
        return f"{path_of(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem):
        if isinstance(node.arg, nodes.Const):
            key = node.arg.value
            inner = f".{key}" if isinstance(key, str) else f"[{key}]"
            return path_of(node.node) + inner
        return f"{path_of(node.node)}[…]"
    return "the value"


class _Meaning(NodeTransformer):
    """Replaces what an expression does by calls of our own functions."""

    _in_block = False

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802
        node.nodes[:] = [self._output(part) for part in node.nodes]
        return node

    def _output(self, part: nodes.Expr) -> nodes.Expr:
        if not isinstance(part, nodes.TemplateData):
            return _call("text", self.visit(part), path_of(part))
        # Rendering counts what comes out of it; what a set block collects is counted here.
        return _call("text", nodes.Const(part.data)) if self._in_block else part

    def visit_AssignBlock(self, node: nodes.AssignBlock) -> nodes.AssignBlock:  # noqa: N802
        outside, self._in_block = self._in_block, True
        self.generic_visit(node)
        self._in_block = outside
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:  # noqa: N802
        path = path_of(node.iter)
        self.generic_visit(node)
        node.iter = _call("elements", node.iter, path)
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:  # noqa: N802
        path = path_of(node)
        return _call("member", self.visit(node.node), node.attr, path)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        path = path_of(node)
        value = self.visit(node.node)
        if isinstance(node.arg, nodes.Slice):
            bounds = [
                nodes.Const(None) if bound is None else self.visit(bound)
                for bound in (node.arg.start, node.arg.stop, node.arg.step)
            ]
            return _call("slice", value, *bounds, path_of(node.node))
        return _call("member", value, self.visit(node.arg), path)

    def visit_Call(self, node: nodes.Call) -> nodes.Node:  # noqa: N802
        target = node.node
        args = [self.visit(argument) for argument in node.args]
        if not isinstance(target, nodes.Getattr):
            node.args = args
            return node
        if isinstance(target.node, nodes.Name) and target.node.name == "loop":
            node.args = args
            return node
        return _call("method", self.visit(target.node), target.attr, path_of(target.node), *args)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        call = _call("filter", node.node, node.name, *node.args)
        call.kwargs = node.kwargs
        return call

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        return _call("test", node.node, node.name, *node.args)

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if node.expr2 is None:
            node.expr2 = _call("absent", nodes.Const("the else of the if"))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:  # noqa: N802
        first, *rest = [_call("text", self.visit(part), path_of(part)) for part in node.nodes]
        return _call("concat", first, *rest)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        left = self.visit(node.expr)
        result: nodes.Expr | None = None
        for operand in node.ops:
            right = self.visit(operand.expr)
            link = _call("compare", left, operand.op, right)
            result = link if result is None else nodes.And(result, link, lineno=1)
            left = right
        return result if result is not None else left

    def _binary(self, node: nodes.BinExpr) -> nodes.Node:
        return _call("calculate", self.visit(node.left), node.operator, self.visit(node.right))

    visit_Add = visit_Sub = visit_Mul = visit_Div = visit_FloorDiv = visit_Mod = _binary  # noqa: N815

    def visit_Neg(self, node: nodes.Neg) -> nodes.Node:  # noqa: N802
        return _call("negate", self.visit(node.node))


def _call(name: str, value: nodes.Node | None, *args: Any) -> nodes.Filter:
    """Return the call of one of our own functions, with nodes or constants as arguments."""
    arguments = [arg if isinstance(arg, nodes.Node) else nodes.Const(arg) for arg in args]
    return nodes.Filter(value, f"tea:{name}", arguments, [], None, None, lineno=1)
