//! Reads the nodes of a workflow file.

use std::rc::Rc;

use crate::spec;
use crate::value::Value;
use crate::workflow::condition::Condition;
use crate::workflow::context::Context;
use crate::workflow::model::{Body, Node, Step};
use crate::workflow::retry::RetryOverrides;
use crate::workflow::steps::StepReader;
use crate::workflow::transitions::{read_condition, read_goto, read_on_error};
use crate::yaml::document::{self, Mapping, NodeKind};

const NOT_DONE: &[&str] = &["parallel_each", "parallel", "lua", "prolog"];
const TYPES: [&str; 2] = ["while_loop", "dynamic_parallel"];

impl Context<'_> {
    /// Read a list of nodes: those of the file, or those of a loop's body.
    pub fn nodes(&mut self, items: &[Rc<document::Node>], in_loop: bool) -> Vec<Node> {
        items.iter().filter_map(|item| self.node(item, in_loop)).collect()
    }

    fn node(&mut self, item: &document::Node, in_loop: bool) -> Option<Node> {
        let NodeKind::Mapping(table) = &item.kind else {
            let got = item.plain().describe();
            let hint = "a node is a map with a name";
            self.diagnostics.problem(&item.place, format!("expected a node, got {got}"), hint);
            return None;
        };
        let name = self.diagnostics.text(table, "name");
        if !table.contains("name") {
            self.diagnostics.problem(&item.place, "the node has no name", "");
        }
        let shown = name.as_ref().map(|name| format!("node {name}"));
        let (actions, engine, scopes, subgraph) =
            (self.actions, self.engine, self.scopes, self.subgraph);
        self.diagnostics.within(shown.as_deref(), |diagnostics| {
            let mut inner = Context { diagnostics, actions, engine, scopes, subgraph };
            inner.named(item, table, name.unwrap_or_default(), in_loop)
        })
    }

    fn named(
        &mut self,
        item: &document::Node,
        table: &Mapping,
        name: String,
        in_loop: bool,
    ) -> Option<Node> {
        let so_far = self.diagnostics.problems.len();
        self.diagnostics.value_or_null(table, "description", &spec::NODE);
        if self.refuse_type(table) {
            let on_error = RetryOverrides::default();
            let place = item.place.clone();
            let (goto, fallback_place) = (None, None);
            return Some(Node { name, place, body: Body::None, goto, on_error, fallback_place });
        }
        self.diagnostics.keys(table, &spec::NODE);
        if let Some(entry) = table.entry("goto").filter(|_| in_loop) {
            self.diagnostics.problem(&entry.place, "a node in a loop's body cannot have goto", "");
        }
        let body = self.body(item, table, in_loop, so_far).unwrap_or(Body::None);
        let mut goto = if in_loop { None } else { read_goto(self.diagnostics, table) };
        if matches!(&body, Body::Each(each) if each.has_fan_in) {
            goto = self.fan_in(table, goto, in_loop);
        }
        let (on_error, fallback_place) = read_on_error(self.diagnostics, table);
        Some(Node { name, place: item.place.clone(), body, goto, on_error, fallback_place })
    }

    /// Refuse a `type` that is not done; the other keys would only add noise.
    fn refuse_type(&mut self, table: &Mapping) -> bool {
        let Some(node) = table.get("type") else { return false };
        let shown = node.shown();
        if TYPES.contains(&shown.as_str()) {
            return false;
        }
        if NOT_DONE.contains(&shown.as_str()) {
            let message = format!("type {shown} is not supported here");
            self.diagnostics.problem(&node.place, message, "");
        } else {
            let message = format!("unknown type of node: {shown}");
            let hint = format!("known: {}", TYPES.join(", "));
            self.diagnostics.problem(&node.place, message, hint);
        }
        true
    }

    fn body(
        &mut self,
        item: &document::Node,
        table: &Mapping,
        in_loop: bool,
        so_far: usize,
    ) -> Option<Body> {
        if table.get("type").and_then(|kind| kind.text()) == Some("dynamic_parallel") {
            let mut steps = StepReader { context: self, so_far };
            let own = ["type", "action", "steps", "output"];
            let allowed = [spec::ANY_NODE, spec::EACH_BODY, &own];
            steps.misplaced(table, &allowed, "a dynamic_parallel");
            return self.each(item, table);
        }
        let styles: [(&str, &[&str]); 4] = [
            ("uses", &["uses", "action"]),
            ("run", &["run", "script"]),
            ("steps", spec::STEPS_BODY),
            ("type: while_loop", &["type"]),
        ];
        let found: Vec<&str> = styles
            .iter()
            .filter(|(_, names)| names.iter().any(|name| table.contains(name)))
            .map(|(style, _)| *style)
            .collect();
        let mut steps = StepReader { context: self, so_far };
        match found[..] {
            [] => steps.misplaced(table, &[spec::EMPTY_NODE], "a node without a body"),
            ["steps"] => {
                steps.misplaced(table, &[spec::ANY_NODE, spec::STEPS_BODY], "a node with steps");
                return self.steps(table);
            }
            ["type: while_loop"] if in_loop => {
                self.diagnostics.problem(&item.place, "a loop cannot be inside a loop", "");
            }
            ["type: while_loop"] => {
                steps.misplaced(table, &[spec::ANY_NODE, spec::LOOP_BODY], "a while_loop");
                return self.while_loop(item, table);
            }
            [_] => return Some(Body::Steps(vec![steps.step(item, table, spec::ANY_NODE)?])),
            _ => {
                let message = format!("a node has one body, this has: {}", found.join(", "));
                self.diagnostics.problem(&item.place, message, "");
            }
        }
        None
    }

    fn steps(&mut self, table: &Mapping) -> Option<Body> {
        self.list_of_steps(table).map(Body::Steps)
    }

    pub(super) fn list_of_steps(&mut self, table: &Mapping) -> Option<Vec<Step>> {
        let entry = table.entry("steps")?;
        let items = self.diagnostics.items(table, "steps");
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            if items.is_some() || entry.value.is_null() {
                self.diagnostics.problem(&entry.place, "steps: there are none", "");
            }
            return None;
        };
        let mut steps = Vec::new();
        for item in items {
            let NodeKind::Mapping(step) = &item.kind else {
                let message = "expected a step: a map with uses or run";
                self.diagnostics.problem(&item.place, message, "");
                continue;
            };
            steps.extend(self.one_step(item, step));
        }
        Some(steps)
    }

    pub(super) fn one_step(&mut self, item: &document::Node, step: &Mapping) -> Option<Step> {
        // What a step leaves out because it was refused may have any of these keys.
        let unsupported = spec::STEP.unsupported.iter().chain(spec::ANY_STEP);
        let any_step: Vec<&str> = unsupported.copied().collect();
        let so_far = self.diagnostics.problems.len();
        self.diagnostics.keys(step, &spec::STEP);
        self.diagnostics.value(step, "name", &spec::STEP);
        self.diagnostics.value_or_null(step, "description", &spec::STEP);
        StepReader { context: self, so_far }.step(item, step, &any_step)
    }

    fn while_loop(&mut self, item: &document::Node, table: &Mapping) -> Option<Body> {
        for key in ["condition", "max_iterations", "body"] {
            if !table.contains(key) {
                self.diagnostics.problem(&item.place, format!("a while_loop needs {key}"), "");
            }
        }
        let condition = table
            .get("condition")
            .and_then(|node| read_condition(self.diagnostics, node, self.scopes));
        let limit = self.diagnostics.value(table, "max_iterations", &spec::NODE);
        let limit = limit.and_then(|entry| entry.value.scalar().and_then(Value::as_int));
        let ends = self.diagnostics.value(table, "on_max_iterations", &spec::NODE);
        let stops = ends.is_some_and(|entry| entry.value.text() == Some("stop"));
        let items = self.diagnostics.items(table, "body");
        let mut nodes = Vec::new();
        match (items, table.entry("body")) {
            (Some([]), Some(entry)) => {
                self.diagnostics.problem(&entry.value.place, "body: there are no nodes", "");
            }
            (Some(items), _) => nodes = self.nodes(items, true),
            (None, Some(entry)) if entry.value.is_null() => {
                self.diagnostics.problem(&entry.place, "body: there are no nodes", "");
            }
            _ => {}
        }
        if nodes.is_empty() {
            return None;
        }
        // What is missing was noted; the nodes go on to the checks of names and targets.
        Some(Body::Loop {
            condition: condition.unwrap_or_else(|| Condition::known(false)),
            max_iterations: limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(1),
            nodes,
            stops,
        })
    }
}
