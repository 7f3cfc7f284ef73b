//! Plays a case on the Rust engine: the real code from loading to the request to a model.

use std::cell::RefCell;
use std::future::{ready, Future};
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tea_core::actions::{data, files, llm, LocalFuture, Registry};
use tea_core::events::Event;
use tea_core::llm::api::{ApiBackend, Http};
use tea_core::llm::backend::{Backend, BackendChoice, BackendFactory, Backends};
use tea_core::llm::endpoint::Endpoint;
use tea_core::llm::model_path;
use tea_core::run::{run, Given, Host};
use tea_core::value::{Map, Value};
use tea_core::workflow::load;

use crate::case::{map, text, ENGINE};
use crate::host::Disk;
use crate::scripted::{Notes, Script, ScriptedApi, ScriptedModel};
use crate::stage::{clean, relative, Ended, Outcome, Stage};

/// What came of the case, once for each time that it runs.
#[must_use]
pub fn play(stage: &Stage) -> Vec<Outcome> {
    let notes = Rc::new(RefCell::new(Notes::default()));
    let actions = registry(stage, &notes);
    let name = stage.workflow_name();
    let source = text(&stage.data, "workflow").unwrap_or_default();
    let workflow = match load(source, &name, &actions, ENGINE) {
        Ok(workflow) => workflow,
        Err(error) => {
            return vec![Outcome { error: Some(Ended::Load(error)), ..Outcome::default() }];
        }
    };
    let times = stage.data.get("repeat").and_then(Value::as_int).unwrap_or(1);
    let mut outcomes = Vec::new();
    for _ in 0..times {
        let host = Recorder { events: RefCell::default(), notes: notes.clone() };
        let secrets = stage.data.get("secrets").cloned();
        let given = Given {
            input: map(&stage.data, "input").clone(),
            env: map(&stage.data, "env").clone(),
            secrets: secrets.unwrap_or_else(|| Value::map(Map::new())),
        };
        let ended = block_on(run(&workflow, given, &actions, &host));
        let mut outcome = Outcome {
            warnings: workflow.warnings.clone(),
            events: host.events.into_inner(),
            ..Outcome::default()
        };
        match ended {
            Ok(state) => outcome.state = Some(state),
            Err(error) => outcome.error = Some(Ended::Run(error)),
        }
        outcomes.push(outcome);
    }
    // Requests are shared by all runs of a case, and judged with the first.
    let mut notes = notes.borrow_mut();
    if let Some(first) = outcomes.first_mut() {
        first.requests = std::mem::take(&mut notes.requests);
        first.sleeps = std::mem::take(&mut notes.sleeps);
        first.model = notes.model.take();
        first.faults = std::mem::take(&mut notes.faults);
    }
    outcomes
}

/// Run a future that never waits.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(done) = polled {
            return done;
        }
    }
}

struct Recorder {
    events: RefCell<Vec<Value>>,
    notes: Rc<RefCell<Notes>>,
}

impl Host for Recorder {
    fn emit(&self, event: &Event) {
        self.events.borrow_mut().push(event.to_value());
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        self.notes.borrow_mut().sleeps.push(seconds);
        Box::pin(ready(()))
    }

    fn random(&self) -> f64 {
        0.5
    }
}

/// All actions over the models of a case, behind the real choice of backend.
fn registry(stage: &Stage, notes: &Rc<RefCell<Notes>>) -> Registry {
    let options = map(&stage.data, "options");
    let env = map(&stage.data, "env").clone();
    let api_model = map(map(&stage.data, "models"), "api");
    let api: Rc<dyn Http> = Rc::new(ScriptedApi(Script::new(api_model, notes.clone())));
    let api_env = env.clone();
    let api: BackendFactory = Box::new(move |settings| {
        let endpoint = Endpoint::new(settings, &api_env)?;
        let backend = |endpoint| Rc::new(ApiBackend::new(endpoint, api.clone())) as Rc<dyn Backend>;
        Ok(endpoint.map(backend))
    });
    let choice = text(options, "backend").and_then(BackendChoice::from_word);
    let backends = Rc::new(Backends::new(local_factory(stage, notes, env), api, choice));
    let mut registry = Registry::default();
    data::add_actions(&mut registry);
    let disk = Disk { directory: stage.directory.clone() };
    files::add_actions(&mut registry, Rc::new(disk), stage.roots());
    llm::add_actions(&mut registry, &backends);
    registry
}

fn local_factory(stage: &Stage, notes: &Rc<RefCell<Notes>>, env: Map) -> BackendFactory {
    let models = map(&stage.data, "models");
    let Some(model) = models.get("local").and_then(Value::as_map).cloned() else {
        return Box::new(|_| Ok(None));
    };
    let script = Rc::new(Script::new(&model, notes.clone()));
    let gguf = text(map(&stage.data, "options"), "gguf").map(String::from);
    let disk = Disk { directory: stage.directory.clone() };
    let (root, notes) = (stage.root.clone(), notes.clone());
    Box::new(move |settings| {
        if model.contains_key("find") {
            let setting = text(settings, "model_path");
            let found = model_path::find(&disk, gguf.as_deref(), &env, setting, None)?;
            let Some(found) = found else { return Ok(None) };
            let path: &Path = &disk.directory.join(found.path);
            notes.borrow_mut().model = Some(relative(&clean(path), &root));
        }
        Ok(Some(Rc::new(ScriptedModel(script.clone()))))
    })
}
