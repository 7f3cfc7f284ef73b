//! The standard streams: the result on stdout, what people are to know on stderr.
//!
//! What cannot be written is an exit code: 74 (sysexits.h has it for input and output), or 141
//! where the reader went away.

use std::borrow::Cow;
use std::io::IsTerminal;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use rustix::io::Errno;
use rustix::stdio;
use tea_core::redact::hide;
use tea_core::spec::EXIT_OUTPUT;

use crate::stop;
use crate::text::reason;

/// A stream, and whether nothing more can be written to it.
struct Stream {
    closed: AtomicBool,
    lost: AtomicBool,
    open: fn() -> BorrowedFd<'static>,
}

impl Stream {
    const fn new(open: fn() -> BorrowedFd<'static>) -> Stream {
        Stream { closed: AtomicBool::new(false), lost: AtomicBool::new(false), open }
    }

    /// Write `text`; the standard library's own way takes a closed descriptor for a full success.
    fn write(&self, text: &str) -> Result<(), Errno> {
        if self.lost.load(Ordering::Relaxed) {
            return Ok(()); // it was said once
        }
        if self.closed.load(Ordering::Relaxed) {
            return Err(Errno::BADF);
        }
        let mut left = text.as_bytes();
        while !left.is_empty() {
            match rustix::io::write((self.open)(), left) {
                Ok(count) => left = &left[count..],
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

static OUT: Stream = Stream::new(stdio::stdout);
static ERR: Stream = Stream::new(stdio::stderr);
/// Of a program that ended well and could not say all of it.
static ERR_CODE: AtomicU8 = AtomicU8::new(0);

/// Runs before `main`: Rust's own start puts /dev/null in the place of a stream that is closed, and
/// nobody would see that the result is lost.
#[allow(unsafe_code)] // a section of the program's file is named; the function itself is safe
#[used]
#[link_section = ".init_array"]
static NOTE_CLOSED: extern "C" fn() = note_closed;

extern "C" fn note_closed() {
    for stream in [&OUT, &ERR] {
        let closed = rustix::io::fcntl_getfd((stream.open)()).is_err();
        stream.closed.store(closed, Ordering::Relaxed);
    }
}

/// Write a piece of the result to stdout at once. Where that cannot be, the program is stopped.
pub fn answer(text: &str) {
    let text = shown(std::io::stdout().is_terminal(), text);
    let Err(error) = OUT.write(&text) else { return };
    OUT.lost.store(true, Ordering::Relaxed);
    if error == Errno::PIPE {
        stop::leave(stop::BROKEN_PIPE);
    } else {
        if !stop::is_requested() {
            let why = reason(&error.into());
            say(&format!("tea: standard output cannot be written: {why}"));
        }
        stop::leave(EXIT_OUTPUT);
    }
}

/// Write a line for people to stderr.
pub fn say(text: &str) {
    log(&format!("{}\n", hide(text)));
}

/// Write technical text to stderr as it stands.
pub fn log(text: &str) {
    let text = shown(std::io::stderr().is_terminal(), text);
    if let Err(error) = ERR.write(&text) {
        ERR.lost.store(true, Ordering::Relaxed);
        let code = if error == Errno::PIPE { stop::BROKEN_PIPE } else { EXIT_OUTPUT };
        ERR_CODE.store(code, Ordering::Relaxed);
    }
}

/// The exit code of a program that would end with `code`, had all been written.
#[must_use]
pub fn exit_code(code: u8) -> u8 {
    if code == 0 {
        return ERR_CODE.load(Ordering::Relaxed);
    }
    code
}

/// The text without commands to a terminal, which are shown in the form that JSON has for them.
/// Files and pipes get them as they are.
fn shown(on_terminal: bool, text: &str) -> Cow<'_, str> {
    let is_command = |character: char| character.is_control() && !matches!(character, '\t' | '\n');
    if !on_terminal || !text.contains(is_command) {
        return text.into();
    }
    let mut harmless = String::new();
    for character in text.replace("\r\n", "\n").chars() {
        if is_command(character) {
            harmless.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            harmless.push(character);
        }
    }
    harmless.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_and_files_get_it() {
        let text = "a\tb\u{1b}[2J\u{9b}c\u{7}\r\n\u{7f}";
        assert_eq!(shown(true, text), "a\tb\\u001b[2J\\u009bc\\u0007\n\\u007f");
        assert_eq!(shown(false, text), text);
    }
}
