//! Runs a workflow: one node after another on one state, until a rule leads to the end.

pub mod events;
pub(crate) mod route;

mod bodies;
mod branches;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::actions::{LocalFuture, Registry};
use crate::errors::{Error, Failure, Kind, RunError};
use crate::redact::Masker;
use crate::run::events::Event;
use crate::spec;
use crate::template::Scope;
use crate::value::{Map, Value};
use crate::workflow::io_schema;
use crate::workflow::model::{Node, Workflow, END, START};
use crate::workflow::retry::{Mode, Policy, RetryOverrides};
use crate::workflow::settings;

/// What a run is given of the world.
pub trait Host {
    /// Take an event. It has no secret in it.
    fn emit(&self, event: &Event);
    /// Wait.
    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()>;
    /// A number from 0 to 1.
    fn random(&self) -> f64;
}

/// What a run works on, besides the workflow.
pub struct RunInput {
    /// Laid over the initial state, key by key.
    pub input: Map,
    /// The environment variables.
    pub env: Map,
    /// Reach the parameters of actions and nothing else.
    pub secrets: Value,
}

/// Run `workflow`; return the final state.
///
/// Events go to the host: start, token, node_complete, and at last complete or error.
///
/// # Errors
/// A node failed and its errors are not handled, or a template in the settings cannot be computed.
pub async fn run(
    workflow: &Workflow,
    given: RunInput,
    actions: &Registry,
    host: &dyn Host,
) -> Result<Map, RunError> {
    let mut state = Map::new();
    run_on(workflow, given, actions, host, &mut state).await.map(|()| state)
}

/// The same; `state` has what was reached when it ends, of a node that failed with `__error__`.
///
/// # Errors
/// As for `run`.
pub async fn run_on(
    workflow: &Workflow,
    given: RunInput,
    actions: &Registry,
    host: &dyn Host,
    state: &mut Map,
) -> Result<(), RunError> {
    host.emit(&Event::Start(workflow.name.clone()));
    let ended = match Run::new(workflow, given, actions, host, Map::new()) {
        Ok((run, begun)) => {
            *state = begun;
            match run.walk(state).await {
                Ok(()) => Ok(()),
                Err(Fault::Node(failure) | Fault::Run(failure)) => Err(RunError::Node(failure)),
            }
        }
        Err(error) => Err(RunError::Setup(error)),
    };
    match &ended {
        Ok(()) => host.emit(&Event::Complete(state.clone())),
        Err(RunError::Node(failure)) => {
            let error = error_data(failure);
            state.extend(error_update(failure));
            host.emit(&Event::Error { node: Some(failure.node.clone()), error });
        }
        Err(RunError::Setup(error)) => {
            let message = Value::text(&error.message);
            let data = [("type", Value::text(error.kind.word())), ("message", message)];
            let error = data.map(|(key, value)| (Arc::from(key), value));
            host.emit(&Event::Error { node: None, error: error.into_iter().collect() });
        }
    }
    ended
}

/// What a body did: keys for the state, the raw result, and a fallback to go to.
struct Outcome {
    update: Map,
    result: Value,
    jump: Option<String>,
}

/// How a body failed. What stops the run as a whole is not handled by any node.
enum Fault {
    Node(Failure),
    Run(Failure),
}

