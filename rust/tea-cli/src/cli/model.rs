//! `tea model`: which model would be used, and what it is.

use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{NO_MODEL, NO_MODEL_HINT};
use tea_core::llm::model_path::Found;
use tea_core::value::json;
use tea_core::value::{Map, Value};

use super::arguments::ModelOptions;
use super::error::Failure;
use super::{registry, values};
use crate::llama;
use crate::llm::gguf::{self, Gguf};
use crate::llm::local::{context_size, LocalOptions};
use crate::llm::memory::{self, LowMemory};
use crate::llm::threads::default_threads;
use crate::llm::verify::verify;
use crate::streams;
use crate::text::grouped;

/// Print the facts of the model that would be used; nothing of it is loaded.
///
/// # Errors
/// `ModelError`: there is none, or it is not usable; with `verify`: it is damaged, or nothing is
/// known of what it should be.
pub fn model_command(
    options: &ModelOptions,
    as_json: bool,
    with_digest: bool,
) -> Result<u8, Failure> {
    let found = registry::find(options.gguf.as_deref(), &values::environment(), None)?;
    let found = found.ok_or_else(|| Error::new(Kind::Model, NO_MODEL).hint(NO_MODEL_HINT))?;
    if options.verbose {
        llama::show_log();
    }
    let facts = if with_digest {
        vec![("path", path(&found)), ("sha256", Value::text(verify(&found)?))]
    } else {
        facts(&found, LocalOptions::from_settings(&Map::new(), options.low_memory))?
    };
    if as_json {
        let map: Map = facts.into_iter().map(|(key, value)| (key.into(), value)).collect();
        streams::answer(&(json::write(&Value::Map(map.into()), Some(2)) + "\n"));
        return Ok(0);
    }
    let width = facts.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in &facts {
        let shown = match value {
            Value::Int(number) => grouped(number),
            other => other.as_text().unwrap_or("none").to_string(),
        };
        streams::answer(&format!("{:width$}  {shown}\n", key.replace('_', " ")));
    }
    Ok(0)
}

fn path(found: &Found) -> Value {
    Value::text(found.path.to_string_lossy())
}

/// What is printed. Sizes in bytes, contexts in tokens.
fn facts(found: &Found, options: LocalOptions) -> Result<Vec<(&'static str, Value)>, Error> {
    let head = gguf::read(&found.path, found.extent)?;
    let trained = head.context_length();
    let n_ctx = context_size(found, options, trained);
    let named = |text: &str| if text.is_empty() { Value::Null } else { Value::text(text) };
    let template = match (head.chat_template(), &found.chat_template) {
        (Some(_), _) => "its own".into(),
        (None, Some(_)) => "the bundle's".into(),
        (None, None) => Value::Null,
    };
    let (backend, repacked) = match llama::load() {
        Ok(library) => (library.cpu_backend(), llama::repacked(library, memory::multiplied(&head))),
        Err(error) => (format!("none: {}", error.message), 0),
    };
    let mut facts = vec![
        ("path", path(found)),
        ("found_by", found.source.into()),
        ("read", if found.extent.is_some() { "in place" } else { "as a file" }.into()),
        ("offset", number(found.extent.map(|extent| extent.offset))),
        ("name", Value::text(head.name())),
        ("architecture", named(head.architecture())),
        ("parameters", Value::Int(head.parameters)),
        ("size", number(Some(head.size))),
        ("trained_context", number(trained)),
        ("context", number(Some(n_ctx))),
        ("chat_template", template),
        ("threads", number(Some(default_threads()))),
        ("cpu_backend", backend.into()),
    ];
    facts.extend(memory_facts(&head, options, n_ctx, repacked));
    Ok(facts)
}

fn memory_facts(
    head: &Gguf,
    options: LocalOptions,
    n_ctx: u32,
    repacked: u64,
) -> [(&'static str, Value); 7] {
    let wanted = memory::Use { n_ctx, cache_type: options.cache_type, batch: memory::BATCH };
    let (needed, free) = (memory::need(head, wanted, repacked), memory::available());
    let mut repack = options.low_memory != LowMemory::Yes && repacked > 0;
    let mut fits = None;
    if let (Some(needed), Some(free)) = (needed, free) {
        repack &= needed.with(true) <= free.memory;
        fits = memory::largest_context(needed, free, n_ctx, repack);
    }
    [
        ("weights", if repack { "repacked" } else { "as they are" }.into()),
        ("memory_repacked", number(needed.map(|need| need.repacked))),
        ("memory_cache", number(needed.map(|need| need.cache))),
        ("memory_compute", number(needed.map(|need| need.compute))),
        ("memory_program", number(needed.map(|need| need.program))),
        ("memory_free", number(free.map(|free| free.memory))),
        ("context_that_fits", number(fits)),
    ]
}

fn number(value: Option<impl Into<i128>>) -> Value {
    value.map_or(Value::Null, |number| Value::Int(number.into()))
}
