//! Reads the bodies of nodes and steps: `uses` and `run`.

use std::sync::Arc;

use crate::actions::{Target, TargetKind};
use crate::errors::Location;
use crate::spec;
use crate::suggest::{nearest_within, ALIKE};
use crate::template::{Template, ValueTree, RESULT_SCOPES};
use crate::value::Map;
use crate::workflow::context::Context;
use crate::workflow::diagnostics::{nearest_or_all, or_all};
use crate::workflow::model::{Entries, ExpressionValue, Output, Step};
use crate::yaml::document::{self, Entry, Mapping, NodeKind};

/// Keys without effect beside any other body.
const ANYWHERE: [&str; 2] = ["fan_in", "language"];
const NO_SECRETS: &str = "secrets must not reach the state";

/// Reads one body. `so_far` is the number of problems before the node or step.
pub(crate) struct StepReader<'r, 'a> {
    pub context: &'r mut Context<'a>,
    pub so_far: usize,
}

impl StepReader<'_, '_> {
    /// Refuse keys that nodes know but that mean nothing in this one, or warn of them.
    pub fn misplaced(&mut self, table: &Mapping, allowed: &[&[&str]], what: &str) {
        let has_step = allowed.contains(&spec::ACTION_BODY) || allowed.contains(&spec::RUN_BODY);
        for entry in table.iter() {
            let key = &*entry.key;
            let is_allowed = allowed.iter().any(|keys| keys.contains(&key));
            if !spec::NODE.knows(key) || is_allowed {
                continue;
            }
            let why = spec::ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == key);
            if let Some((_, why)) = why.filter(|_| has_step || ANYWHERE.contains(&key)) {
                self.context.diagnostics.without_effect(entry, what, why);
            } else {
                let message = format!("\"{key}\" has no meaning in {what}");
                self.context.diagnostics.problem(&entry.place, message, "");
            }
        }
    }

    /// Read a body; `also` are the keys that may stand beside it.
    pub fn step(&mut self, item: &document::Node, table: &Mapping, also: &[&str]) -> Option<Step> {
        let has = |names: &[&str]| names.iter().any(|name| table.contains(name));
        match (has(&["run", "script"]), has(&["uses", "action"])) {
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
            Some(params) => {
                ValueTree::compile_entries(params, self.context.scopes, &mut |node, error| {
                    self.context.diagnostics.error(node, error);
                })
            }
            None => Vec::new(),
        };
        let nodes = self.check_action(uses, &action, params, &tree);
        Some(Step::Action { action, params: tree, output, nodes })
    }

    /// Check an action and its parameters; return the nodes that it has run.
    fn check_action(
        &mut self,
        uses: &Entry,
        action: &str,
        params: Option<&Mapping>,
        tree: &Entries,
    ) -> Vec<(String, Location)> {
        let Context { diagnostics, actions, engine, .. } = &mut *self.context;
        let place = &uses.value.place;
        if let Some(why) = actions.refused(action) {
            diagnostics.problem(place, format!("{action} {why} in the engine {engine}"), "");
            return Vec::new();
        }
        let Some(spec) = actions.get(action) else {
            let names = actions.names();
            let hint = or_all(nearest_within(action, names.iter().copied(), ALIKE), names);
            diagnostics.problem(place, format!("unknown action \"{action}\""), hint);
            return Vec::new();
        };
        for entry in params.into_iter().flat_map(Mapping::iter) {
            if !spec.params.contains(&&*entry.key) {
                let hint = nearest_or_all(&entry.key, spec.params.iter().copied());
                let message = format!("{action}: unknown parameter \"{}\"", entry.key);
                diagnostics.problem(&entry.place, message, hint);
            } else if let Some(why) = actions.refused_parameter(&entry.key) {
                let message = format!("{action}: {} {why} in the engine {engine}", entry.key);
                diagnostics.problem(&entry.place, message, "");
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
        let (Some(check), Some(params)) = (&spec.check, params) else { return Vec::new() };
        let known: Map = tree
            .iter()
            .filter(|(key, _)| spec.params.contains(&&**key))
            .filter_map(|(key, value)| value.fixed().map(|value| (key.clone(), value)))
            .collect();
        for (path, message) in check(&known) {
            let place = params.place_at(&path).unwrap_or(place);
            diagnostics.problem(place, format!("{action}: {message}"), "");
        }
        match actions.targets(action) {
            Some(targets) if diagnostics.problems.len() == self.so_far => {
                self.targets(action, params, place, targets(&known))
            }
            _ => Vec::new(),
        }
    }

    /// The nodes among what an action has run; refuses actions that it cannot run.
    fn targets(
        &mut self,
        action: &str,
        params: &Mapping,
        place: &Location,
        targets: Vec<Target>,
    ) -> Vec<(String, Location)> {
        let Context { diagnostics, actions, engine, .. } = &mut *self.context;
        let mut nodes = Vec::new();
        for Target { key, called, kind, name } in targets {
            let place = params.get(key).map_or(place, |node| &node.place);
            let what = format!("{action}: {key}: \"{called}\"");
            if kind == TargetKind::Node {
                nodes.push((name, place.clone()));
            } else if let Some(why) = actions.refused(&name) {
                let message = format!("{what}: {name} {why} in the engine {engine}");
                diagnostics.problem(place, message, "");
            } else if actions.get(&name).is_none() {
                let hint = nearest_within(&name, actions.names(), ALIKE);
                diagnostics.problem(place, format!("{what}: unknown action \"{name}\""), hint);
            } else if actions.targets(&name).is_some() {
                let why = "runs others itself, so it cannot be run by another";
                diagnostics.problem(place, format!("{what}: {name} {why}"), "");
            }
        }
        nodes
    }

    fn output(&mut self, node: &document::Node) -> Output {
        let own = self.context.scopes.iter().filter(|name| !RESULT_SCOPES.contains(name));
        let scopes: Vec<&str> = RESULT_SCOPES.iter().chain(own).copied().collect();
        let diagnostics = &mut *self.context.diagnostics;
        if let NodeKind::Mapping(table) = &node.kind {
            let tree = ValueTree::compile_entries(table, &scopes, &mut |node, error| {
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
        let said = self.context.diagnostics.value(table, "language", &spec::NODE);
        if let NodeKind::Mapping(typed) = &entry.value.kind {
            if let Some(said) = said {
                self.check_language(said, typed);
            }
            return self.typed(&entry.value, typed);
        }
        let language = said.and_then(|said| said.value.text());
        self.code(entry, &entry.key, language, &said.unwrap_or(entry).value.place);
        None
    }

    /// Refuse a language beside a `run` that names another; an expression has none.
    fn check_language(&mut self, said: &Entry, run: &Mapping) {
        let diagnostics = &mut *self.context.diagnostics;
        match run.get("type").and_then(|kind| kind.text()) {
            Some("expression") => {
                diagnostics.without_effect(said, "a node with an expression", "there is no code");
            }
            Some(kind) if said.value.text() != Some(kind) => {
                let message = format!("language and run.type say different things: {kind}");
                diagnostics.problem(&said.value.place, message, "");
            }
            _ => {}
        }
    }

    /// Read a `run` that says what it is: {type: python, code}, {type: expression, value}.
    fn typed(&mut self, node: &document::Node, table: &Mapping) -> Option<Step> {
        let diagnostics = &mut *self.context.diagnostics;
        if !table.contains("type") {
            let hint = "write type: expression, or a language";
            diagnostics.problem(&node.place, "run: it has no type", hint);
        }
        let entry = diagnostics.value(table, "type", &spec::EXPRESSION)?;
        let kind = entry.value.text()?;
        diagnostics.keys(table, &spec::EXPRESSION);
        let is_expression = kind == "expression";
        let allowed: &[&str] =
            if is_expression { &["type", "value", "output_key"] } else { &["type", "code"] };
        for other in table.iter() {
            if spec::EXPRESSION.knows(&other.key) && !allowed.contains(&&*other.key) {
                let message = format!("\"{}\" has no meaning in a run of type {kind}", other.key);
                diagnostics.problem(&other.place, message, "");
            }
        }
        if is_expression {
            return self.expression(node, table);
        }
        match table.entry("code") {
            Some(source) => self.code(source, "run.code", Some(kind), &entry.value.place),
            None => {
                let message = format!("run: type {kind} needs code");
                diagnostics.problem(&node.place, message, "");
            }
        }
        None
    }

    /// Refuse code, which this engine cannot run; `place` is where its language is said.
    fn code(&mut self, entry: &Entry, what: &str, language: Option<&str>, place: &Location) {
        let engine = self.context.engine;
        let diagnostics = &mut *self.context.diagnostics;
        match entry.value.text() {
            None => {
                diagnostics.problem(&entry.value.place, format!("{what}: expected code"), "");
            }
            Some(code) if crate::value::text::strip(code).is_empty() => {
                diagnostics.problem(&entry.place, format!("{what}: there is no code"), "");
            }
            Some(code) => match language.or_else(|| marked_language(code)).unwrap_or("python") {
                "python" => {
                    let message = format!("{what}: the engine {engine} cannot run Python code");
                    let hint = "use the engine python, or write {type: expression, value: …}";
                    diagnostics.problem(&entry.value.place, message, hint);
                }
                other => {
                    let name = if other == "lua" { "Lua" } else { "Prolog" };
                    let message = format!("{name} code is not supported here");
                    diagnostics.problem(place, message, "write {type: expression, value: …}");
                }
            },
        }
    }

    fn expression(&mut self, node: &document::Node, table: &Mapping) -> Option<Step> {
        let scopes = self.context.scopes;
        let diagnostics = &mut *self.context.diagnostics;
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
            Template::compile_text(text, scopes)
        } else {
            Template::compile_expression(text, scopes)
        };
        let template = compiled.map_err(|error| diagnostics.error(value, error)).ok()?;
        if template.reads("secrets") {
            diagnostics.problem(&value.place, NO_SECRETS, "");
        }
        let value = ExpressionValue::Template(Box::new(template));
        Some(Step::Expression { value, output_key })
    }
}

/// The language that the first line of code names: `-- lua` or `% prolog`.
fn marked_language(code: &str) -> Option<&'static str> {
    let code = code.trim_start();
    let (marked, language) = match code.strip_prefix("--") {
        Some(rest) => (rest, "lua"),
        None => (code.strip_prefix('%')?, "prolog"),
    };
    let word: String = marked
        .trim_start()
        .chars()
        .take_while(|each| each.is_alphanumeric() || *each == '_')
        .collect();
    (word.to_lowercase() == language).then_some(language)
}