/// One run, or a branch of it, which shares all but its names and its number.
#[derive(Clone)]
struct Run<'w> {
    workflow: &'w Workflow,
    actions: &'w Registry,
    host: &'w dyn Host,
    nodes: Rc<HashMap<&'w str, &'w Node>>,
    memory: Rc<RefCell<Map>>,
    settings: Rc<Map>,
    error_handling: Rc<RetryOverrides>,
    limit: u64,
    scope: [(&'static str, Value); 5],
    /// Further names of templates, in a branch.
    names: Vec<(String, Value)>,
    /// The number of the branch that this is.
    index: Option<usize>,
    masker: Rc<Masker>,
    runs: Rc<Cell<u64>>,
    /// What stopped the run while an action had a node run.
    stopped: RefCell<Option<Failure>>,
}

impl<'w> Run<'w> {
    fn new(
        workflow: &'w Workflow,
        given: RunInput,
        actions: &'w Registry,
        host: &'w dyn Host,
        mut settings: Map,
    ) -> Result<(Run<'w>, Map), Error> {
        let masker = Masker::new(&given.secrets, &Map::new(), &given.env);
        let environment = given.env.clone();
        let (env, variables) = (Value::map(given.env), Value::map(workflow.variables.clone()));
        let base = Scope::new(vec![("env", env.clone()), ("variables", variables.clone())]);
        let rendered = settings::render(&workflow.settings, &base);
        settings.extend(rendered.map_err(|error| hidden(&masker, error))?);
        let masker = Masker::new(&given.secrets, &settings, &environment);
        let state = start(workflow, given.input).map_err(|error| hidden(&masker, error))?;
        let state = into_map(Value::map(state).to_data(Some(&*masker))?);
        let handling = settings.get("error_handling").and_then(Value::as_map);
        let handling = handling.into_iter().flatten();
        let limit = settings.get("max_iterations").and_then(Value::as_int);
        let run = Run {
            workflow,
            actions,
            host,
            nodes: Rc::new(workflow.nodes.iter().map(|node| (&*node.name, node)).collect()),
            memory: Rc::default(),
            error_handling: Rc::new(RetryOverrides::from_values(
                handling.map(|(k, v)| (&**k, v.clone())),
            )),
            limit: limit
                .map_or(spec::SETTINGS_MAX_ITERATIONS, |n| u64::try_from(n).unwrap_or(u64::MAX)),
            scope: [
                ("variables", variables),
                ("data", Value::map(workflow.data.clone())),
                ("settings", Value::map(settings.clone())),
                ("env", env),
                ("secrets", given.secrets),
            ],
            settings: Rc::new(settings),
            names: Vec::new(),
            index: None,
            masker,
            runs: Rc::default(),
            stopped: RefCell::default(),
        };
        Ok((run, state))
    }

    async fn walk(&self, state: &mut Map) -> Result<(), Fault> {
        let name = route::entry(self.workflow, &self.scope(state));
        let name = name.map_err(|error| Fault::Node(self.failed(START, "", error)))?;
        self.follow(name.into(), END, state).await?;
        let Some(schema) = &self.workflow.output_schema else { return Ok(()) };
        let checked = io_schema::refuse("output_schema", schema, &Value::map(state.clone()));
        checked.map_err(|error| Fault::Node(self.failed(END, "", error)))
    }

    /// The run of a subgraph as a part of this one, and its state at the start.
    fn inner<'i>(&'i self, workflow: &'i Workflow, given: Map) -> Result<(Run<'i>, Map), Error> {
        let value = |name: &str| {
            let found = self.scope.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).unwrap_or(Value::Null)
        };
        let given =
            RunInput { input: given, env: into_map(value("env")), secrets: value("secrets") };
        let settings = (*self.settings).clone();
        let (mut run, state) = Run::new(workflow, given, self.actions, self.host, settings)?;
        run.runs = self.runs.clone();
        run.index = self.index;
        Ok((run, state))
    }

    /// Run nodes from `name` on until `end` is next, or the run ends.
    fn follow<'s>(
        &'s self,
        mut name: String,
        end: &'s str,
        state: &'s mut Map,
    ) -> LocalFuture<'s, Result<(), Fault>> {
        Box::pin(async move {
            while name != end && name != END {
                let Some(node) = self.nodes.get(name.as_str()).copied() else { break };
                let outcome = self.visit(node, state).await?;
                state.extend(outcome.update.clone());
                self.completed(node, outcome.update);
                let fork = self.workflow.forks.get(&name).filter(|_| node.goto.is_none());
                name = match (outcome.jump, fork) {
                    (Some(jump), _) => jump,
                    (None, Some(fork)) => {
                        self.fork(node, fork, state).await?;
                        fork.fan_in.to.clone()
                    }
                    (None, None) => self.next(node, state, &outcome.result).map_err(Fault::Node)?,
                };
            }
            Ok(())
        })
    }

    fn next(&self, node: &Node, state: &mut Map, result: &Value) -> Result<String, Failure> {
        match route::following(self.workflow, node, &self.scope(state), result) {
            Ok(name) => Ok(name.into()),
            Err(error) => {
                let failure = self.failed(&node.name, "", error);
                let policy = self.policy(node);
                match policy.fallback {
                    Some(fallback) if policy.mode != Mode::Raise => {
                        let update = error_update(&failure);
                        state.extend(update.clone());
                        self.completed(node, update);
                        Ok(fallback)
                    }
                    _ => Err(failure),
                }
            }
        }
    }

    /// Run one node on `state`, which stays as it is, under the node's error handling.
    fn visit<'s>(
        &'s self,
        node: &'s Node,
        state: &'s Map,
    ) -> LocalFuture<'s, Result<Outcome, Fault>> {
        Box::pin(async move {
            self.count(node)?;
            let mut policy = self.policy(node);
            let mut retries = 0;
            loop {
                let mut failure = match self.execute(node, state).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(Fault::Run(failure)) => return Err(Fault::Run(failure)),
                    Err(Fault::Node(failure)) => failure,
                };
                if failure.cause.kind == Kind::Interrupted {
                    return Err(Fault::Run(failure));
                }
                if policy.retries(&failure.cause, retries) {
                    retries += 1;
                    let delay = policy.next_delay(|| self.host.random());
                    self.host.sleep(delay).await;
                    continue;
                }
                failure.retry_count = failure.retry_count.max(retries);
                if policy.mode == Mode::Raise {
                    return Err(Fault::Node(failure));
                }
                let update = error_update(&failure);
                return Ok(Outcome { update, result: Value::Null, jump: policy.fallback });
            }
        })
    }

    fn count(&self, node: &Node) -> Result<(), Fault> {
        self.runs.set(self.runs.get() + 1);
        if self.runs.get() <= self.limit {
            return Ok(());
        }
        let message = format!("the run is over its limit of {} node runs", self.limit);
        let error = Error::limit(message).hint("settings.max_iterations raises it");
        Err(Fault::Run(self.failed(&node.name, "", error)))
    }

    fn policy(&self, node: &Node) -> Policy {
        Policy::new(&[&self.error_handling, &node.on_error])
    }

    // --- what goes in and out

    fn scope(&self, state: &Map) -> Scope {
        let mut names = vec![("state", Value::map(state.clone()))];
        names.extend(self.scope.iter().cloned());
        Scope::new(names).with(&self.names)
    }

    /// A copy of what goes into the state: JSON data without secrets.
    fn clean(&self, update: Map) -> Result<Map, Error> {
        Value::map(update).to_data(Some(&*self.masker)).map(into_map)
    }

    fn completed(&self, node: &Node, update: Map) {
        self.emit(Event::NodeComplete { node: node.name.clone(), update });
    }

    fn emit(&self, event: Event) {
        match self.index {
            Some(index) => self.host.emit(&Event::Branch(index, Box::new(event))),
            None => self.host.emit(&event),
        }
    }

    /// The failure of a node, with no secret in its message.
    fn failed(&self, node: &str, action: &str, error: Error) -> Failure {
        let cause = hidden(&self.masker, error);
        Failure { node: node.into(), action: action.into(), cause, retry_count: 0 }
    }
}

