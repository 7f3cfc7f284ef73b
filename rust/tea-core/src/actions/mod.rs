//! Actions: what the `uses` of a node can name.
//!
//! The engine knows no action by itself. A host hands it a registry; `data::actions` has those
//! that need nothing of the world.

pub mod data;
pub mod files;
pub mod llm;
mod llm_tools;
mod retry;
mod rows;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use crate::errors::Error;
use crate::run::events::Event;
use crate::schema::check::Problem;
use crate::spec::{Kind, Parameters, ACTIONS};
use crate::suggest::{nearest, nearest_within, ALIKE};
use crate::value::{Map, Value};

/// A future on one thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One call of an action.
pub struct Call<'a> {
    /// Name of the node that runs.
    pub node: &'a str,
    /// The action's name as written in the file.
    pub action: &'a str,
    /// The rendered `with`.
    pub params: &'a Map,
    /// The rendered settings of the file.
    pub settings: &'a Map,
    /// Takes events, such as tokens.
    pub emit: &'a dyn Fn(Event),
    /// What `memory.store` keeps, for this run.
    pub memory: &'a RefCell<Map>,
    /// Runs other actions and nodes.
    pub nested: &'a dyn Nested,
}

/// What an action may run of the workflow that it is part of.
pub trait Nested {
    /// The result of an action, by its name, with its parameters.
    fn action<'a>(
        &'a self,
        name: &'a str,
        params: &'a Map,
    ) -> LocalFuture<'a, Result<Value, Error>>;

    /// Run a node, by its name, out of turn, on a copy of the state with some keys laid over it.
    /// Gives what the node wrote, which is not written into the state.
    fn node<'a>(&'a self, name: &'a str, over: Map) -> LocalFuture<'a, Result<Map, Error>>;

    /// A late parameter, computed on the state with some keys laid over it; null: not given.
    ///
    /// # Errors
    /// `TemplateError`: it cannot be computed.
    fn late(&self, key: &str, over: &Map) -> Result<Value, Error>;

    /// Wait.
    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()>;
}

impl Call<'_> {
    /// A parameter; null where it is not given.
    #[must_use]
    pub fn param(&self, key: &str) -> &Value {
        self.params.get(key).unwrap_or(&Value::Null)
    }

    /// A parameter that must be text.
    ///
    /// # Errors
    /// `ActionError` where it is not.
    pub fn text(&self, key: &str) -> Result<&str, Error> {
        let value = self.param(key);
        value.as_text().ok_or_else(|| {
            let what = value.describe();
            Error::action(format!("{}: {key} must be text, not {what}", self.action))
        })
    }
}

/// Something that a node can do.
pub trait Action {
    /// Do it. The result is JSON data.
    fn run<'a>(&'a self, call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>>;
}

/// Finds what is wrong with values that hold no template: the keys that lead to each, and a message.
pub type Check = Rc<dyn Fn(&Map) -> Vec<Problem>>;

/// What the engine must know of an action to check a file and to run it.
#[derive(Clone)]
pub struct ActionSpec {
    /// The action.
    pub action: Rc<dyn Action>,
    /// The keys that `with` may have.
    pub params: &'static [&'static str],
    /// The keys that it must have.
    pub required: &'static [&'static str],
    /// Looks at values while the file is loaded.
    pub check: Option<Check>,
}

/// What another action has run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// An action.
    Action,
    /// A node of the workflow.
    Node,
}

/// An action or a node that a parameter of another action has run.
#[derive(Debug, Clone)]
pub struct Target {
    /// The parameter.
    pub key: &'static str,
    /// What the parameter calls it.
    pub called: String,
    /// Which of the two.
    pub kind: TargetKind,
    /// Its name.
    pub name: String,
}

/// Finds, in values that are right, what an action has run.
pub type Targets = fn(&Map) -> Vec<Target>;

/// The actions of a host, by name.
#[derive(Default)]
pub struct Registry {
    specs: BTreeMap<&'static str, ActionSpec>,
    targets: BTreeMap<&'static str, Targets>,
    late: BTreeMap<&'static str, &'static str>,
    refused: BTreeMap<&'static str, &'static str>,
    refused_parameters: BTreeMap<&'static str, &'static str>,
}

impl Registry {
    /// Add an action.
    pub fn add(&mut self, name: &'static str, spec: ActionSpec) {
        self.specs.insert(name, spec);
    }

    /// Say what the action of this name has run of others.
    pub fn add_targets(&mut self, name: &'static str, targets: Targets) {
        self.targets.insert(name, targets);
    }

