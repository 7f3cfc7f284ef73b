//! llama.cpp's own log: its errors are kept, all of it is shown when asked for.

use std::collections::VecDeque;
use std::ffi::{c_char, c_void, CStr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bindings::{
    ggml_log_level, ggml_log_level_GGML_LOG_LEVEL_CONT, ggml_log_level_GGML_LOG_LEVEL_ERROR,
    ggml_log_level_GGML_LOG_LEVEL_INFO,
};

const KEPT: usize = 10;

struct Log {
    shown: bool,
    level: ggml_log_level,
    errors: VecDeque<String>,
}

static LOG: Mutex<Log> = Mutex::new(Log { shown: false, level: 0, errors: VecDeque::new() });

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Show the log on stderr from now on.
pub fn show() {
    log().shown = true;
}

/// The latest error line; all of them are forgotten.
pub fn last_error() -> String {
    let mut log = log();
    let text = log.errors.back().map(|line| line.trim().to_string()).unwrap_or_default();
    log.errors.clear();
    text
}

/// What llama.cpp calls with each piece of its log.
pub extern "C" fn on_log(level: ggml_log_level, text: *const c_char, _data: *mut c_void) {
    // SAFETY: llama.cpp hands over a text that ends with zero and lives until this returns.
    let line = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let mut log = log();
    if level != ggml_log_level_GGML_LOG_LEVEL_CONT {
        log.level = level;
    }
    if log.level >= ggml_log_level_GGML_LOG_LEVEL_ERROR {
        if log.errors.len() == KEPT {
            log.errors.pop_front();
        }
        log.errors.push_back(line.to_string());
    }
    if log.shown && log.level >= ggml_log_level_GGML_LOG_LEVEL_INFO {
        eprint!("{line}");
    }
}
