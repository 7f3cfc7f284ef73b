//! `tea model`: which model would be used, and what it is.

use std::ffi::OsStr;

use tea_core::errors::{Error, Kind};
use tea_core::json;
use tea_core::llm::backend::{NO_MODEL, NO_MODEL_HINT};
use tea_core::llm::model_path::Found;
use tea_core::value::Value;

use super::error::Failure;
use super::{output, registry, values};
use crate::llama;
use crate::llm::gguf;
use crate::llm::local::{context_size, LocalOptions};
use crate::llm::threads::default_threads;
use crate::text::grouped;

/// Print the facts of the model that would be used; nothing of it is loaded.
///
/// # Errors
/// `ModelError`: there is none, or it is not usable.
pub fn model_command(gguf: Option<&OsStr>, as_json: bool, verbose: bool) -> Result<u8, Failure> {
    let found = registry::find(gguf, &values::environment(), None)?;
    let found = found.ok_or_else(|| Error::new(Kind::Model, NO_MODEL).hint(NO_MODEL_HINT))?;
    if verbose {
        llama::show_log();
    }
    let facts = facts(&found)?;
    if as_json {
        output::answer(&(json::write(&Value::record(facts), Some(2)) + "\n"));
        return Ok(0);
    }
    let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in &facts {
        let shown = match value {
            Value::Int(number) => grouped(number),
            other => other.as_text().unwrap_or("none").to_string(),
        };
        output::answer(&format!("{:width$}  {shown}\n", key.replace('_', " ")));
    }
    Ok(0)
}

/// What is printed. Sizes in bytes, contexts in tokens.
fn facts(found: &Found) -> Result<[(&'static str, Value); 11], Error> {
    let head = gguf::read(&found.path)?;
    let trained = head.context_length();
    let count = |number: u32| Value::Int(number.into());
    let named = |text: &str| if text.is_empty() { Value::Null } else { Value::text(text) };
    let template = match (head.chat_template(), &found.chat_template) {
        (Some(_), _) => "its own".into(),
        (None, Some(_)) => "the bundle's".into(),
        (None, None) => Value::Null,
    };
    Ok([
        ("path", Value::text(found.path.to_string_lossy())),
        ("found_by", found.source.into()),
        ("name", Value::text(head.name())),
        ("architecture", named(head.architecture())),
        ("parameters", Value::Int(head.parameters)),
        ("size", Value::Int(head.size.into())),
        ("trained_context", trained.map_or(Value::Null, count)),
        ("context", count(context_size(found, LocalOptions::default(), trained))),
        ("chat_template", template),
        ("threads", count(default_threads())),
        ("cpu_backend", cpu_backend().into()),
    ])
}

fn cpu_backend() -> String {
    match llama::load() {
        Ok(library) => library.cpu_backend(),
        Err(error) => format!("none: {}", error.message),
    }
}
