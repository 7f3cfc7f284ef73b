//! The Rust engine behind standard input and output, for the judge of `conformance/`: the real code
//! from loading to the request to a model. What each line says is in conformance/README.md.

mod disk;
mod judge;
mod models;

use std::future::{ready, Future};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tea_core::actions::{data, files, llm, LocalFuture, Registry};
use tea_core::errors::{Error, Problem, RunError};
use tea_core::llm::api::ApiBackend;
use tea_core::llm::backend::{Backend, BackendChoice, BackendFactory, Backends};
use tea_core::llm::endpoint::Endpoint;
use tea_core::llm::model_path;
use tea_core::llm::tool_form::ToolForm;
use tea_core::run::events::Event;
use tea_core::run::{run, Host, RunInput};
use tea_core::value::json;
use tea_core::value::{Map, Value};
use tea_core::workflow::load::load_from;
use tea_core::workflow::subgraphs::Source;

use crate::disk::Disk;
use crate::judge::{flag, map, text, Judge};
use crate::models::{JudgeModel, JudgeNetwork};

const ENGINE: &str = "rust";

fn main() -> ExitCode {
    let judge = Rc::new(Judge);
    loop {
        match judge.hear() {
            Ok(None) => return ExitCode::SUCCESS,
            Ok(Some(told)) => play(map(&told, "run"), &judge),
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Load and run a workflow as often as the judge says.
fn play(told: &Map, judge: &Rc<Judge>) {
    let given = json::read(text(told, "given").unwrap_or_default()).ok();
    let given = given.as_ref().and_then(Value::as_map).cloned().unwrap_or_default();
    let actions = registry(told, &given, judge);
    let name = text(told, "name").unwrap_or_default();
    let source = text(told, "source").unwrap_or_default();
    let directory = PathBuf::from(text(told, "directory").unwrap_or("."));
    let disk = Disk { directory: directory.clone(), env: Map::new() };
    let files = Source::new(Rc::new(disk), &directory.join(name));
    let workflow = match load_from(source, name, &actions, ENGINE, Some(&files)) {
        Ok(workflow) => workflow,
        Err(error) => {
            let ended = [("problems", problems(&error.problems)), ("exit", Value::Int(2))];
            judge.say("ended", &Value::record(ended));
            return;
        }
    };
    for _ in 0..told.get("times").and_then(Value::as_int).unwrap_or(1) {
        let given = RunInput {
            input: map(&given, "input").clone(),
            env: map(&given, "env").clone(),
            secrets: given.get("secrets").cloned().unwrap_or_else(|| Value::map(Map::new())),
        };
        let ended = block_on(run(&workflow, given, &actions, &Recorder(judge.clone())));
        let (end, code) = match ended {
            Ok(state) => (("state", Value::map(state)), 0),
            Err(error) => (("failure", failure(&error)), error.exit_code()),
        };
        let warnings = ("warnings", problems(&workflow.warnings));
        judge.say("ended", &Value::record([end, warnings, ("exit", Value::Int(code.into()))]));
    }
}

/// Run a future that never waits.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = polled {
            return done;
        }
    }
}

struct Recorder(Rc<Judge>);

impl Host for Recorder {
    fn emit(&self, event: &Event) {
        self.0.say("event", &event.to_value());
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        self.0.sleep(seconds);
        Box::pin(ready(()))
    }

    fn random(&self) -> f64 {
        0.5
    }
}

/// All actions over the judge's models, behind the real choice of backend.
fn registry(told: &Map, given: &Map, judge: &Rc<Judge>) -> Registry {
    let env = map(given, "env").clone();
    let directory = PathBuf::from(text(told, "directory").unwrap_or_default());
    let (network, api_env) = (Rc::new(JudgeNetwork(judge.clone())), env.clone());
    let api: BackendFactory = Box::new(move |settings| {
        let endpoint = Endpoint::new(settings, &api_env)?;
        let backend = |found| Rc::new(ApiBackend::new(found, network.clone())) as Rc<dyn Backend>;
        Ok(endpoint.map(backend))
    });
    let choice = text(given, "backend").and_then(BackendChoice::from_word);
    let disk = || Disk { directory: directory.clone(), env: env.clone() };
    let local = local_factory(told, env.clone(), disk(), judge.clone());
    let roots = told.get("roots").and_then(Value::as_list).unwrap_or_default();
    let roots = roots.iter().filter_map(Value::as_text).map(PathBuf::from).collect();
    let mut registry = Registry::default();
    data::add_actions(&mut registry);
    files::add_actions(&mut registry, Rc::new(disk()), roots);
    llm::add_actions(&mut registry, &Rc::new(Backends::new(local, api, choice)));
    registry
}

fn local_factory(told: &Map, env: Map, disk: Disk, judge: Rc<Judge>) -> BackendFactory {
    let (has_model, find_model) = (flag(told, "has_model"), flag(told, "find_model"));
    let gguf = text(told, "gguf").map(String::from);
    let form = text(told, "tool_form").and_then(ToolForm::from_word);
    Box::new(move |settings| {
        if !has_model {
            return Ok(None);
        }
        if find_model {
            let setting = text(settings, "model_path");
            let found =
                model_path::find(&disk, gguf.as_deref().map(Path::new), &env, setting, None)?;
            let Some(found) = found else { return Ok(None) };
            let path: &Path = &disk.directory.join(found.path);
            judge.say("model", &path.display().to_string().into());
        }
        Ok(Some(Rc::new(JudgeModel(judge.clone(), form)) as Rc<dyn Backend>))
    })
}

fn problems(problems: &[Problem]) -> Value {
    let count = |number: usize| Value::Int(number.try_into().unwrap_or(i128::MAX));
    let record = |problem: &Problem| {
        Value::record([
            ("file", Value::text(&*problem.place.file)),
            ("line", count(problem.place.line)),
            ("column", count(problem.place.column)),
            ("message", Value::text(&problem.message)),
            ("hint", Value::text(&problem.hint)),
        ])
    };
    Value::list(problems.iter().map(record).collect())
}

fn failure(error: &RunError) -> Value {
    let Error { kind, message, hint, .. } = error.cause();
    let mut fields = vec![
        ("kind", kind.word().into()),
        ("message", Value::text(message)),
        ("hint", Value::text(hint)),
    ];
    if let RunError::Node(failure) = error {
        fields.push(("node", Value::text(&failure.node)));
        fields.push(("action", Value::text(&failure.action)));
        fields.push(("retry_count", Value::Int(failure.retry_count.into())));
    }
    Value::map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}
