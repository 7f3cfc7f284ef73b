//! Reads the bodies of nodes and steps: `uses` and `run`.

use std::sync::Arc;

use crate::spec;
use crate::template::{Template, ValueTree, RESULT_SCOPES, SCOPES};
use crate::value::Map;
use crate::workflow::context::Context;
use crate::workflow::diagnostics::nearest_or_all;
use crate::workflow::model::{Entries, ExpressionValue, Output, Step};
use crate::yaml::document::{self, Entry, Mapping, NodeKind};

const NO_SECRETS: &str = "secrets must not reach the state";

/// Reads one body. `so_far` is the number of problems before the node or step.
pub(crate) struct StepReader<'r, 'a> {
    pub context: &'r mut Context<'a>,
    pub so_far: usize,
}

impl StepReader<'_, '_> {
    /// Refuse keys that nodes know but that mean nothing in this one.
    pub fn misplaced(&mut self, table: &Mapping, allowed: &[&[&str]], what: &str) {
        for entry in table.iter() {
            let key = &*entry.key;
            let is_allowed = allowed.iter().any(|keys| keys.contains(&key));
            if spec::NODE.knows(key) && !is_allowed {
                let message = format!("\"{key}\" has no meaning in {what}");
                self.context.diagnostics.problem(&entry.place, message, "");
            }
        }
    }

    /// Read a body; `also` are the keys that may stand beside it.
    pub fn step(&mut self, item: &document::Node, table: &Mapping, also: &[&str]) -> Option<Step> {
        let has = |names: &[&str]| names.iter().any(|name| table.contains(name));
        match (has(spec::RUN_BODY), has(&["uses", "action"])) {
            (true, true) => {
                let message = "a step has one body, this has: uses, run";
                self.context.diagnostics.problem(&item.place, message, "");
                None
            }
            (true, false) => {
                self.misplaced(table, &[also, spec::RUN_BODY], "a node with run");
                self.run(table)
            }
            (false, true) => {
                self.misplaced(table, &[also, spec::ACTION_BODY], "a node with uses");
                self.action(table)
            }
            (false, false) => {
                let hint = "give it uses or run";
                self.context.diagnostics.problem(&item.place, "the step has no body", hint);
                None
            }
        }
    }