    /// Say which parameter of an action is computed when the action asks for it.
    pub(crate) fn add_late(&mut self, name: &'static str, key: &'static str) {
        self.late.insert(name, key);
    }

    /// The parameter of an action that is computed when the action asks for it.
    pub(crate) fn late(&self, name: &str) -> Option<&'static str> {
        self.late.get(name).copied()
    }

    /// How to find what the action of this name has run; None: it runs nothing else.
    #[must_use]
    pub fn targets(&self, name: &str) -> Option<Targets> {
        self.targets.get(name).copied()
    }

    /// Add an action as the table has it, which is done at once: `run` gets the values that the
    /// table says, no others. `more` sees what the types cannot say.
    pub(crate) fn add_checked(
        &mut self,
        name: &'static str,
        run: impl Fn(&Call<'_>) -> Result<Value, Error> + 'static,
        more: Option<fn(&Map) -> Vec<Problem>>,
    ) {
        let Some((_, row)) = ACTIONS.iter().find(|(action, _)| *action == name) else { return };
        let check: Check = Rc::new(move |values| {
            let mut problems = row.problems(values);
            problems.extend(more.into_iter().flat_map(|more| more(values)));
            problems
        });
        let action = Rc::new(Immediate { check: check.clone(), row, run });
        let (params, required) = (row.names, row.required);
        self.add(name, ActionSpec { action, params, required, check: Some(check) });
    }

    /// Refuse an action that other engines have: `why` follows its name in the message, and the
    /// name of this engine follows it.
    pub fn refuse(&mut self, name: &'static str, why: &'static str) {
        self.refused.insert(name, why);
    }

    /// Refuse a parameter, whichever action has it: `why` as in `refuse`.
    pub fn refuse_parameter(&mut self, name: &'static str, why: &'static str) {
        self.refused_parameters.insert(name, why);
    }

    /// The action of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ActionSpec> {
        self.specs.get(name)
    }

    /// The action of this name, once it takes `params`.
    ///
    /// # Errors
    /// `ActionError`: there is no such action, or it takes or needs other parameters.
    pub(crate) fn checked(&self, name: &str, params: &Map) -> Result<&ActionSpec, Error> {
        let Some(spec) = self.get(name) else {
            let hint = nearest_within(name, self.names(), ALIKE);
            return Err(Error::action(format!("unknown action \"{name}\"")).hint(hint));
        };
        if let Some(key) = params.keys().find(|key| !spec.params.contains(&&***key)) {
            let hint = nearest(key, spec.params.iter().copied());
            return Err(Error::action(format!("{name}: unknown parameter \"{key}\"")).hint(hint));
        }
        if let Some(key) = spec.required.iter().find(|key| !params.contains_key(**key)) {
            return Err(Error::action(format!("{name}: the parameter {key} is missing")));
        }
        match spec.check.as_ref().and_then(|check| check(params).into_iter().next()) {
            Some((_, message)) => Err(Error::action(format!("{name}: {message}"))),
            None => Ok(spec),
        }
    }

    pub(crate) fn refused(&self, name: &str) -> Option<&'static str> {
        self.refused.get(name).copied()
    }

    pub(crate) fn refused_parameter(&self, name: &str) -> Option<&'static str> {
        self.refused_parameters.get(name).copied()
    }

    /// All names.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.specs.keys().copied().collect()
    }
}

/// Raise the first of the problems.
pub(crate) fn refuse(problems: Vec<Problem>) -> Result<(), Error> {
    match problems.into_iter().next() {
        Some((_, message)) => Err(Error::action(message)),
        None => Ok(()),
    }
}

/// An action that is done at once.
struct Immediate<R> {
    check: Check,
    row: &'static Parameters,
    run: R,
}

impl<R: Fn(&Call<'_>) -> Result<Value, Error>> Action for Immediate<R> {
    fn run<'a>(&'a self, call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>> {
        let result = match (self.check)(call.params).into_iter().next() {
            Some((path, message)) => {
                let key = path.first().map_or("", |key| key);
                let is_text = self.row.types.get(key).is_some_and(|of| of.kind == Kind::Text);
                let is_json = matches!(call.param(key), Value::Map(_) | Value::List(_));
                let hint = "for JSON text write: \"{{ … | tojson }}\"";
                let hint = if is_text && is_json { hint } else { "" };
                Err(Error::action(format!("{}: {message}", call.action)).hint(hint))
            }
            None => (self.run)(&call),
        };
        Box::pin(std::future::ready(result))
    }
}
