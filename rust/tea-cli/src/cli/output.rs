//! What goes to stdout and stderr.

use std::fs::File;
use std::io::{ErrorKind, Write};

use tea_core::secrets::hide;

use crate::stop;

/// Write a line for people to stderr.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", hide(text));
}

/// Write a piece of the result to stdout at once.
///
/// A reader that has gone away stops the program; what cannot be written otherwise is lost, as
/// there is nobody to tell.
pub fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if written.is_err_and(|error| error.kind() == ErrorKind::BrokenPipe) {
        // What is still to be written goes to nowhere, so that it gives no further error.
        if let Ok(nowhere) = File::options().write(true).open("/dev/null") {
            let _ = rustix::stdio::dup2_stdout(nowhere);
        }
        stop::leave(stop::BROKEN_PIPE);
    }
}