    /// The entry of a key that has two names. Both at once are refused.
    fn pair<'t>(&mut self, table: &'t Mapping, name: &str, other: &str) -> Option<&'t Entry> {
        let (entry, second) = (table.entry(name), table.entry(other));
        if let (Some(_), Some(second)) = (entry, second) {
            let message = format!("\"{name}\" and \"{other}\" mean the same: use one");
            self.context.diagnostics.problem(&second.place, message, "");
        }
        entry.or(second)
    }

    // --- actions

    fn action(&mut self, table: &Mapping) -> Option<Step> {
        let uses = self.pair(table, "uses", "action")?;
        let given = self.pair(table, "with", "params");
        let output = self.pair(table, "output", "outputs");
        let action = self.context.diagnostics.text(table, &uses.key);
        let params = given.and_then(|entry| self.context.diagnostics.table(table, &entry.key));
        let output = output.map_or(Output::Merged, |entry| self.output(&entry.value));
        let action = action?;
        let tree = match params {
            Some(params) => ValueTree::compile_entries(params, SCOPES, &mut |node, error| {
                self.context.diagnostics.error(node, error);
            }),
            None => Vec::new(),
        };
        self.check_action(uses, &action, params, &tree);
        Some(Step::Action { action, params: tree, output })
    }

    fn check_action(
        &mut self,
        uses: &Entry,
        action: &str,
        params: Option<&Mapping>,
        tree: &Entries,
    ) {
        let Context { diagnostics, actions, engine } = &mut *self.context;
        let place = &uses.value.place;
        if let Some(why) = actions.refused(action) {
            diagnostics.problem(place, format!("{action} {why} in the engine {engine}"), "");
            return;
        }
        let Some(spec) = actions.get(action) else {
            let hint = nearest_or_all(action, actions.names().into_iter());
            diagnostics.problem(place, format!("unknown action \"{action}\""), hint);
            return;
        };
        for entry in params.into_iter().flat_map(Mapping::iter) {
            if !spec.params.contains(&&*entry.key) {
                let hint = nearest_or_all(&entry.key, spec.params.iter().copied());
                let message = format!("{action}: unknown parameter \"{}\"", entry.key);
                diagnostics.problem(&entry.place, message, hint);
            }
        }
        // A misspelled key was most likely meant to be the one that is missing.
        if diagnostics.problems.len() == self.so_far {
            for key in spec.required {
                if !tree.iter().any(|(name, _)| &**name == *key) {
                    let message = format!("{action}: the parameter {key} is missing");
                    diagnostics.problem(place, message, "");
                }
            }
        }
        let (Some(check), Some(params)) = (spec.check, params) else { return };
        let known: Map = tree
            .iter()
            .filter(|(key, _)| spec.params.contains(&&**key))
            .filter_map(|(key, value)| value.fixed().map(|value| (key.clone(), value)))
            .collect();
        for (key, message) in check(&known) {
            let place = params.get(key).map_or(place, |node| &node.place);
            diagnostics.problem(place, format!("{action}: {message}"), "");
        }
    }

    fn output(&mut self, node: &document::Node) -> Output {
        let diagnostics = &mut *self.context.diagnostics;
        if let NodeKind::Mapping(table) = &node.kind {
            let tree = ValueTree::compile_entries(table, RESULT_SCOPES, &mut |node, error| {
                diagnostics.error(node, error);
            });
            if tree.iter().any(|(_, item)| item.reads("secrets")) {
                diagnostics.problem(&node.place, NO_SECRETS, "");
            }
            return Output::Map(tree);
        }
        match node.text().filter(|text| !text.is_empty()) {
            Some(key) => {
                if key.contains("{{") || key.contains("{%") {
                    let message = "output names a key of the state; it is no template";
                    let hint = "for a template write a map: {key: \"{{ … }}\"}";
                    diagnostics.problem(&node.place, message, hint);
                }
                Output::Key(key.into())
            }
            None => {
                let message = "output: expected the name of a key, or a map";
                diagnostics.problem(&node.place, message, "");
                Output::Merged
            }
        }
    }

    // --- run

    fn run(&mut self, table: &Mapping) -> Option<Step> {
        let entry = self.pair(table, "run", "script")?;
        if let NodeKind::Mapping(expression) = &entry.value.kind {
            return self.expression(&entry.value, expression);
        }
        let engine = self.context.engine;
        let diagnostics = &mut *self.context.diagnostics;
        match entry.value.text() {
            None => {
                let message = format!("{}: expected Python code", entry.key);
                diagnostics.problem(&entry.value.place, message, "");
            }
            Some(code) if crate::value::text::strip(code).is_empty() => {
                diagnostics.problem(&entry.place, format!("{}: there is no code", entry.key), "");
            }
            Some(_) => {
                let message = format!("{}: the engine {engine} cannot run Python code", entry.key);
                let hint = "use the engine python, or write {type: expression, value: …}";
                diagnostics.problem(&entry.value.place, message, hint);
            }
        }
        None
    }

    fn expression(&mut self, node: &document::Node, table: &Mapping) -> Option<Step> {
        let diagnostics = &mut *self.context.diagnostics;
        let kind = table.get("type");
        if kind.and_then(|kind| kind.text()) != Some("expression") {
            let wrong = match kind {
                Some(kind) => format!("type {} is not supported here", kind.shown()),
                None => "it has no type".into(),
            };
            let place = kind.map_or(&node.place, |kind| &kind.place);
            let hint = "write type: expression, or Python code as text";
            diagnostics.problem(place, format!("run: {wrong}"), hint);
            return None;
        }
        diagnostics.keys(table, &spec::EXPRESSION);
        let key = match table.contains("output_key") {
            true => diagnostics.text(table, "output_key"),
            false => None,
        };
        let output_key: Arc<str> = key.as_deref().unwrap_or("result").into();
        let value = table.get("value");
        let Some((value, scalar)) = value
            .and_then(|value| value.scalar().map(|scalar| (value, scalar)))
            .filter(|(_, scalar)| !scalar.is_null() && scalar.as_text() != Some(""))
        else {
            diagnostics.problem(&node.place, "run: value: expected an expression", "");
            return None;
        };
        let Some(text) = scalar.as_text() else {
            let value = ExpressionValue::Fixed(scalar.clone());
            return Some(Step::Expression { value, output_key });
        };
        let compiled = if text.contains("{{") || text.contains("{%") {
            Template::compile_text(text, SCOPES)
        } else {
            Template::compile_expression(text, SCOPES)
        };
        let template = compiled.map_err(|error| diagnostics.error(value, error)).ok()?;
        if template.reads("secrets") {
            diagnostics.problem(&value.place, NO_SECRETS, "");
        }
        let value = ExpressionValue::Template(Box::new(template));
        Some(Step::Expression { value, output_key })
    }
}
