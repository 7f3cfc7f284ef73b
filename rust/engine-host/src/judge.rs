//! The other side of the lines.

use std::io::{stdin, stdout, Write};
use std::process::exit;
use std::sync::OnceLock;

use tea_core::value::json;
use tea_core::value::{Map, Value};

/// Says and hears one JSON map a line.
pub struct Judge;

impl Judge {
    /// What the judge says; None when there is no more.
    ///
    /// # Errors
    /// A line cannot be read, or is no JSON map.
    pub fn hear(&self) -> Result<Option<Map>, String> {
        let mut line = String::new();
        if stdin().read_line(&mut line).map_err(|error| error.to_string())? == 0 {
            return Ok(None);
        }
        let value = json::read(&line).map_err(|error| format!("{error}: {line}"))?;
        value.as_map().cloned().map(Some).ok_or_else(|| format!("no map: {line}"))
    }

    /// Say one thing. Without a judge there is nothing left to do.
    pub fn say(&self, what: &str, value: &Value) {
        let line = json::write(&Value::record([(what, value.clone())]), None);
        let mut out = stdout().lock();
        if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
            exit(1);
        }
    }

    /// Say what is asked for, and return the answer.
    pub fn ask(&self, what: &str, value: &Value) -> Map {
        self.say(what, value);
        match self.hear() {
            Ok(Some(answer)) => answer,
            _ => exit(1),
        }
    }

    /// Have a wait noted.
    pub fn sleep(&self, seconds: f64) {
        self.ask("sleep", &Value::Float(seconds));
    }
}

/// The map of `key`; empty where there is none.
pub fn map<'m>(map: &'m Map, key: &str) -> &'m Map {
    static EMPTY: OnceLock<Map> = OnceLock::new();
    map.get(key).and_then(Value::as_map).unwrap_or_else(|| EMPTY.get_or_init(Map::new))
}

/// The text of `key`.
pub fn text<'m>(map: &'m Map, key: &str) -> Option<&'m str> {
    map.get(key).and_then(Value::as_text)
}

/// Whether `key` is true.
pub fn flag(map: &Map, key: &str) -> bool {
    map.get(key).is_some_and(Value::is_true)
}
