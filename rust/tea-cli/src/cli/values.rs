//! Values and files that the command line names.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use tea_core::value::json;
use tea_core::value::{Map, Value};
use tea_core::workflow::overlays::merged;
use tea_core::yaml::document::Node;

use super::error::Failure;
use crate::text::reason;

/// Names standard input.
pub const STDIN: &str = "-";

/// The text of the file `name`, or of standard input for `-`.
///
/// # Errors
/// `Usage`: it cannot be read, or is not UTF-8.
pub fn read_text(name: &OsStr) -> Result<String, Failure> {
    read_start(name, None)
}

/// What a workflow file says, with the files `overlays` laid over it in turn.
///
/// # Errors
/// `Usage`: one of them cannot be read; `Invalid`: they are not YAML, or do not fit each other.
pub fn read_workflow(name: &OsStr, overlays: &[OsString]) -> Result<Rc<Node>, Failure> {
    let text = read_text(name)?;
    let over = overlays.iter().map(|each| Ok((read_text(each)?, each.to_string_lossy().into())));
    let over = over.collect::<Result<Vec<(String, String)>, Failure>>()?;
    Ok(merged(&text, &name.to_string_lossy(), &over)?)
}

/// As `read_text`, of something that may have no end.
///
/// # Errors
/// `Usage`: see `read_text`; or it has more than `limit` bytes.
pub fn read_start(name: &OsStr, limit: Option<usize>) -> Result<String, Failure> {
    let from_stdin = name == STDIN;
    let shown = if from_stdin { "standard input".into() } else { name.to_string_lossy() };
    let mut data = Vec::new();
    let most = limit.map_or(u64::MAX, |limit| limit as u64 + 1);
    let read = if from_stdin {
        io::stdin().take(most).read_to_end(&mut data)
    } else {
        File::open(name).and_then(|file| file.take(most).read_to_end(&mut data))
    };
    read.map_err(|error| Failure::usage(format!("{shown} cannot be read: {}", reason(&error))))?;
    if let Some(limit) = limit.filter(|limit| data.len() > *limit) {
        let hint = "ask about a part of it";
        return Err(Failure::Usage(format!("{shown} has more than {limit} bytes"), hint.into()));
    }
    let data = data.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::to_vec).unwrap_or(data);
    String::from_utf8(data).map_err(|error| {
        let byte = error.utf8_error().valid_up_to();
        Failure::usage(format!("{shown} is not UTF-8: byte {byte} does not fit"))
    })
}

/// The map that `JSON` or `@FILE` gives; an empty one where nothing is given.
///
/// # Errors
/// `Usage`: the file cannot be read, or the text is not a JSON map.
pub fn json_map(option: &str, text: Option<&OsStr>) -> Result<Map, Failure> {
    let Some(text) = text else { return Ok(Map::new()) };
    let (source, text) = match text.as_bytes().strip_prefix(b"@") {
        Some(file) => {
            let source = format!("{option} {}", text.to_string_lossy());
            (source, read_text(OsStr::from_bytes(file))?)
        }
        None => (option.to_string(), text.to_string_lossy().into_owned()),
    };
    let value = json::read(&text)
        .map_err(|error| Failure::usage(format!("{source} is not JSON: {error}")))?;
    match value {
        Value::Map(map) => Ok(Arc::unwrap_or_clone(map)),
        _ => Err(Failure::usage(format!(
            "{source} must be a JSON map, such as {{\"question\": \"Why?\"}}"
        ))),
    }
}

/// The secrets of `--secrets`, and over them those of `--secrets-env`.
///
/// A variable's name loses the prefix and becomes lower case: PREFIX_API_KEY is `secrets.api_key`.
///
/// # Errors
/// `Usage`: see `json_map`; or the prefix is empty.
pub fn secrets(option: Option<&OsStr>, prefix: Option<&str>, env: &Map) -> Result<Map, Failure> {
    let mut values = json_map("--secrets", option)?;
    let Some(prefix) = prefix else { return Ok(values) };
    if prefix.is_empty() {
        let message = "--secrets-env needs a prefix; an empty one would take every variable";
        return Err(Failure::usage(message));
    }
    for (name, value) in env {
        if let Some(rest) = name.strip_prefix(prefix).filter(|rest| !rest.is_empty()) {
            values.insert(rest.to_lowercase().into(), value.clone());
        }
    }
    Ok(values)
}

/// The environment; what is not UTF-8 in it gets marks.
#[must_use]
pub fn environment() -> Map {
    let text = |part: OsString| part.to_string_lossy().into_owned();
    std::env::vars_os().map(|(name, value)| (text(name).into(), text(value).into())).collect()
}

/// Whether standard input is a file or a pipe, and no terminal or other device.
pub fn is_piped() -> bool {
    Path::new("/proc/self/fd/0").metadata().is_ok_and(|facts| !facts.file_type().is_char_device())
}
