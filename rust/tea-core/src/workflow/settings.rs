//! The `settings` of a workflow file: checked when loaded, rendered and checked when run.

use crate::errors::Error;
use crate::spec;
use crate::template::{Scope, ValueTree, SETTINGS_SCOPES};
use crate::value::{Map, Value};
use crate::workflow::diagnostics::Diagnostics;
use crate::workflow::model::Entries;
use crate::yaml::document::Mapping;

/// Read and check settings; strings become templates over `env` and `variables`.
pub(crate) fn read(table: Option<&Mapping>, diagnostics: &mut Diagnostics) -> Entries {
    let Some(table) = table else { return Vec::new() };
    diagnostics.keys(table, &spec::SETTINGS);
    for (key, level) in [("llm", &spec::LLM), ("error_handling", &spec::ERROR_HANDLING)] {
        if let Some(part) = diagnostics.table(table, key) {
            diagnostics.keys(part, level);
        }
    }
    let mut tree = Vec::new();
    for entry in table.iter().filter(|entry| spec::SETTINGS.knows(&entry.key)) {
        let is_part = matches!(&*entry.key, "llm" | "error_handling");
        if is_part && !matches!(entry.value.kind, crate::yaml::document::NodeKind::Mapping(_)) {
            continue;
        }
        let compiled = ValueTree::compile(&entry.value, SETTINGS_SCOPES, &mut |node, error| {
            diagnostics.error(node, error);
        });
        tree.push((entry.key.clone(), compiled));
    }
    for (path, message) in problems(&without_templates(&tree)) {
        let mut place = None;
        let mut level = Some(table);
        for key in path {
            let node = level.and_then(|table| table.get(key));
            level = node.and_then(|node| match &node.kind {
                crate::yaml::document::NodeKind::Mapping(table) => Some(table),
                _ => None,
            });
            place = node.map(|node| node.place.clone()).or(place);
        }
        if let Some(place) = place {
            diagnostics.problem(&place, message, "");
        }
    }
    tree
}

/// Render settings over `env` and `variables`; a value that is null is left out,
/// but for those that an API is then not sent.
///
/// # Errors
/// `TemplateError`: a template cannot be computed, or gives what the key does not take.
pub(crate) fn render(tree: &Entries, scope: &Scope) -> Result<Map, Error> {
    let within = |error: Error, path: &str| error.within(&format!("settings.{path}"));
    let mut settings = Map::new();
    for (key, part) in tree {
        let value = match part {
            ValueTree::Map(entries) => {
                let mut values = Map::new();
                for (name, item) in entries {
                    let path = format!("{key}.{name}");
                    let value = item.render(scope).map_err(|error| within(error, &path))?;
                    let says_null = &**key == "llm" && spec::SENT.contains(&&**name);
                    if says_null || !matches!(value, Value::Null) {
                        values.insert(name.clone(), value);
                    }
                }
                Value::map(values)
            }
            part => part.render(scope).map_err(|error| within(error, key))?,
        };
        if !matches!(value, Value::Null) {
            settings.insert(key.clone(), value);
        }
    }
    if let Some((path, message)) = problems(&settings).into_iter().next() {
        let outer = path[..path.len() - 1]
            .iter()
            .fold("settings".into(), |all: String, key| format!("{all}.{key}"));
        return Err(Error::template(format!("{outer}: {message}")));
    }
    Ok(settings)
}

/// The path and the message of each value that its key does not take.
fn problems(settings: &Map) -> Vec<(Vec<&str>, String)> {
    let mut found = Vec::new();
    let part = |key: &str| settings.get(key).and_then(Value::as_map);
    for (key, message) in part("llm").into_iter().flat_map(|llm| spec::LLM.known.problems(llm)) {
        found.push((vec!["llm", key], message));
    }
    for (key, value) in part("error_handling").into_iter().flatten() {
        let of = spec::ERROR_HANDLING.known.get(key);
        if let Some(wrong) = of.and_then(|of| of.wrong(value)) {
            found.push((vec!["error_handling", &**key], format!("{key}: {wrong}")));
        }
    }
    let of = spec::SETTINGS.known.get("max_iterations");
    if let (Some(of), Some(limit)) = (of, settings.get("max_iterations")) {
        if let Some(wrong) = of.wrong(limit) {
            found.push((vec!["max_iterations"], format!("max_iterations: {wrong}")));
        }
    }
    found
}

/// What of the settings is known before they are rendered.
fn without_templates(tree: &Entries) -> Map {
    let mut known = Map::new();
    for (key, part) in tree {
        match part {
            ValueTree::Map(entries) => {
                let values = entries
                    .iter()
                    .filter_map(|(name, item)| item.fixed().map(|value| (name.clone(), value)));
                known.insert(key.clone(), Value::map(values.collect()));
            }
            part => known.extend(part.fixed().map(|value| (key.clone(), value))),
        }
    }
    known
}

/// `error_handling.fallback` where it is written without a template.
pub(crate) fn fixed_fallback(tree: &Entries) -> Option<String> {
    let (_, part) = tree.iter().find(|(key, _)| &**key == "error_handling")?;
    let ValueTree::Map(entries) = part else { return None };
    let (_, fallback) = entries.iter().find(|(key, _)| &**key == "fallback")?;
    match fallback {
        ValueTree::Fixed(Value::Text(name)) => Some(name.to_string()),
        _ => None,
    }
}
