"""Python code in a workflow: the ``run`` of a node.

Code with a ``return`` statement is the body of a function; other code gives its new names. The
code is trusted like the program itself: it is not confined.
"""

from __future__ import annotations

import ast
import contextlib
import datetime
import json
import math
import re
import sys
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from the_edge_agent.errors import ActionError, CodeError, TeaError, TemplateError
from the_edge_agent.template.template import Template, compile_text
from the_edge_agent.value.value import text_form, to_data

_FILLED = re.compile(
    r"(\{\{-?\s*(?:variables|settings)\s*[.\[].*?\}\}|\$\{[A-Za-z_][A-Za-z0-9_]*\})", re.DOTALL
)
_AT_HAND = {"datetime": datetime, "math": math, "re": re}  # modules that code need not import
_STATE = re.compile(r"\{\{-?\s*state\s*[.\[|}-]")
_MARK = re.compile(r"\s*(?:--\s*(lua)\b|%\s*(prolog)\b)", re.IGNORECASE)
# What Python never has, at the beginning of a line or at its end.
_LUA = re.compile(r"^\s*(?:local\s+\w|function\s+\w|--)|\b(?:then|do)\s*$|^\s*end\b", re.MULTILINE)
_PROLOG = re.compile(r":-|^\s*%|\)\s*\.\s*$", re.MULTILINE)
RESULTS = "parallel_results"  # a name of its own, as the original has it
_FUNCTION = "_tea_run"
_FILE = "<run>"


@dataclass(frozen=True, slots=True)
class Code:
    """The source of a ``run`` in parts: text as it is, and templates to fill in."""

    parts: tuple[str | Template, ...]

    @property
    def names(self) -> frozenset[str]:
        """The scopes that must be there to fill the source in."""
        return frozenset().union(*(part.names for part in self.parts if isinstance(part, Template)))

    def source(self, scope: Mapping[str, Any]) -> str:
        """Return the Python source with its templates filled in, as text."""
        return "".join(
            part if isinstance(part, str) else text_form(part.evaluate(scope), part.source)
            for part in self.parts
        )


def marked_language(source: str) -> str | None:
    """Return the language that the code's first line names: ``-- lua`` or ``% prolog``."""
    mark = _MARK.match(source)
    return (mark[1] or mark[2]).lower() if mark else None


def likely_language(source: str) -> str | None:
    """Return the language that code which is not Python looks like, for a hint."""
    if _PROLOG.search(source):
        return "prolog"
    return "lua" if _LUA.search(source) else None


def compile_code(source: str, variables: Collection[str]) -> Code:
    """Split ``source`` into Python and templates.

    ``${name}`` is a template where there is such a variable, and Python's elsewhere: an f-string
    may have a dollar sign before its braces.

    Raises:
        TemplateError: a template is wrong, or the code is not Python or reads ``state`` in braces.
    """
    if _STATE.search(source):
        raise TemplateError(
            "{{ state… }} is not filled in inside Python code",
            hint='state is a name there: state["key"]',
        )
    parts = _FILLED.split(source)
    return Code(
        tuple(
            compile_text(part, {"variables", "settings"})
            if number % 2 and (part[0] == "{" or part[2:-1] in variables)
            else part
            for number, part in enumerate(parts)
            if part
        )
    )


