//! A workflow as it is after loading: names, bodies, rules; templates compiled, nothing run.

use std::collections::HashMap;
use std::sync::Arc;

use crate::errors::{Location, Problem};
use crate::template::{Template, ValueTree};
use crate::value::{Map, Value};
use crate::workflow::condition::Condition;
use crate::workflow::retry::RetryOverrides;

/// The name that edges to the first node come from.
pub const START: &str = "__start__";
/// The name that ends a run.
pub const END: &str = "__end__";

/// Values by key, in the order written.
pub type Entries = Vec<(Arc<str>, ValueTree)>;

/// Where the result of an action goes.
#[derive(Debug)]
pub enum Output {
    /// A map is merged, anything else goes to `result`.
    Merged,
    /// A key of the state.
    Key(Arc<str>),
    /// Keys with values of their own.
    Map(Entries),
}

/// What a node or a step does.
#[derive(Debug)]
pub enum Step {
    /// `uses`: an action by name.
    Action {
        /// The name as written.
        action: String,
        /// `with`.
        params: Entries,
        /// `output`.
        output: Output,
        /// The nodes that the action has run, each with the place that names it.
        nodes: Vec<(String, Location)>,
    },
    /// `run` with an expression, whose value goes to `state[output_key]`.
    Expression {
        /// The expression, or a constant.
        value: ExpressionValue,
        /// The key of the state.
        output_key: Arc<str>,
    },
}

/// What an expression body computes.
#[derive(Debug)]
pub enum ExpressionValue {
    /// A number or a truth value as written.
    Fixed(Value),
    /// An expression.
    Template(Box<Template>),
}

/// What a node does.
#[derive(Debug)]
pub enum Body {
    /// Nothing: it is there to route from.
    None,
    /// One or more steps on one evolving state.
    Steps(Vec<Step>),
    /// Branches over a list.
    Each(Box<Each>),
    /// Nodes that run in turn as long as the condition holds.
    Loop {
        /// Tested before each pass.
        condition: Condition,
        /// The most passes.
        max_iterations: u64,
        /// The nodes of a pass.
        nodes: Vec<Node>,
        /// Whether it stops at the limit instead of failing.
        stops: bool,
    },
}

/// `type: dynamic_parallel`: a branch for each item, on a copy of the state.
#[derive(Debug)]
pub struct Each {
    /// The items.
    pub items: ValueTree,
    /// What the item is called in its branch.
    pub item_var: String,
    /// What its number is called.
    pub index_var: String,
    /// What a branch does.
    pub steps: Vec<Step>,
    /// The most branches at a time, where it is told.
    pub max_concurrency: Option<ValueTree>,
    /// Whether the node fails when a branch does.
    pub fail_fast: bool,
    /// The key of the state for the results.
    pub output: Arc<str>,
    /// Whether it names the node that comes next; its rule is the node's `goto`.
    pub has_fan_in: bool,
    /// What a branch runs instead of steps.
    pub subgraph: Option<Box<Workflow>>,
    /// The input of the subgraph.
    pub input: Entries,
}

/// The parallel edges of a node.
#[derive(Debug)]
pub struct Fork {
    /// Where the branches begin.
    pub branches: Vec<Rule>,
    /// Where they end.
    pub fan_in: Rule,
}

/// Where to go, and when; no condition means always. One of a `goto`, or an edge.
#[derive(Debug)]
pub struct Rule {
    /// A node, or the end.
    pub to: String,
    /// When.
    pub condition: Option<Condition>,
    /// Where the target is written.
    pub place: Location,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub place: Location,
    /// What it does.
    pub body: Body,
    /// Its rules, where it has a `goto`.
    pub goto: Option<Vec<Rule>>,
    /// What is told on the node itself about errors.
    pub on_error: RetryOverrides,
    /// Where its fallback is named.
    pub fallback_place: Option<Location>,
}

/// A valid workflow file. `settings` still holds templates, over env and variables.
#[derive(Debug)]
pub struct Workflow {
    /// The file's name in messages.
    pub file: String,
    /// `name`.
    pub name: Option<String>,
    /// `description`.
    pub description: Option<String>,
    /// `version`.
    pub version: Option<String>,
    /// The state at the start.
    pub initial_state: Map,
    /// What a run takes, as a JSON Schema.
    pub input_schema: Option<Value>,
    /// Of the input, what a command reads from standard input.
    pub stdin_key: Option<Arc<str>>,
    /// What a run gives, as a JSON Schema.
    pub output_schema: Option<Value>,
    /// Constants.
    pub variables: Map,
    /// Constants, too.
    pub data: Map,
    /// The settings, not rendered yet.
    pub settings: Entries,
    /// The nodes, in the order written.
    pub nodes: Vec<Node>,
    /// The edges by the node that they leave.
    pub edges: HashMap<String, Vec<Rule>>,
    /// The same of parallel edges.
    pub forks: HashMap<String, Fork>,
    /// What is doubtful in the file.
    pub warnings: Vec<Problem>,
}
