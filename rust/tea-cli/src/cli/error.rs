//! What ends a command: printed in one place, with an exit code for each kind.

use tea_core::errors::{Error, InvalidFile, Kind, RunError};
use tea_core::spec::{EXIT_OUTPUT, EXIT_USAGE};

use crate::{stop, streams};

/// Why a command did not end well.
#[derive(Debug)]
pub enum Failure {
    /// The command line asks for something that cannot be: what, and what to do.
    Usage(String, String),
    /// The workflow file is wrong.
    Invalid(InvalidFile),
    /// A model, an API or a file.
    Engine(Error),
    /// The workflow failed.
    Run(RunError),
    /// The result cannot be written to the file that was named for it.
    Output(String),
}

impl Failure {
    /// Wrong usage without a hint.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::Usage(message.into(), String::new())
    }

    /// Print what happened, then what to do, to stderr; returns the exit code.
    pub fn report(&self) -> u8 {
        match self {
            Failure::Usage(message, hint) => {
                say(message, hint);
                EXIT_USAGE
            }
            Failure::Invalid(invalid) => {
                for problem in &invalid.problems {
                    streams::say(&problem.to_string());
                }
                InvalidFile::EXIT_CODE
            }
            Failure::Output(message) => {
                say(message, "");
                EXIT_OUTPUT
            }
            Failure::Engine(error) => report(error, &error.message),
            Failure::Run(RunError::Setup(error)) => report(error, &error.message),
            Failure::Run(RunError::Node(failed)) => {
                let cause = &failed.cause;
                report(cause, &format!("node {}: {}", failed.node, cause.message))
            }
        }
    }
}

fn report(error: &Error, message: &str) -> u8 {
    if error.kind == Kind::Interrupted {
        return stop::exit_code();
    }
    say(message, &error.hint);
    error.kind.exit_code()
}

fn say(message: &str, hint: &str) {
    streams::say(&format!("tea: {message}"));
    if !hint.is_empty() {
        streams::say(&format!("     {hint}"));
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Engine(error)
    }
}

impl From<InvalidFile> for Failure {
    fn from(error: InvalidFile) -> Failure {
        Failure::Invalid(error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        Failure::Run(error)
    }
}