def parse(source: str) -> ast.Module:
    """Parse Python source. Raises SyntaxError, with the line in it."""
    try:
        return ast.parse(source, _FILE)
    except ValueError as error:
        raise SyntaxError(str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise SyntaxError("the code is nested too deep") from error


def is_function_body(module: ast.Module) -> bool:
    """Whether there is a ``return`` that does not belong to a function inside the code."""
    todo: list[ast.AST] = [*module.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Return):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
    return False


def check(source: str) -> None:
    """Raises SyntaxError where ``source`` is not Python that can run."""
    _compiled(parse(source))


def _compiled(module: ast.Module) -> types.CodeType:
    """Compile code; the body of a function is put into one that takes the names it may use."""
    if is_function_body(module):
        frame = ast.parse(f"def {_FUNCTION}(state, variables, json, actions): pass")
        function = frame.body[0]
        assert isinstance(function, ast.FunctionDef)
        function.body = module.body
        module = frame
    try:
        return compile(module, _FILE, "exec", dont_inherit=True)
    except ValueError as error:
        raise SyntaxError(str(error)) from error
    except (RecursionError, MemoryError) as error:
        raise SyntaxError("the code is nested too deep") from error


@dataclass(frozen=True, slots=True)
class Done:
    """What code did (JSON data): its result, and the keys of ``state`` that it changed itself."""

    result: Any
    changed: dict[str, Any]


def run(
    source: str,
    state: Mapping[str, Any],
    variables: Mapping[str, Any],
    actions: Mapping[str, Callable[..., Any]],
) -> Done:
    """Run ``source`` on copies of ``state`` and ``variables``; ``actions`` are there to be called.

    What it prints goes to standard error, because standard output is for the result.

    Raises:
        TeaError: an action that the code called.
        CodeError: the code raised (``kind`` is the class name of the exception), its result is
            not JSON data, or it removed a key of the state.
        LimitError: the result is too large.
    """
    given = {
        "state": _with_attributes(to_data(state)),
        "variables": to_data(variables),
        "json": json,
        "actions": actions,
    }
    try:
        module = parse(source)
        code = _compiled(module)
        names: dict[str, Any] = {"__name__": "run", **_AT_HAND}
        results = {key: value for key, value in given["state"].items() if key == RESULTS}
        names.update(results)
        with contextlib.redirect_stdout(sys.stderr):
            if is_function_body(module):
                exec(code, names)  # noqa: S102 - running the author's code is what it is for
                result = names[_FUNCTION](**given)
            else:
                names.update(given)
                exec(code, names)  # noqa: S102
                result = _new_names(names, {**given, **results})
    except TeaError:
        raise  # of an action that the code has called
    except (Exception, SystemExit) as error:
        raise _code_error(error) from error
    return Done(_as_data(result), _changed(state, given["state"]))


class _Result(dict[str, Any]):
    """The result of a branch, whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


_RESULT = {"index", "state", "source_node", "success", "error"}


def _with_attributes(value: Any) -> Any:
    """Copy JSON data; results of branches have attributes in the copy."""
    if isinstance(value, list):
        return [_with_attributes(item) for item in value]
    if not isinstance(value, dict):
        return value
    copied = {key: _with_attributes(item) for key, item in value.items()}
    return _Result(copied) if value.keys() == _RESULT else copied


def _new_names(names: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the names that the code made; imports, functions and classes are no data."""
    tools = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
    for name in ("state", "variables", "json"):
        if names.get(name) is not given[name]:
            raise TypeError(f"the name {name} is given and cannot be assigned to")
    return {
        name: value
        for name, value in names.items()
        if value is not given.get(name, tools)
        and not name.startswith("_")
        and not isinstance(value, tools)
    }


def _as_data(result: Any) -> Any:
    """Copy the result as JSON data. Raises CodeError, with the key that is none."""
    if not isinstance(result, dict):
        return _copy("the result", result)
    hint = "begin the name with _ to keep it out"
    return {key: _copy(str(key), {key: value}, hint)[key] for key, value in result.items()}


def _copy(name: str, value: Any, hint: str = "") -> Any:
    try:
        return to_data(value)
    except ActionError as error:
        raise CodeError("TypeError", f"{name}: {error.message}", hint=hint) from error


def _changed(before: Mapping[str, Any], after: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the keys that differ, with their new values."""
    for key in before:
        if key not in after:
            raise CodeError(
                "TypeError",
                f"the code removed state[{key!r}], which no update can",
                hint=f"set it to None: return {{{key!r}: None}}",
            )
    missing = object()
    data = {key: _copy(f"state[{key!r}]", {key: value})[key] for key, value in after.items()}
    return {
        key: value for key, value in data.items() if not _equal(before.get(key, missing), value)
    }


def _equal(left: Any, right: Any) -> bool:
    """Whether two values of JSON are equal in type and order, too."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(map(_equal, left.values(), right.values()))
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right)


def _code_error(error: BaseException) -> CodeError:
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == _FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" (line {line} of the code)" if line else ""
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    kind = type(error).__name__
    return CodeError(kind, f"{kind}: {message}{where}" if message else f"{kind}{where}")
