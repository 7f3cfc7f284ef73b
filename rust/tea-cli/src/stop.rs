//! Stopping in good order: Ctrl-C, SIGTERM, and output that cannot be written.
//!
//! What takes long and can stop asks `is_requested`, inside `cancellable`; elsewhere, or when it
//! has not stopped soon, the program ends as it is. A second signal has the system's default action.
//! Only the exit code tells the causes apart.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use tea_core::errors::{Error, Kind};
use tea_core::spec;

/// As shells count: 128 and the number of the signal.
pub const INTERRUPTED: u8 = spec::EXIT_INTERRUPTED;
/// Ended by SIGTERM.
pub const TERMINATED: u8 = spec::EXIT_TERMINATED;
/// The reader of the output went away. What cannot be written otherwise is `EXIT_OUTPUT`.
pub const BROKEN_PIPE: u8 = spec::EXIT_READER_GONE;

/// How long whoever asks may take to stop.
const PATIENCE: Duration = Duration::from_millis(600);

static REQUESTED: AtomicU8 = AtomicU8::new(0);
static SIGNALS: AtomicUsize = AtomicUsize::new(0); // that came so far
static ASKING: AtomicUsize = AtomicUsize::new(0);
static PROMPTING: AtomicBool = AtomicBool::new(false);

/// Take the signals over. `before_exit` is called before one of them ends the program at once,
/// `at_prompt` when Ctrl-C is pressed while a line is read.
///
/// # Errors
/// The system refuses.
pub fn install(
    before_exit: impl Fn() + Send + Sync + 'static,
    at_prompt: impl Fn() + Send + 'static,
) -> std::io::Result<()> {
    // A file that may not grow any more is an error of writing, and not the end of the program.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))?;
    let before_exit: Arc<dyn Fn() + Send + Sync> = Arc::new(before_exit);
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).stack_size(64 * 1024).spawn(move || {
        for signal in signals.forever() {
            if is_requested() {
                before_exit();
                let _ = low_level::emulate_default_handler(signal);
            }
            let count = SIGNALS.fetch_add(1, Ordering::SeqCst) + 1;
            match signal {
                SIGINT if PROMPTING.load(Ordering::SeqCst) => at_prompt(),
                SIGINT => leave_with(INTERRUPTED, &*before_exit),
                _ => leave_with(TERMINATED, &*before_exit),
            }
            end_soon(count, before_exit.clone());
        }
    })?;
    Ok(())
}

/// End the program when what the signal number `count` asked to stop still runs.
fn end_soon(count: usize, before_exit: Arc<dyn Fn() + Send + Sync>) {
    let watch = move || {
        thread::sleep(PATIENCE);
        if is_requested() && SIGNALS.load(Ordering::SeqCst) == count {
            before_exit();
            low_level::exit(i32::from(exit_code()));
        }
    };
    let watcher = thread::Builder::new().name("end".into()).stack_size(64 * 1024);
    if watcher.spawn(watch).is_err() && is_requested() {
        low_level::exit(i32::from(exit_code()));
    }
}

/// While it lives, a stop is noticed by whoever asks `is_requested`, and ends nothing at once.
#[must_use]
pub struct CancelGuard(());

/// Begin to ask often enough.
pub fn cancel_guard() -> CancelGuard {
    ASKING.fetch_add(1, Ordering::SeqCst);
    CancelGuard(())
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        ASKING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Run `work`, which asks `is_requested` often enough.
pub fn cancellable<T>(work: impl FnOnce() -> T) -> T {
    let _guard = cancel_guard();
    work()
}

/// Run `work`, which reads a line: a Ctrl-C there, or just before, ends nothing, and SIGTERM ends
/// the program at once.
pub fn while_prompting<T>(work: impl FnOnce() -> T) -> T {
    PROMPTING.store(true, Ordering::SeqCst);
    if must_leave() {
        leave(exit_code());
    }
    forget_interrupt();
    let result = work();
    PROMPTING.store(false, Ordering::SeqCst);
    result
}

/// End the program with `code`: at once, or when whoever computes has stopped.
pub fn leave(code: u8) {
    leave_with(code, &|| ());
}

fn leave_with(code: u8, before_exit: &dyn Fn()) {
    let _ = REQUESTED.compare_exchange(0, code, Ordering::SeqCst, Ordering::SeqCst);
    if ASKING.load(Ordering::SeqCst) == 0 || PROMPTING.load(Ordering::SeqCst) {
        before_exit();
        std::process::exit(i32::from(exit_code()));
    }
}

/// Whether a stop was asked for.
#[must_use]
pub fn is_requested() -> bool {
    REQUESTED.load(Ordering::Relaxed) != 0
}

/// The exit code of a program that was stopped.
#[must_use]
pub fn exit_code() -> u8 {
    match REQUESTED.load(Ordering::SeqCst) {
        0 => INTERRUPTED,
        code => code,
    }
}

/// Whether it was more than a Ctrl-C, which a conversation survives.
#[must_use]
pub fn must_leave() -> bool {
    ![0, INTERRUPTED].contains(&REQUESTED.load(Ordering::SeqCst))
}

/// Let the next computation run after a Ctrl-C.
pub fn forget_interrupt() {
    let _ = REQUESTED.compare_exchange(INTERRUPTED, 0, Ordering::SeqCst, Ordering::SeqCst);
}

/// Go on only if no stop was asked for.
///
/// # Errors
/// `Interrupted`.
pub fn check() -> Result<(), Error> {
    if is_requested() {
        return Err(Error::new(Kind::Interrupted, "the run was stopped"));
    }
    Ok(())
}
