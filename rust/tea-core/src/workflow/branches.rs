//! Reads the bodies that begin branches: `type: dynamic_parallel`.

use crate::spec;
use crate::template::{ValueTree, RESULT_SCOPES};
use crate::value::Value;
use crate::workflow::context::Context;
use crate::workflow::model::{Body, Each, Rule, Step, Workflow};
use crate::workflow::subgraphs::Unloadable;
use crate::yaml::document::{self, Mapping, NodeKind};

/// The key of the state that has the results of branches.
pub(crate) const RESULTS: &str = "parallel_results";

/// What `max_concurrency` takes, in words.
pub(crate) fn concurrency() -> &'static str {
    spec::NODE.known.get("max_concurrency").map_or("a whole number", |of| of.expected)
}

/// How many branches the value lets run at a time.
pub(crate) fn as_concurrency(value: &Value) -> Option<usize> {
    value.as_int().and_then(|number| usize::try_from(number).ok()).filter(|number| *number >= 1)
}

impl Context<'_> {
    pub(super) fn each(&mut self, item: &document::Node, table: &Mapping) -> Option<Body> {
        let item_var = self.variable(table, "item_var", "item");
        let index_var = self.variable(table, "index_var", "index");
        if !table.contains("items") {
            self.diagnostics.problem(&item.place, "a dynamic_parallel needs items", "");
        }
        let bodies: Vec<&str> =
            ["action", "steps", "subgraph"].into_iter().filter(|key| table.contains(key)).collect();
        let (mut steps, mut input) = (None, Vec::new());
        let given = self.diagnostics.table(table, "input");
        match bodies[..] {
            [body] => {
                let mut scopes = self.scopes.to_vec();
                scopes.extend([item_var.as_str(), index_var.as_str()]);
                let Context { actions, engine, subgraph, .. } = *self;
                let diagnostics = &mut *self.diagnostics;
                let scopes = &scopes;
                let mut inner = Context { diagnostics, actions, engine, scopes, subgraph };
                steps = inner.branch(table, body);
                if let Some(given) = given {
                    input = ValueTree::compile_entries(given, scopes, &mut |node, error| {
                        inner.diagnostics.error(node, error);
                    });
                }
            }
            _ => {
                let message = "a dynamic_parallel needs exactly one of action, steps, subgraph";
                self.diagnostics.problem(&item.place, message, "");
            }
        }
        let subgraph = if bodies == ["subgraph"] { self.load_subgraph(table) } else { None };
        if let Some(entry) = table.entry("input").filter(|_| !table.contains("subgraph")) {
            self.diagnostics.problem(&entry.place, "input belongs to a subgraph", "");
        }
        let config = self.diagnostics.table(table, "parallel_config");
        if let Some(config) = config {
            self.diagnostics.keys(config, &spec::PARALLEL_CONFIG);
        }
        let places = [Some(table), config];
        let max_concurrency = self.concurrency(&places);
        let fail_fast = self.fail_fast(&places);
        let output = match table.contains("output") {
            true => self.diagnostics.text(table, "output"),
            false => None,
        };
        let has_fan_in = self.diagnostics.text(table, "fan_in").is_some();
        let items = table.get("items").map(|node| self.items(node));
        Some(Body::Each(Box::new(Each {
            items: items.flatten().unwrap_or(ValueTree::Fixed(Value::Null)),
            item_var,
            index_var,
            steps: steps?,
            max_concurrency,
            fail_fast,
            output: output.as_deref().unwrap_or(RESULTS).into(),
            has_fan_in,
            subgraph,
            input,
        })))
    }

    /// Load the subgraph; its problems and warnings are those of this file, too.
    fn load_subgraph(&mut self, table: &Mapping) -> Option<Box<Workflow>> {
        let path = self.diagnostics.text(table, "subgraph")?;
        match (self.subgraph)(&path) {
            Ok(mut workflow) => {
                self.diagnostics.warnings.append(&mut workflow.warnings);
                return Some(Box::new(workflow));
            }
            Err(Unloadable::Invalid(mut file)) => {
                self.diagnostics.problems.append(&mut file.problems);
            }
            Err(Unloadable::File(error)) => {
                let place = table.get("subgraph").map(|node| node.place.clone())?;
                let message = format!("subgraph: {}", error.message);
                self.diagnostics.problem(&place, message, error.hint);
            }
        }
        None
    }

    fn variable(&mut self, table: &Mapping, key: &str, default: &str) -> String {
        let Some(node) = table.get(key) else { return default.into() };
        let Some(name) = self.diagnostics.text(table, key) else { return default.into() };
        let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let is_name = starts && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        if !is_name || RESULT_SCOPES.contains(&name.as_str()) {
            let message = format!("{key}: \"{name}\" cannot be a name of its own");
            self.diagnostics.problem(&node.place, message, "");
        }
        name
    }

    /// Read what a branch does: its action, or its steps.
    fn branch(&mut self, table: &Mapping, key: &str) -> Option<Vec<Step>> {
        match key {
            "subgraph" => return Some(Vec::new()),
            "steps" => return self.list_of_steps(table),
            _ => {}
        }
        let node = table.get("action")?;
        let NodeKind::Mapping(action) = &node.kind else {
            let hint = "write action: {uses: …, with: …}";
            self.diagnostics.problem(&node.place, "action: expected a map", hint);
            return None;
        };
        Some(vec![self.one_step(node, action)?])
    }

    fn compiled(&mut self, node: &document::Node) -> ValueTree {
        ValueTree::compile(node, self.scopes, &mut |node, error| {
            self.diagnostics.error(node, error)
        })
    }

    fn items(&mut self, node: &document::Node) -> Option<ValueTree> {
        if node.text().is_none() && !matches!(node.kind, NodeKind::Sequence(_)) {
            let got = node.plain().describe();
            let message = format!("items: expected a list, got {got}");
            self.diagnostics.problem(&node.place, message, "");
            return None;
        }
        let tree = self.compiled(node);
        if matches!(tree, ValueTree::Fixed(Value::Text(_))) {
            let message = "items: expected a list, or a template that gives one";
            self.diagnostics.problem(&node.place, message, "");
        }
        Some(tree)
    }

    fn concurrency(&mut self, places: &[Option<&Mapping>]) -> Option<ValueTree> {
        let node = places.iter().flatten().find_map(|table| table.get("max_concurrency"))?;
        let tree = self.compiled(node);
        if tree.fixed().is_some_and(|value| as_concurrency(&value).is_none()) {
            let message = format!("max_concurrency: expected {}", concurrency());
            self.diagnostics.problem(&node.place, message, "");
        }
        Some(tree)
    }

    fn fail_fast(&mut self, places: &[Option<&Mapping>]) -> bool {
        let given = places.iter().flatten().find(|table| table.contains("fail_fast"));
        let entry = given.and_then(|table| self.diagnostics.value(table, "fail_fast", &spec::NODE));
        entry.is_some_and(|entry| entry.value.scalar().and_then(Value::as_bool) == Some(true))
    }

    pub(super) fn fan_in(
        &mut self,
        table: &Mapping,
        goto: Option<Vec<Rule>>,
        in_loop: bool,
    ) -> Option<Vec<Rule>> {
        let node = table.get("fan_in")?;
        if in_loop {
            let message = "a node in a loop's body cannot have fan_in";
            self.diagnostics.problem(&node.place, message, "");
        } else if goto.is_some() {
            let message = "fan_in and goto both say what comes next";
            self.diagnostics.problem(&node.place, message, "");
        }
        let to = node.text()?.into();
        Some(vec![Rule { to, condition: None, place: node.place.clone() }])
    }
}
