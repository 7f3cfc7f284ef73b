//! What a host can do to a run: stop it, lack an action, and have a clock that runs.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use std::cell::{Cell, RefCell};
use std::future::{ready, Future};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tea_core::actions::{data, Action, ActionSpec, Call, LocalFuture, Registry};
use tea_core::errors::{Error, Kind, RunError};
use tea_core::llm::api::{ApiBackend, Http, HttpError, HttpRequest, HttpResponse};
use tea_core::llm::backend::{Backend, EmbedRequest};
use tea_core::llm::endpoint::Endpoint;
use tea_core::run::events::Event;
use tea_core::run::{run, Host, RunInput};
use tea_core::value::{Map, Value};
use tea_core::workflow::load::load;

struct Silent;

impl Host for Silent {
    fn emit(&self, _event: &Event) {}

    fn sleep(&self, _seconds: f64) -> LocalFuture<'_, ()> {
        Box::pin(ready(()))
    }

    fn random(&self) -> f64 {
        0.5
    }
}

fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

struct Stop(RefCell<u32>);

impl Action for Stop {
    fn run<'a>(&'a self, _call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>> {
        *self.0.borrow_mut() += 1;
        Box::pin(ready(Err(Error::new(Kind::Interrupted, "stopped"))))
    }
}

#[test]
fn no_error_handling_goes_on_after_an_interruption() {
    let stop = Rc::new(Stop(RefCell::default()));
    let mut actions = Registry::default();
    let spec = ActionSpec { action: stop.clone(), params: &[], required: &[], check: None };
    actions.add("stop", spec);
    for handling in ["{mode: graceful, fallback: b}", "{mode: retry, max_retries: 3}"] {
        let text = format!("nodes: [{{name: a, uses: stop, on_error: {handling}}}, {{name: b}}]\n");
        let workflow = load(&text, "w", &actions, "rust").unwrap();
        let given = RunInput { input: Map::new(), env: Map::new(), secrets: Value::Null };
        let error = done(run(&workflow, given, &actions, &Silent)).unwrap_err();
        assert_eq!(error.exit_code(), 130);
        assert!(matches!(error, RunError::Node(failure) if failure.retry_count == 0));
    }
    assert_eq!(*stop.0.borrow(), 2);
}

#[test]
fn an_action_of_other_engines_is_refused_with_node_and_engine() {
    let mut actions = Registry::default();
    data::add_actions(&mut actions);
    actions.refuse("file.read", "cannot reach files");
    let text = "nodes:\n  - name: a\n    uses: file.read\n    with: {path: x}\n";
    let error = load(text, "w", &actions, "browser").unwrap_err();
    let wanted = "w:3:11: node a: file.read cannot reach files in the engine browser";
    assert_eq!(error.to_string(), wanted);
}

/// An API that is busy, on a clock that only waiting moves.
#[derive(Default)]
struct Busy {
    clock: Cell<f64>,
    limits: RefCell<Vec<f64>>,
}

struct Response;

impl HttpResponse for Response {
    fn status(&self) -> u16 {
        503
    }

    fn reason(&self) -> &str {
        "busy"
    }

    fn header(&self, name: &str) -> Option<&str> {
        (name == "retry-after").then_some("4")
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>> {
        Box::pin(ready(Ok(None)))
    }
}

impl Http for Busy {
    fn post(
        &self,
        _request: HttpRequest,
        seconds: f64,
    ) -> LocalFuture<'_, Result<Box<dyn HttpResponse>, HttpError>> {
        self.limits.borrow_mut().push(seconds);
        Box::pin(ready(Ok(Box::new(Response) as Box<dyn HttpResponse>)))
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        self.clock.set(self.clock.get() + seconds);
        Box::pin(ready(()))
    }

    fn now(&self) -> f64 {
        self.clock.get()
    }

    fn random(&self) -> f64 {
        0.5
    }
}

#[test]
fn tries_and_waits_together_take_no_longer_than_the_timeout() {
    let http = Rc::new(Busy::default());
    let settings: Map = [("api_base", "http://x"), ("model", "m")]
        .map(|(k, v)| (k.into(), v.into()))
        .into_iter()
        .collect();
    let endpoint = Endpoint::new(&settings, &Map::new()).unwrap().unwrap();
    let backend = ApiBackend::new(endpoint, http.clone());
    let request =
        EmbedRequest { texts: vec!["a".into()], model: None, timeout: 10.0, max_retries: 9 };
    let error = done(backend.embed(&request)).unwrap_err();
    assert_eq!(error.kind, Kind::Timeout);
    assert_eq!(error.message, "http://x gave no answer within 10 seconds");
    assert_eq!(*http.limits.borrow(), [10.0, 6.0, 2.0]);
    assert_eq!(http.clock.get(), 10.0);
}
