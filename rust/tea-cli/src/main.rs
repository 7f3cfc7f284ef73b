//! The program `tea`: runs workflows and chats, with a local model or an API.

mod cli;
mod files;
mod llama;
mod llm;
mod random;
mod stop;
mod streams;
#[cfg(test)]
mod testing;
mod text;

use std::ffi::OsString;
use std::process::ExitCode;

/// An error inside the program, as sysexits.h has it.
const EXIT_BUG: i32 = 70;

fn main() -> ExitCode {
    explain_panics();
    llama::model_file::take();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    ExitCode::from(cli::main(&arguments))
}

/// A panic is a mistake in this program: say so, and end with a code of its own.
fn explain_panics() {
    let trace = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if std::env::var_os("TEA_TRACEBACK").is_some() {
            trace(panic);
        } else {
            streams::say(&format!("tea: internal error: {panic}"));
            streams::say("     this is a mistake in tea; TEA_TRACEBACK=1 shows where");
        }
        std::process::exit(EXIT_BUG);
    }));
}
