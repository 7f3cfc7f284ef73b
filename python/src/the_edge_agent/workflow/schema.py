"""The keys of a workflow file, level by level: known, without effect here, and not done here."""

from __future__ import annotations

from dataclasses import dataclass

from the_edge_agent.llm import parameters
from the_edge_agent.workflow import types


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the file. ``name`` says in messages where a key is."""

    name: str
    known: frozenset[str]
    ignored: frozenset[str] = frozenset()
    unsupported: frozenset[str] = frozenset()


_WITHOUT_EFFECT = frozenset({"observability", "endpoint", "metadata"})
_PARALLEL = frozenset({
    "parallel", "targets", "fan_in", "fan_out", "dynamic_parallel", "parallel_each", "strategy",
})  # fmt: skip
_OTHER_LANGUAGES = frozenset({"lua", "prolog", "language", "lang"})
BODY = frozenset({
    "uses", "with", "output", "action", "params", "outputs", "run", "script",
})  # fmt: skip

FILE = Level(
    "the file",
    frozenset({
        "name", "description", "version", "state_schema", "initial_state", "variables",
        "settings", "nodes", "edges",
    }),
    _WITHOUT_EFFECT,
    frozenset({
        "imports", "config", "data", "input_schema", "output_schema", "extends", "includes",
        "secrets", "tools", "triggers", "schedule", "memory", "checkpoint", "agents",
    }),
)  # fmt: skip
SETTINGS = Level(
    "settings",
    frozenset({"llm", "error_handling", "max_iterations"}),
    _WITHOUT_EFFECT | {"auto_trace", "trace_exporter", "trace_file", "opik"},
    frozenset({
        "actions", "cache", "checkpoint", "config", "firebase", "interrupt_after",
        "interrupt_before", "ltm", "lua", "max_workers", "memory", "parallel", "prolog", "rag",
        "raise_exceptions", "rate_limiting", "secrets", "session", "storage",
    }),
)  # fmt: skip
LLM = Level(
    "settings.llm",
    frozenset(parameters.SETTINGS),
    _WITHOUT_EFFECT,
    frozenset({"tools", "response_format", "fallback", "shell_provider"}),
)
ERROR_HANDLING = Level(
    "settings.error_handling",
    frozenset(types.ERROR_HANDLING),
    _WITHOUT_EFFECT | {"error_responses"},
    frozenset({"capture_traceback", "clear_on_success"}),
)
ON_ERROR = Level(
    "on_error", ERROR_HANDLING.known, ERROR_HANDLING.ignored, ERROR_HANDLING.unsupported
)
RETRY = Level("retry", frozenset(types.RETRY), _WITHOUT_EFFECT)
NODE = Level(
    "a node",
    BODY | {
        "name", "steps", "type", "condition", "max_iterations", "body", "goto", "retry",
        "fallback", "on_error", "description", "metadata",
    },
    frozenset({"observability", "endpoint"}),
    _PARALLEL | _OTHER_LANGUAGES | {
        "items", "item_var", "index_var", "max_concurrency", "fail_fast", "subgraph", "input",
        "cache", "timeout", "interrupt", "validation", "extraction", "circuit_breaker",
    },
)  # fmt: skip
STEP = Level(
    "a step",
    BODY | {"name", "description", "metadata"},
    NODE.ignored,
    NODE.unsupported | {"goto", "retry", "fallback", "on_error", "steps", "type", "body"},
)
EXPRESSION = Level("run", frozenset({"type", "value", "output_key"}), _WITHOUT_EFFECT)
CONDITION = Level("condition", frozenset({"type", "value"}), _WITHOUT_EFFECT)
GOTO = Level("a goto rule", frozenset({"if", "to"}), _WITHOUT_EFFECT | {"description"})
EDGE = Level(
    "an edge",
    frozenset({"from", "to", "when", "condition"}),
    _WITHOUT_EFFECT | {"description"},
    _PARALLEL | {"type", "max_workers", "priority"},
)

# What each style of body has, besides the keys that every node may have.
ANY_NODE = frozenset({
    "name", "goto", "retry", "fallback", "on_error", "description", "metadata",
})  # fmt: skip
ANY_STEP = STEP.unsupported | {"name", "description", "metadata"}  # those were refused before
ACTION_BODY = frozenset({"uses", "with", "output", "action", "params", "outputs"})
RUN_BODY = frozenset({"run", "script"})
LOOP_BODY = frozenset({"type", "condition", "max_iterations", "body"})
EMPTY_NODE = frozenset({"name", "goto", "description", "metadata"})
