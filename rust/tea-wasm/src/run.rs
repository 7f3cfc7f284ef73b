//! Running a workflow in a page.

use std::rc::Rc;

use tea_core::actions::LocalFuture;
use tea_core::errors::{Error, Failure, Kind, RunError};
use tea_core::llm::api::ApiBackend;
use tea_core::llm::backend::{Backend, BackendChoice, BackendFactory, Backends};
use tea_core::llm::endpoint::Endpoint;
use tea_core::run::events::Event;
use tea_core::run::{self, RunInput};
use tea_core::value::json;
use tea_core::value::{Map, Value};
use tea_core::workflow::load::load;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::JsValue;

use crate::check::list;
use crate::host::{thrown, Host};
use crate::http;
use crate::model::PageModel;
use crate::registry::registry;
use crate::ENGINE;

/// The world of a run in a page.
struct Page(Host);

impl run::Host for Page {
    fn emit(&self, event: &Event) {
        self.0.emit(&json::write(&event.to_value(), None));
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        http::sleep(&self.0, seconds)
    }

    fn random(&self) -> f64 {
        self.0.random()
    }
}

/// Run the workflow in `source`; `name` is what places in it begin with.
///
/// `given` is a JSON map of `input`, `env`, `secrets` and `backend`, none of which must be there.
/// The answer is JSON: `{state, warnings}`; or `{problems}` of a file that is wrong; or
/// `{failure, warnings}`, where `failure` has `kind`, `message`, `hint`, and of a node `node`,
/// `action`, `retry_count`.
///
/// # Errors
/// An `EngineError`: `given` is not such a map.
#[wasm_bindgen]
pub async fn run(
    source: String,
    name: String,
    given: String,
    host: Host,
) -> Result<String, JsValue> {
    let given = read(&given).map_err(|error| thrown(&error))?;
    let env = map(&given, "env");
    let choice = given.get("backend").and_then(Value::as_text).and_then(BackendChoice::from_word);
    let backends = Backends::new(local_factory(&host), api_factory(&host, &env), choice);
    let actions = registry(&Rc::new(backends));
    let workflow = match load(&source, &name, &actions, ENGINE) {
        Ok(workflow) => workflow,
        Err(error) => return Ok(record([("problems", list(&error.problems))])),
    };
    let warnings = ("warnings", list(&workflow.warnings));
    let secrets = given.get("secrets").cloned().unwrap_or_else(|| Value::map(Map::new()));
    let given = RunInput { input: map(&given, "input"), env, secrets };
    Ok(match run::run(&workflow, given, &actions, &Page(host)).await {
        Ok(state) => record([("state", Value::map(state)), warnings]),
        Err(error) => record([("failure", failure(&error)), warnings]),
    })
}

fn record<const N: usize>(entries: [(&str, Value); N]) -> String {
    json::write(&Value::record(entries), None)
}

fn read(given: &str) -> Result<Map, Error> {
    let wrong = |why: String| Error::new(Kind::Action, format!("what the run is given: {why}"));
    let value = json::read(given).map_err(|error| wrong(error.to_string()))?;
    let map =
        value.as_map().cloned().ok_or_else(|| wrong(format!("{} is no map", value.describe())))?;
    for key in ["input", "env", "secrets"] {
        if map.get(key).is_some_and(|value| value.as_map().is_none()) {
            return Err(wrong(format!("{key} must be a map")));
        }
    }
    Ok(map)
}

fn map(given: &Map, key: &str) -> Map {
    given.get(key).and_then(Value::as_map).cloned().unwrap_or_default()
}

fn local_factory(host: &Host) -> BackendFactory {
    let host = host.clone();
    Box::new(move |settings| {
        if settings.get("model_path").and_then(Value::as_text).is_some_and(|path| !path.is_empty())
        {
            let error = Error::new(Kind::Model, "settings.llm.model_path: a page reaches no files");
            return Err(error.hint("leave it out: the page itself says which model is used"));
        }
        if !host.has_model() {
            return Ok(None);
        }
        let n_ctx = settings.get("n_ctx").and_then(Value::as_int);
        let n_ctx = n_ctx.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
        Ok(Some(Rc::new(PageModel { host: host.clone(), n_ctx }) as Rc<dyn Backend>))
    })
}

fn api_factory(host: &Host, env: &Map) -> BackendFactory {
    let (network, env) = (http::network(host), env.clone());
    Box::new(move |settings| {
        let endpoint = Endpoint::new(settings, &env)?;
        let backend = |found| Rc::new(ApiBackend::new(found, network.clone())) as Rc<dyn Backend>;
        Ok(endpoint.map(backend))
    })
}

fn failure(error: &RunError) -> Value {
    let cause = error.cause();
    let mut fields: Vec<(&str, Value)> = vec![
        ("kind", cause.kind.word().into()),
        ("message", Value::text(&cause.message)),
        ("hint", Value::text(&cause.hint)),
    ];
    if let RunError::Node(Failure { node, action, retry_count, .. }) = error {
        fields.push(("node", Value::text(node)));
        fields.push(("action", Value::text(action)));
        fields.push(("retry_count", Value::Int((*retry_count).into())));
    }
    Value::map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}
