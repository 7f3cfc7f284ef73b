//! Compares what came of a case with what it expects, and says every difference.

use std::fs;

use tea_core::errors::{Problem, RunError};
use tea_core::json;
use tea_core::value::{Map, Value};

use crate::case::{list, map, text, texts};
use crate::equal::{alike, same};
use crate::stage::{Ended, Outcome, Stage};

/// A line for each expectation that is not met; none means the case passes.
#[must_use]
pub fn differences(outcome: &Outcome, stage: &Stage) -> Vec<String> {
    let expect = &stage.expect;
    let mut judge = Judge { found: outcome.faults.clone(), stage };
    judge.requests(expect, outcome);
    judge.files(expect);
    judge.hidden(expect, outcome);
    judge.end(expect, outcome);
    judge.state(expect, outcome);
    judge.events(expect, outcome);
    judge.found
}

/// A line for each way in which a file was not refused as it must be in `engine`.
#[must_use]
pub fn refusal_differences(outcome: &Outcome, node: &str, engine: &str) -> Vec<String> {
    match &outcome.error {
        Some(Ended::Load(error)) => {
            let named = |problem: &&Problem| {
                let text = problem.to_string();
                text.contains(node) && text.contains(engine)
            };
            match error.problems.iter().any(|problem| named(&problem)) {
                true => Vec::new(),
                false => vec![format!("no problem names {node} and {engine}: {error}")],
            }
        }
        other => vec![format!("not refused at load: {other:?}")],
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".into(), |value| json::write(value, None))
}

/// The texts that `found` lacks, in any case.
fn lacking<'t>(texts: &[&'t str], found: &str) -> Vec<&'t str> {
    let found = found.to_lowercase();
    texts.iter().filter(|text| !found.contains(&text.to_lowercase())).copied().collect()
}

struct Judge<'s> {
    found: Vec<String>,
    stage: &'s Stage,
}

