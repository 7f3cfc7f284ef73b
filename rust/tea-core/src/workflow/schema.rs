//! The keys of a workflow file, level by level: known, without effect here, and not done here.

use crate::llm::parameters;

/// Keys in groups, some of which are of several levels.
#[derive(Clone, Copy)]
pub(crate) struct Keys(&'static [&'static [&'static str]]);

impl Keys {
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied().flatten().copied()
    }

    pub fn contains(self, key: &str) -> bool {
        self.iter().any(|known| known == key)
    }
}

/// One level of the file. `name` says in messages where a key is.
pub(crate) struct Level {
    pub name: &'static str,
    pub known: Keys,
    pub ignored: Keys,
    pub unsupported: Keys,
}

const NONE: Keys = Keys(&[]);
const WITHOUT_EFFECT: &[&str] = &["observability", "endpoint"];
const METADATA: &[&str] = &["metadata"];
const DESCRIPTION: &[&str] = &["description"];
const IGNORED: Keys = Keys(&[WITHOUT_EFFECT, METADATA]);

const PARALLEL: &[&str] =
    &["parallel", "targets", "fan_in", "fan_out", "dynamic_parallel", "parallel_each", "strategy"];
const OTHER_LANGUAGES: &[&str] = &["lua", "prolog", "language", "lang"];
const NODE_ALONE: &[&str] = &[
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
];

// What each style of body has, besides the keys that every node may have.
pub(crate) const ANY_NODE: &[&str] =
    &["name", "goto", "retry", "fallback", "on_error", "description", "metadata"];
pub(crate) const ACTION_BODY: &[&str] = &["uses", "with", "output", "action", "params", "outputs"];
pub(crate) const RUN_BODY: &[&str] = &["run", "script"];
pub(crate) const STEPS_BODY: &[&str] = &["steps"];
pub(crate) const LOOP_BODY: &[&str] = &["type", "condition", "max_iterations", "body"];
pub(crate) const EMPTY_NODE: &[&str] = &["name", "goto", "description", "metadata"];
pub(crate) const ANY_STEP: &[&str] = &["name", "description", "metadata"];

pub(crate) const FILE: Level = Level {
    name: "the file",
    known: Keys(&[
        &[
            "name",
            "description",
            "version",
            "state_schema",
            "initial_state",
            "variables",
            "settings",
        ],
        &["nodes", "edges"],
    ]),
    ignored: IGNORED,
    unsupported: Keys(&[
        &[
            "imports",
            "config",
            "data",
            "input_schema",
            "output_schema",
            "extends",
            "includes",
            "secrets",
            "tools",
        ],
        &["triggers", "schedule", "memory", "checkpoint", "agents"],
    ]),
};

pub(crate) const SETTINGS: Level = Level {
    name: "settings",
    known: Keys(&[&["llm", "error_handling", "max_iterations"]]),
    ignored: Keys(&[
        WITHOUT_EFFECT,
        METADATA,
        &["auto_trace", "trace_exporter", "trace_file", "opik"],
    ]),
    unsupported: Keys(&[
        &[
            "actions",
            "cache",
            "checkpoint",
            "config",
            "firebase",
            "interrupt_after",
            "interrupt_before",
            "ltm",
        ],
        &[
            "lua",
            "max_workers",
            "memory",
            "parallel",
            "prolog",
            "rag",
            "raise_exceptions",
            "rate_limiting",
        ],
        &["secrets", "session", "storage"],
    ]),
};

pub(crate) const LLM: Level = Level {
    name: "settings.llm",
    known: Keys(&[
        &["model_path", "n_ctx", "n_threads", "n_gpu_layers", "low_memory", "cache_type"],
        &["api_base", "api_key", "provider"],
        parameters::CHAT_DEFAULTS,
    ]),
    ignored: IGNORED,
    unsupported: Keys(&[&["tools", "response_format", "fallback", "shell_provider"]]),
};

const ERROR_KEYS: Keys = Keys(&[&[
    "mode",
    "max_retries",
    "retry_delay",
    "backoff_multiplier",
    "retryable_errors",
    "fallback",
]]);
const ERROR_IGNORED: Keys = Keys(&[WITHOUT_EFFECT, METADATA, &["error_responses"]]);
const ERROR_UNSUPPORTED: Keys = Keys(&[&["capture_traceback", "clear_on_success"]]);

pub(crate) const ERROR_HANDLING: Level = Level {
    name: "settings.error_handling",
    known: ERROR_KEYS,
    ignored: ERROR_IGNORED,
    unsupported: ERROR_UNSUPPORTED,
};

pub(crate) const ON_ERROR: Level = Level { name: "on_error", ..ERROR_HANDLING };

pub(crate) const RETRY: Level = Level {
    name: "retry",
    known: Keys(&[&[
        "max_retries",
        "base_delay_ms",
        "max_delay_ms",
        "backoff_multiplier",
        "jitter",
    ]]),
    ignored: IGNORED,
    unsupported: NONE,
};

pub(crate) const NODE: Level = Level {
    name: "a node",
    known: Keys(&[ACTION_BODY, RUN_BODY, STEPS_BODY, LOOP_BODY, ANY_NODE]),
    ignored: Keys(&[WITHOUT_EFFECT]),
    unsupported: Keys(&[PARALLEL, OTHER_LANGUAGES, NODE_ALONE]),
};

pub(crate) const STEP: Level = Level {
    name: "a step",
    known: Keys(&[ACTION_BODY, RUN_BODY, ANY_STEP]),
    ignored: NODE.ignored,
    unsupported: Keys(&[
        PARALLEL,
        OTHER_LANGUAGES,
        NODE_ALONE,
        &["goto", "retry", "fallback", "on_error", "steps", "type", "body"],
    ]),
};

pub(crate) const EXPRESSION: Level = Level {
    name: "run",
    known: Keys(&[&["type", "value", "output_key"]]),
    ignored: IGNORED,
    unsupported: NONE,
};

pub(crate) const CONDITION: Level = Level {
    name: "condition",
    known: Keys(&[&["type", "value"]]),
    ignored: IGNORED,
    unsupported: NONE,
};

const DESCRIBED: Keys = Keys(&[WITHOUT_EFFECT, METADATA, DESCRIPTION]);

pub(crate) const GOTO: Level = Level {
    name: "a goto rule",
    known: Keys(&[&["if", "to"]]),
    ignored: DESCRIBED,
    unsupported: NONE,
};

pub(crate) const EDGE: Level = Level {
    name: "an edge",
    known: Keys(&[&["from", "to", "when", "condition"]]),
    ignored: DESCRIBED,
    unsupported: Keys(&[PARALLEL, &["type", "max_workers", "priority"]]),
};
