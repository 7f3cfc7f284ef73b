//! The errors of the program. Each says what happened and why in `message`, what to do in `hint`.

use std::fmt;
use std::sync::Arc;

use crate::spec;

/// A place in a workflow file. Line and column count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file's name as it was given to `load`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One thing that is wrong, or only doubtful, in a workflow file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Where it is.
    pub place: Location,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if !self.hint.is_empty() {
            write!(f, " ({})", self.hint)?;
        }
        Ok(())
    }
}

/// The workflow file is wrong. Exit code 2.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", one_line(&join(problems)))]
pub struct InvalidFile {
    /// Everything that was found, in file order.
    pub problems: Vec<Problem>,
}

impl InvalidFile {
    /// The exit code of a program that stops because of it.
    pub const EXIT_CODE: u8 = spec::EXIT_USAGE;
}

fn join(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The word that names an error in `state.__error__.type`, equal in every engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no model, or the one there is cannot be used. Exit code 3.
    Model,
    /// An API answered with an error, or with something that is no answer.
    Api,
    /// An API did not answer in time.
    Timeout,
    /// A template or a condition cannot be computed.
    Template,
    /// A file cannot be read or written, or lies where the workflow may not reach.
    File,
    /// A limit is reached: too many node runs, loop passes, or too much text.
    Limit,
    /// An action was given parameters that it cannot use, or failed in a way of its own.
    Action,
    /// The input or the final state is not what the workflow's schema describes.
    Schema,
    /// The user stopped the run; nothing in a workflow handles that. Exit code 130.
    Interrupted,
}

impl Kind {
    /// The word itself.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Model => "ModelError",
            Kind::Api => "ApiError",
            Kind::Timeout => "Timeout",
            Kind::Template => "TemplateError",
            Kind::File => "FileError",
            Kind::Limit => "LimitError",
            Kind::Action => "ActionError",
            Kind::Schema => "SchemaError",
            Kind::Interrupted => "Interrupted",
        }
    }

    /// The exit code of a program that stops because of such an error.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Model => spec::EXIT_MODEL,
            Kind::Interrupted => spec::EXIT_INTERRUPTED,
            _ => spec::EXIT_FAILED,
        }
    }
}

/// An error of the engine, an action or a model. `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", with_hint(message, hint))]
pub struct Error {
    /// What sort of error it is.
    pub kind: Kind,
    /// What happened and why.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl Error {
    /// An error without a hint.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: String::new() }
    }

    /// The same error with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = hint.into();
        self
    }

    /// The same error whose message begins with `name`: the key or condition that it is in.
    #[must_use]
    pub fn within(mut self, name: &str) -> Error {
        self.message = format!("{name}: {}", self.message);
        self
    }

    pub(crate) fn template(message: impl Into<String>) -> Error {
        Error::new(Kind::Template, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Error {
        Error::new(Kind::Limit, message)
    }

    pub(crate) fn action(message: impl Into<String>) -> Error {
        Error::new(Kind::Action, message)
    }
}

/// A node failed and nothing was told to handle it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", with_hint(&format!("node {node}: {}", cause.message), &cause.hint))]
pub struct Failure {
    /// The name of the node, or `__start__` where the run's first edges failed.
    pub node: String,
    /// The action as written, `run`, `while_loop`, or nothing where routing failed.
    pub action: String,
    /// What went wrong.
    pub cause: Error,
    /// How often the node was tried again.
    pub retry_count: u64,
}

/// Why a run ended without a final state.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// A node failed.
    #[error(transparent)]
    Node(#[from] Failure),
    /// The run could not start: a template in the settings, or the input.
    #[error(transparent)]
    Setup(#[from] Error),
}

impl RunError {
    /// What went wrong, in a node or before the first one.
    #[must_use]
    pub fn cause(&self) -> &Error {
        match self {
            RunError::Node(failure) => &failure.cause,
            RunError::Setup(error) => error,
        }
    }

    /// The exit code of a program that stops because of it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.cause().kind.exit_code()
    }
}

fn with_hint(message: &str, hint: &str) -> String {
    if hint.is_empty() {
        one_line(message)
    } else {
        one_line(&format!("{message} ({hint})"))
    }
}

fn one_line(text: &str) -> String {
    text.split(crate::value::text::is_space)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
