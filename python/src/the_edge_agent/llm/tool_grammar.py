"""The grammar that holds an answer to a form of tool calls, in llguidance's notation of Lark.

Where the model may answer in words, the text is free until it begins like a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from the_edge_agent.llm.backend import ChatRequest
from the_edge_agent.llm.tool_form import ToolForm, offered
from the_edge_agent.schema import held
from the_edge_agent.value.value import json_text


@dataclass(frozen=True, slots=True)
class _Rules:
    """``free``: an answer may also be words. ``more``: a call after the first.

    ``call`` is what goes before and after arguments.
    """

    held: str
    free: str
    calls: str
    more: str
    call: tuple[str, str]


_RULES = {
    ToolForm.HERMES: _Rules(
        held=r'start: "<tool_call>" calls',
        free="start: FREE | mark calls\n"
        "FREE: /(?s:.*)/ & ~/(?s:.*<tool_call>.*)/\n"
        'mark[suffix="<tool_call>"]: /(?s:.*)/',
        calls="calls: call MORE",
        more=r'("\n<tool_call>" call)',
        call=(r'"\n{\"name\": \"NAME\", \"arguments\": "', r'"}\n</tool_call>"'),
    ),
    ToolForm.LLAMA3: _Rules(
        held="start: calls",
        free='start: FREE | calls\nFREE: /(?s:.*)/ & ~/(?s:\\s*\\{\\s*"name".*)/',
        calls="calls: call",
        more="",
        call=(r'"{\"name\": \"NAME\", \"parameters\": "', '"}"'),
    ),
    ToolForm.JSON: _Rules(
        held="start: calls",
        free='start: FREE | calls\nFREE: /(?s:.*)/ & ~/(?s:\\s*\\{\\s*"tool_calls".*)/',
        calls=r'calls: "{\"tool_calls\": [" call MORE "]}"',
        more='(", " call)',
        call=(r'"{\"name\": \"NAME\", \"arguments\": "', '"}"'),
    ),
}
MOST_CALLS = 8  # of one answer: small models repeat themselves without end
# JSON on one line, as models write it.
_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_OTHER_KEYS = frozenset({"additionalProperties", "patternProperties", "unevaluatedProperties"})


def grammar(form: ToolForm, request: ChatRequest) -> str | None:
    """Return what holds the answer to a request; None where no tool may be called."""
    if not offered(request):
        return None
    rules, choice = _RULES[form], request.tool_choice
    tools = [tool for tool in request.tools if choice in ("auto", "required", tool.name)]
    head, tail = rules.call
    names = [f"call_{number}" for number in range(len(tools))]
    more = f"{rules.more}{{0,{MOST_CALLS - 1}}}" if choice in ("auto", "required") else ""
    lines = [rules.free if choice == "auto" else rules.held, rules.calls.replace("MORE", more)]
    lines += [f"call: {' | '.join(names)}"]
    for name, tool in zip(names, tools, strict=True):
        lines += [f"{name}: {head.replace('NAME', tool.name)} {name}_arguments {tail}"]
        lines += [f"{name}_arguments: %json {json_text(_held(tool.parameters))}"]
    return "\n".join([*lines, ""])


def _held(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema in one line's style; a model adds no arguments that it does not name."""
    closed = {} if _OTHER_KEYS & schema.keys() else {"additionalProperties": False}
    return {**held.for_decoding(schema), **closed, "x-guidance": _STYLE}
