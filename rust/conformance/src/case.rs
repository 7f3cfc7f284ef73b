//! Conformance cases: one YAML file each.

use std::fs;
use std::path::{Path, PathBuf};

use tea_core::document;
use tea_core::value::{Map, Value};

/// The name of the engine of the Rust program in the cases.
pub const ENGINE: &str = "rust";
/// The name of the engine in a page.
pub const PAGE: &str = "browser";

/// One case. `name` is its path below cases/ without the ending: group/name.
#[derive(Debug, Clone)]
pub struct Case {
    /// Group and name.
    pub name: String,
    /// The whole case.
    pub data: Map,
}

impl Case {
    /// What must come of it.
    #[must_use]
    pub fn expect(&self) -> &Map {
        map(&self.data, "expect")
    }

    /// Whether the case is meant for this engine.
    #[must_use]
    pub fn runs_on(&self, engine: &str) -> bool {
        match self.data.get("runs_on").and_then(Value::as_list) {
            Some(engines) => engines.iter().any(|each| each.as_text() == Some(engine)),
            None => true,
        }
    }

    /// Whether the case runs the program.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.data.contains_key("command")
    }

    /// The node whose code this engine must refuse at load.
    #[must_use]
    pub fn refused_node(&self, engine: &str) -> Option<&str> {
        text(map(map(&self.data, "refused_by"), engine), "node")
    }
}

/// The map of `key`; empty where there is none.
#[must_use]
pub fn map<'m>(map: &'m Map, key: &str) -> &'m Map {
    static EMPTY: std::sync::OnceLock<Map> = std::sync::OnceLock::new();
    map.get(key).and_then(Value::as_map).unwrap_or_else(|| EMPTY.get_or_init(Map::new))
}

/// The list of `key`; empty where there is none.
#[must_use]
pub fn list<'m>(map: &'m Map, key: &str) -> &'m [Value] {
    map.get(key).and_then(Value::as_list).unwrap_or_default()
}

/// The text of `key`.
#[must_use]
pub fn text<'m>(map: &'m Map, key: &str) -> Option<&'m str> {
    map.get(key).and_then(Value::as_text)
}

/// The texts in the list of `key`.
#[must_use]
pub fn texts<'m>(map: &'m Map, key: &str) -> Vec<&'m str> {
    list(map, key).iter().filter_map(Value::as_text).collect()
}

/// Every case, by name.
///
/// # Errors
/// The file that cannot be read, or is no YAML mapping.
pub fn load_cases() -> Result<Vec<Case>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/cases");
    let mut files = Vec::new();
    collect(&folder, &mut files)?;
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let wrong = |reason: String| format!("{}: {reason}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
        let data = document::parse(&text, "case").map_err(|error| wrong(error.to_string()))?;
        let Value::Map(data) = data.plain() else { return Err(wrong("no mapping".into())) };
        let name = file.strip_prefix(&folder).unwrap_or(&file).with_extension("");
        cases.push(Case { name: name.display().to_string(), data: (*data).clone() });
    }
    Ok(cases)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let shown = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(shown)? {
        let path = entry.map_err(shown)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}