impl Judge<'_> {
    fn note(&mut self, line: String) {
        self.found.push(line);
    }

    fn end(&mut self, expect: &Map, outcome: &Outcome) {
        let error = outcome.error.as_ref();
        if expect.contains_key("problems") {
            self.problems(list(expect, "problems"), error);
        } else if expect.contains_key("error") {
            self.error(map(expect, "error"), error);
        } else if let Some(error) = error.filter(|_| !expect.contains_key("end")) {
            self.note(format!("failed: {error}"));
        }
        if !matches!(error, Some(Ended::Load(_))) {
            self.warnings(list(expect, "warnings"), &outcome.warnings);
        }
        let code = match error {
            None => 0,
            Some(Ended::Load(_)) => 2,
            Some(Ended::Run(error)) => i128::from(error.exit_code()),
        };
        let wanted = expect.get("exit").and_then(Value::as_int).unwrap_or(code);
        if wanted != code {
            self.note(format!("exit code {code}, expected {wanted}"));
        }
    }

    fn error(&mut self, expect: &Map, error: Option<&Ended>) {
        match error {
            None => self.note(format!("no error, expected {expect:?}")),
            Some(Ended::Load(error)) => {
                if text(expect, "stage") == Some("run") {
                    self.note(format!("refused at load: {error}"));
                    return;
                }
                if !expect.contains_key("any_number") && error.problems.len() != 1 {
                    let count = error.problems.len();
                    self.note(format!("{count} problems, expected one: {error}"));
                }
                if !error.problems.iter().any(|problem| self.fits(expect, problem)) {
                    self.note(format!("problems {error}; expected {expect:?}"));
                }
            }
            Some(Ended::Run(error)) if text(expect, "stage") == Some("load") => {
                self.note(format!("refused only at run: {error}"));
            }
            Some(Ended::Run(error)) => self.failure(expect, error),
        }
    }

    fn failure(&mut self, expect: &Map, error: &RunError) {
        let failure = match error {
            RunError::Node(failure) => Some(failure),
            RunError::Setup(_) => None,
        };
        let found = [
            ("kind", Some(error.cause().kind.word())),
            ("node", failure.map(|failure| failure.node.as_str())),
            ("action", failure.map(|failure| failure.action.as_str())),
        ];
        for (key, value) in found {
            let wanted = text(expect, key);
            if wanted.is_some() && wanted != value {
                self.note(format!("{key} is {value:?}, expected {wanted:?}: {error}"));
            }
        }
        for text in lacking(&texts(expect, "message"), &error.to_string()) {
            self.note(format!("the message lacks {text:?}: {error}"));
        }
    }

    fn problems(&mut self, expect: &[Value], error: Option<&Ended>) {
        let Some(Ended::Load(error)) = error else {
            self.note(format!("not refused at load: {error:?}"));
            return;
        };
        if expect.len() != error.problems.len() {
            let count = error.problems.len();
            self.note(format!("{count} problems, expected {}: {error}", expect.len()));
        }
        for (wanted, problem) in expect.iter().zip(&error.problems) {
            if !wanted.as_map().is_some_and(|wanted| self.fits(wanted, problem)) {
                self.note(format!("problem {problem}; expected {}", shown(Some(wanted))));
            }
        }
    }

    fn warnings(&mut self, expect: &[Value], warnings: &[Problem]) {
        let mut wanted: Vec<&Map> = expect.iter().filter_map(Value::as_map).collect();
        for warning in warnings {
            match wanted.iter().position(|each| self.fits(each, warning)) {
                Some(index) => {
                    wanted.remove(index);
                }
                None => self.note(format!("unexpected warning {warning}")),
            }
        }
        for each in wanted {
            self.note(format!("no warning {each:?}"));
        }
    }

    fn fits(&self, wanted: &Map, problem: &Problem) -> bool {
        let place = &problem.place;
        if *place.file != self.stage.workflow_name() {
            return false;
        }
        let (line, column) = (place.line.to_string(), place.column.to_string());
        let at = match wanted.get("place") {
            Some(Value::Text(text)) => text.to_string(),
            Some(other) => json::write(other, None),
            None => line.clone(),
        };
        let is_there = match at.split_once(':') {
            Some((wanted_line, wanted_column)) => wanted_line == line && wanted_column == column,
            None => at == line,
        };
        is_there && lacking(&texts(wanted, "message"), &problem.to_string()).is_empty()
    }

    fn state(&mut self, expect: &Map, outcome: &Outcome) {
        let Some(state) = &outcome.state else {
            for key in ["state", "state_has", "state_lacks", "state_order", "error_state"] {
                if expect.contains_key(key) {
                    self.note(format!("no final state, expected {key}"));
                }
            }
            return;
        };
        let whole = Value::map(state.clone());
        if let Some(wanted) = expect.get("state").filter(|wanted| !same(wanted, &whole)) {
            let (found, wanted) = (shown(Some(&whole)), shown(Some(wanted)));
            self.note(format!("state {found}, expected {wanted}"));
        }
        for (key, value) in map(expect, "state_has") {
            let found = state.get(key);
            if !found.is_some_and(|found| same(value, found)) {
                let (found, wanted) = (shown(found), shown(Some(value)));
                self.note(format!("state.{key} is {found}, expected {wanted}"));
            }
        }
        for key in texts(expect, "state_lacks") {
            if state.contains_key(key) {
                self.note(format!("state has {key}"));
            }
        }
        let keys: Vec<&str> = state.keys().map(|key| &**key).collect();
        if expect.contains_key("state_order") && keys != texts(expect, "state_order") {
            self.note(format!("keys {keys:?}, expected {:?}", texts(expect, "state_order")));
        }
        if expect.contains_key("error_state") {
            self.error_state(map(expect, "error_state"), map(state, "__error__"));
        }
    }

    fn error_state(&mut self, expect: &Map, found: &Map) {
        let mut keys: Vec<&str> = found.keys().map(|key| &**key).collect();
        keys.sort_unstable();
        if keys != ["action", "message", "node", "retry_count", "type"] {
            self.note(format!("state.__error__ has the keys {keys:?}"));
        }
        for (key, value) in expect {
            let got = found.get(key);
            if &**key == "message" {
                let message = got.and_then(Value::as_text).unwrap_or_default();
                for text in lacking(&texts(expect, "message"), message) {
                    self.note(format!("state.__error__.message lacks {text:?}: {message}"));
                }
            } else if !got.is_some_and(|got| same(value, got)) {
                let (got, wanted) = (shown(got), shown(Some(value)));
                self.note(format!("state.__error__.{key} is {got}, expected {wanted}"));
            }
        }
    }

    fn events(&mut self, expect: &Map, outcome: &Outcome) {
        let events = &outcome.events;
        let all = || shown(Some(&Value::list(events.clone())));
        if expect.contains_key("events") {
            let wanted = list(expect, "events");
            let fit = wanted.len() == events.len()
                && wanted.iter().zip(events).all(|(wanted, event)| event_fits(wanted, event));
            if !fit {
                self.note(format!("events {}", all()));
            }
        }
        let mut left = events.iter();
        for wanted in list(expect, "events_include") {
            if !left.any(|event| event_fits(wanted, event)) {
                self.note(format!("no event {} in its turn, only {}", shown(Some(wanted)), all()));
            }
        }
        for kind in texts(expect, "events_lack") {
            let is_kind =
                |event: &&Value| event.as_map().and_then(|event| text(event, "type")) == Some(kind);
            if events.iter().any(|event| is_kind(&event)) {
                self.note(format!("there is an event {kind}"));
            }
        }
    }

    fn requests(&mut self, expect: &Map, outcome: &Outcome) {
        if expect.contains_key("requests") {
            let wanted = list(expect, "requests");
            if wanted.len() != outcome.requests.len() {
                let count = outcome.requests.len();
                self.note(format!("{count} requests, expected {}", wanted.len()));
            }
            for (wanted, request) in wanted.iter().zip(&outcome.requests) {
                if let Some(wanted) = wanted.as_map() {
                    self.request(wanted, request);
                }
            }
        }
        let sleeps = match expect.get("sleeps") {
            Some(Value::Text(_)) => None,
            wanted => Some(wanted.and_then(Value::as_list).unwrap_or_default()),
        };
        if let Some(sleeps) = sleeps {
            let wanted: Vec<f64> = sleeps.iter().filter_map(Value::as_number).collect();
            if wanted != outcome.sleeps {
                self.note(format!("waits of {:?} s, expected {wanted:?}", outcome.sleeps));
            }
        }
        if expect.contains_key("model") && text(expect, "model") != outcome.model.as_deref() {
            self.note(format!("the model is {:?}", outcome.model));
        }
    }

    fn request(&mut self, expect: &Map, request: &Map) {
        let headers = map(request, "headers");
        for (key, value) in expect {
            match &**key {
                "lacks" | "lacks_headers" => {
                    let found = if &**key == "lacks" { request } else { headers };
                    for each in texts(expect, key).iter().filter(|each| found.contains_key(**each))
                    {
                        self.note(format!("the request has {each}"));
                    }
                }
                "headers" => {
                    for (name, wanted) in value.as_map().into_iter().flatten() {
                        if !headers.get(name).is_some_and(|found| same(wanted, found)) {
                            self.note(format!("header {name} is {}", shown(headers.get(name))));
                        }
                    }
                }
                _ => {
                    let found = request.get(key);
                    if !found.is_some_and(|found| alike(value, found)) {
                        let (found, wanted) = (shown(found), shown(Some(value)));
                        self.note(format!("{key} of the request is {found}, expected {wanted}"));
                    }
                }
            }
        }
    }

    fn files(&mut self, expect: &Map) {
        for (name, content) in map(expect, "files") {
            let path = self.stage.root.join(&**name);
            let found = fs::read_to_string(&path).ok();
            let fits = match (content, &found) {
                (Value::Null, None) => true,
                (Value::Text(wanted), Some(found)) => **wanted == **found,
                (Value::Map(wanted), Some(found)) => {
                    let wanted = wanted.get("json").cloned().unwrap_or(Value::Null);
                    json::read(found).is_ok_and(|found| same(&wanted, &found))
                }
                _ => false,
            };
            if !fits {
                self.note(format!("{name} has {found:?}, expected {}", shown(Some(content))));
            }
        }
        let files = self.stage.files();
        if expect.contains_key("only_files") && files != texts(expect, "only_files") {
            self.note(format!("files {files:?}, expected {:?}", texts(expect, "only_files")));
        }
    }

    fn hidden(&mut self, expect: &Map, outcome: &Outcome) {
        let pieces = outcome.events.iter().filter_map(|event| text(event.as_map()?, "text"));
        let mut shown_texts = vec![
            outcome.state.as_ref().map_or_else(String::new, |state| format!("{state:?}")),
            format!("{:?}", outcome.events),
            pieces.collect::<String>(), // over all pieces
        ];
        if let Some(error) = &outcome.error {
            shown_texts.push(error.to_string());
            shown_texts.push(format!("{error:?}"));
        }
        for text in texts(expect, "hidden") {
            for each in shown_texts.iter().filter(|each| each.contains(text)) {
                self.found.push(format!("{text:?} shows in {each}"));
            }
        }
    }
}

fn event_fits(wanted: &Value, event: &Value) -> bool {
    let (Some(wanted), Some(event)) = (wanted.as_map(), event.as_map()) else { return false };
    wanted.iter().all(|(key, value)| event.get(key).is_some_and(|found| same(value, found)))
}
