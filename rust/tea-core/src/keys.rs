//! The keys of a workflow file, level by level: known, without effect here, and not done here.

/// One level of the file. `name` says in messages where a key is.
pub(crate) struct Level {
    pub name: &'static str,
    pub known: &'static [&'static str],
    pub ignored: &'static [&'static str],
    pub unsupported: &'static [&'static str],
}

const WITHOUT_EFFECT: &[&str] = &["observability", "endpoint", "metadata"];

pub(crate) const FILE: Level = Level {
    name: "the file",
    known: &[
        "name",
        "description",
        "version",
        "state_schema",
        "initial_state",
        "variables",
        "settings",
        "nodes",
        "edges",
    ],
    ignored: WITHOUT_EFFECT,
    unsupported: &[
        "imports",
        "config",
        "data",
        "input_schema",
        "output_schema",
        "extends",
        "includes",
        "secrets",
        "tools",
        "triggers",
        "schedule",
        "memory",
        "checkpoint",
        "agents",
    ],
};

pub(crate) const SETTINGS: Level = Level {
    name: "settings",
    known: &["llm", "error_handling", "max_iterations"],
    ignored: &[
        "observability",
        "endpoint",
        "metadata",
        "auto_trace",
        "trace_exporter",
        "trace_file",
        "opik",
    ],
    unsupported: &[
        "actions",
        "cache",
        "checkpoint",
        "config",
        "firebase",
        "interrupt_after",
        "interrupt_before",
        "ltm",
        "lua",
        "max_workers",
        "memory",
        "parallel",
        "prolog",
        "rag",
        "raise_exceptions",
        "rate_limiting",
        "secrets",
        "session",
        "storage",
    ],
};

pub(crate) const LLM: Level = Level {
    name: "settings.llm",
    known: &[
        "backend",
        "model_path",
        "n_ctx",
        "n_threads",
        "n_gpu_layers",
        "api_base",
        "api_key",
        "model",
        "provider",
        "system",
        "temperature",
        "max_tokens",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "timeout",
        "max_retries",
    ],
    ignored: WITHOUT_EFFECT,
    unsupported: &["tools", "response_format", "fallback", "shell_provider"],
};

const ERROR_KEYS: &[&str] =
    &["mode", "max_retries", "retry_delay", "backoff_multiplier", "retryable_errors", "fallback"];
const ERROR_IGNORED: &[&str] = &["observability", "endpoint", "metadata", "error_responses"];
const ERROR_UNSUPPORTED: &[&str] = &["capture_traceback", "clear_on_success"];

pub(crate) const ERROR_HANDLING: Level = Level {
    name: "settings.error_handling",
    known: ERROR_KEYS,
    ignored: ERROR_IGNORED,
    unsupported: ERROR_UNSUPPORTED,
};

pub(crate) const ON_ERROR: Level = Level {
    name: "on_error",
    known: ERROR_KEYS,
    ignored: ERROR_IGNORED,
    unsupported: ERROR_UNSUPPORTED,
};

pub(crate) const RETRY: Level = Level {
    name: "retry",
    known: &["max_retries", "base_delay_ms", "max_delay_ms", "backoff_multiplier", "jitter"],
    ignored: WITHOUT_EFFECT,
    unsupported: &[],
};

pub(crate) const NODE: Level = Level {
    name: "a node",
    known: &[
        "uses",
        "with",
        "output",
        "action",
        "params",
        "outputs",
        "run",
        "script",
        "name",
        "steps",
        "type",
        "condition",
        "max_iterations",
        "body",
        "goto",
        "retry",
        "fallback",
        "on_error",
        "description",
        "metadata",
    ],
    ignored: &["observability", "endpoint"],
    unsupported: &[
        "parallel",
        "targets",
        "fan_in",
        "fan_out",
        "dynamic_parallel",
        "parallel_each",
        "strategy",
        "lua",
        "prolog",
        "language",
        "lang",
        "items",
        "item_var",
        "index_var",
        "max_concurrency",
        "fail_fast",
        "subgraph",
        "input",
        "cache",
        "timeout",
        "interrupt",
        "validation",
        "extraction",
        "circuit_breaker",
    ],
};

pub(crate) const STEP: Level = Level {
    name: "a step",
    known: &[
        "uses",
        "with",
        "output",
        "action",
        "params",
        "outputs",
        "run",
        "script",
        "name",
        "description",
        "metadata",
    ],
    ignored: NODE.ignored,
    unsupported: &[
        "parallel",
        "targets",
        "fan_in",
        "fan_out",
        "dynamic_parallel",
        "parallel_each",
        "strategy",
        "lua",
        "prolog",
        "language",
        "lang",
        "items",
        "item_var",
        "index_var",
        "max_concurrency",
        "fail_fast",
        "subgraph",
        "input",
        "cache",
        "timeout",
        "interrupt",
        "validation",
        "extraction",
        "circuit_breaker",
        "goto",
        "retry",
        "fallback",
        "on_error",
        "steps",
        "type",
        "body",
    ],
};

pub(crate) const EXPRESSION: Level = Level {
    name: "run",
    known: &["type", "value", "output_key"],
    ignored: WITHOUT_EFFECT,
    unsupported: &[],
};

pub(crate) const CONDITION: Level = Level {
    name: "condition",
    known: &["type", "value"],
    ignored: WITHOUT_EFFECT,
    unsupported: &[],
};

const DESCRIBED: &[&str] = &["observability", "endpoint", "metadata", "description"];

pub(crate) const GOTO: Level =
    Level { name: "a goto rule", known: &["if", "to"], ignored: DESCRIBED, unsupported: &[] };

pub(crate) const EDGE: Level = Level {
    name: "an edge",
    known: &["from", "to", "when", "condition"],
    ignored: DESCRIBED,
    unsupported: &[
        "parallel",
        "targets",
        "fan_in",
        "fan_out",
        "dynamic_parallel",
        "parallel_each",
        "strategy",
        "type",
        "max_workers",
        "priority",
    ],
};

// What each style of body has, besides the keys that every node may have.
pub(crate) const ANY_NODE: &[&str] =
    &["name", "goto", "retry", "fallback", "on_error", "description", "metadata"];
pub(crate) const ACTION_BODY: &[&str] = &["uses", "with", "output", "action", "params", "outputs"];
pub(crate) const RUN_BODY: &[&str] = &["run", "script"];
pub(crate) const STEPS_BODY: &[&str] = &["steps"];
pub(crate) const LOOP_BODY: &[&str] = &["type", "condition", "max_iterations", "body"];
pub(crate) const EMPTY_NODE: &[&str] = &["name", "goto", "description", "metadata"];
