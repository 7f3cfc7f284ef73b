//! llama.cpp's own log: its errors are kept, all of it is shown when asked for.

use std::ffi::{c_char, c_void, CStr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bindings::{
    ggml_log_level, ggml_log_level_GGML_LOG_LEVEL_CONT, ggml_log_level_GGML_LOG_LEVEL_ERROR,
    ggml_log_level_GGML_LOG_LEVEL_INFO,
};
use crate::streams;

const KEPT: usize = 10;

struct Log {
    shown: bool,
    level: ggml_log_level,
    errors: Vec<String>,
}

static LOG: Mutex<Log> = Mutex::new(Log { shown: false, level: 0, errors: Vec::new() });

fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Show the log on stderr from now on.
pub fn show() {
    log().shown = true;
}

/// Forget the errors so far: a failure from now on has another reason.
pub fn clear_errors() {
    log().errors.clear();
}

/// The reason of a failure: the first error line, since those after it only report it upwards.
pub fn reason() -> String {
    let text = log().errors.concat();
    let mut line = match text.trim().lines().next() {
        Some(line) => line,
        None => return "it gives no reason".into(),
    };
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == '_');
    while let Some((_, rest)) = line.split_once(": ").filter(|(start, _)| is_name(start)) {
        line = rest;
    }
    line.strip_prefix("error loading model: ").unwrap_or(line).into()
}

/// What llama.cpp calls with each piece of its log.
pub extern "C" fn on_log(level: ggml_log_level, text: *const c_char, _data: *mut c_void) {
    // SAFETY: llama.cpp hands over a text that ends with zero and lives until this returns.
    let line = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    let mut log = log();
    if level != ggml_log_level_GGML_LOG_LEVEL_CONT {
        log.level = level;
    }
    if log.level >= ggml_log_level_GGML_LOG_LEVEL_ERROR && log.errors.len() < KEPT {
        log.errors.push(line.to_string());
    }
    if log.shown && log.level >= ggml_log_level_GGML_LOG_LEVEL_INFO {
        streams::log(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::null_mut;

    #[test]
    fn the_reason_of_a_failure_is_its_first_error_line() {
        let say = |text: &CStr| {
            on_log(ggml_log_level_GGML_LOG_LEVEL_ERROR, text.as_ptr(), null_mut());
        };
        say(c"load_backend: an older error\n");
        clear_errors();
        assert_eq!(reason(), "it gives no reason");
        say(c"llama_model_load: error loading model: unknown model ");
        say(c"architecture: 'gpt5'\n");
        say(c"llama_model_load_from_file_impl: failed to load model\n");
        assert_eq!(reason(), "unknown model architecture: 'gpt5'");
    }
}