/// The state at the start, once the input is what the workflow takes.
fn start(workflow: &Workflow, input: Map) -> Result<Map, Error> {
    let mut state = workflow.initial_state.clone();
    let Some(schema) = &workflow.input_schema else {
        state.extend(input);
        return Ok(state);
    };
    let known = schema.as_map().and_then(|schema| schema.get("properties"));
    let known = known.and_then(Value::as_map);
    let is_taken =
        |key: &str| input.contains_key(key) || known.is_some_and(|all| all.contains_key(key));
    let mut taken = state.clone();
    taken.extend(input.clone());
    taken.retain(|key, _| is_taken(key));
    let taken = io_schema::with_defaults(schema, &Value::map(taken));
    io_schema::refuse("input_schema", schema, &taken)?;
    state.extend(into_map(taken));
    Ok(state)
}

/// The error with no secret in its message.
fn hidden(masker: &Masker, error: Error) -> Error {
    let Error { kind, message, hint } = error;
    Error { kind, message: masker.masked(&message), hint: masker.masked(&hint) }
}

fn into_map(value: Value) -> Map {
    match value {
        Value::Map(map) => Arc::unwrap_or_clone(map),
        _ => Map::new(),
    }
}

fn error_update(failure: &Failure) -> Map {
    Map::from_iter([("__error__".into(), Value::map(error_data(failure)))])
}

fn error_data(failure: &Failure) -> Map {
    [
        ("type", Value::text(failure.cause.kind.word())),
        ("message", Value::text(&failure.cause.message)),
        ("node", Value::text(&failure.node)),
        ("action", Value::text(&failure.action)),
        ("retry_count", Value::Int(failure.retry_count.into())),
    ]
    .into_iter()
    .map(|(key, value)| (Arc::from(key), value))
    .collect()
}
