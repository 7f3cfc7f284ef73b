//! The command line: one module a command. `run` is the only place that prints errors.

mod arguments;
mod chat;
mod error;
mod model;
mod registry;
mod run;
mod target;
mod validate;
mod values;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, IsTerminal};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::termios::{tcgetattr, tcsetattr, OptionalActions};

use self::arguments::{Command, FactsOptions, ModelOptions};
use self::error::Failure;
use crate::{llama, stop, streams};

const VERSION: &str = concat!("tea ", env!("CARGO_PKG_VERSION"));

/// Run one command line; returns the exit code.
#[must_use]
pub fn main(arguments: &[OsString]) -> u8 {
    if let Err(error) = take_signals() {
        streams::say(&format!("tea: signals cannot be handled: {error}"));
    }
    let code = dispatch(arguments).unwrap_or_else(|failure| failure.report());
    if stop::is_requested() {
        return stop::exit_code();
    }
    streams::exit_code(code)
}

/// A conversation puts the terminal into a mode of its own, which must not outlive the program.
fn take_signals() -> io::Result<()> {
    let terminal = tcgetattr(io::stdin()).ok();
    let restore = move || {
        if let Some(mode) = &terminal {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, mode);
        }
    };
    stop::install(restore, || streams::answer(&format!("\n{}", chat::PROMPT)))
}

fn dispatch(arguments: &[OsString]) -> Result<u8, Failure> {
    if arguments.is_empty() && io::stdin().is_terminal() {
        return chat::chat_command(&arguments::ChatOptions::default());
    }
    let given = match arguments::read(arguments) {
        Ok(given) => given,
        Err(error) => return Ok(arguments::report(&error, arguments)),
    };
    match given.command {
        Some(Command::Run(options)) => run::run_command(&options),
        Some(Command::Validate(options)) => validate::validate_command(&options),
        Some(Command::Chat(options)) => chat::chat_command(&options),
        Some(Command::Model(options)) => {
            let FactsOptions { json, verify, gguf, low_memory, verbose } = options;
            let model = ModelOptions { gguf, low_memory, verbose, backend: None };
            model::model_command(&model, json, verify)
        }
        None if given.version || given.implementation => {
            streams::answer(&version_line(given.version, given.implementation));
            if given.verbose {
                streams::answer(&format!("CPU backend: {}\n", llama::load()?.cpu_backend()));
                streams::answer(&format!("libraries: {}\n", llama::library_directory()?.display()));
            }
            Ok(0)
        }
        None => {
            let hint = "see tea --help, or chat with tea chat";
            Err(Failure::Usage("no command".into(), hint.into()))
        }
    }
}

fn version_line(version: bool, implementation: bool) -> String {
    match (version, implementation) {
        (true, true) => format!("{VERSION} (rust)\n"),
        (true, false) => format!("{VERSION}\n"),
        _ => "rust\n".into(),
    }
}

/// Wakes the thread that waits in `block_on`.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// How long a Ctrl-C and a time that runs out may go unnoticed.
const LOOK: Duration = Duration::from_millis(50);

/// The result of `work`. This thread sleeps while another one computes for it.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut context) {
            return result;
        }
        thread::park_timeout(LOOK);
    }
}
