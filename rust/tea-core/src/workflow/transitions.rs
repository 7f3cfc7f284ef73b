//! Reads what a node says beside its body: where to go, and what to do when it fails.

use crate::errors::{Error, Location};
use crate::spec::{self, Level};
use crate::template::RESULT_SCOPES;
use crate::workflow::condition::Condition;
use crate::workflow::diagnostics::Diagnostics;
use crate::workflow::model::Rule;
use crate::workflow::retry::{Mode, RetryOverrides};
use crate::yaml::document::{Mapping, Node, NodeKind};

/// Read a condition: text or a truth value.
pub(crate) fn read_condition(
    diagnostics: &mut Diagnostics,
    node: &Node,
    scopes: &[&str],
) -> Option<Condition> {
    let compiled = match node.scalar() {
        Some(value) => Condition::compile(value, scopes),
        None => Err(Error::template("a condition must be text or a truth value")),
    };
    compiled.map_err(|error| diagnostics.error(node, error)).ok()
}

/// Read the goto of a node: its rules, or None where there is none.
pub(crate) fn read_goto(diagnostics: &mut Diagnostics, table: &Mapping) -> Option<Vec<Rule>> {
    let node = table.get("goto")?;
    if let Some(name) = node.text().filter(|name| !name.is_empty()) {
        return Some(vec![Rule { to: name.into(), condition: None, place: node.place.clone() }]);
    }
    let items = match &node.kind {
        NodeKind::Sequence(items) if !items.is_empty() => items,
        _ => {
            let message =
                "goto: expected the name of a node, or a list of {if, to} that is not empty";
            diagnostics.problem(&node.place, message, "");
            return None;
        }
    };
    let mut rules = Vec::new();
    for item in items {
        let NodeKind::Mapping(rule) = &item.kind else {
            diagnostics.problem(&item.place, "goto: expected a rule: {if, to}", "");
            continue;
        };
        diagnostics.keys(rule, &spec::GOTO);
        let to = diagnostics.text(rule, "to");
        if !rule.contains("to") {
            diagnostics.problem(&item.place, "goto: the rule has no to", "");
        }
        let test = rule.get("if");
        let condition = test.and_then(|test| read_condition(diagnostics, test, RESULT_SCOPES));
        if let (Some(to), Some(target)) = (to, rule.get("to")) {
            rules.push(Rule { to, condition, place: target.place.clone() });
        }
    }
    Some(rules)
}

/// Read on_error, retry and fallback: what is told, and where the fallback is named.
pub(crate) fn read_on_error(
    diagnostics: &mut Diagnostics,
    table: &Mapping,
) -> (RetryOverrides, Option<Location>) {
    const TWICE: &str = "use one of them";
    let on_error = diagnostics.table(table, "on_error");
    let mut told = read_told(diagnostics, on_error, &spec::ON_ERROR);
    let mut place = on_error
        .and_then(|table| table.get("fallback"))
        .filter(|_| told.fallback.is_some())
        .map(|node| node.place.clone());
    if let Some(entry) = table.entry("retry") {
        let given = diagnostics.table(table, "retry");
        let mut retry = read_told(diagnostics, given, &spec::RETRY);
        retry.mode = Some(Mode::Retry);
        if told.overlaps(&retry) || told.mode.is_some_and(|mode| mode != Mode::Retry) {
            diagnostics.problem(&entry.place, "retry and on_error say different things", TWICE);
        }
        told.merge(retry);
    }
    if let Some(fallback) = diagnostics.text(table, "fallback") {
        if let Some(entry) = table.entry("fallback") {
            if place.is_some() || told.mode == Some(Mode::Raise) {
                let message = "fallback and on_error say different things";
                diagnostics.problem(&entry.place, message, TWICE);
            }
            place = Some(entry.value.place.clone());
        }
        told.fallback = Some(fallback);
    }
    (told, place)
}

/// Read the keys of on_error or retry.
fn read_told(
    diagnostics: &mut Diagnostics,
    table: Option<&Mapping>,
    level: &Level,
) -> RetryOverrides {
    let Some(table) = table else { return RetryOverrides::default() };
    diagnostics.keys(table, level);
    let mut values = Vec::new();
    for key in level.known.keys() {
        if let Some(entry) = diagnostics.value(table, key, level) {
            values.push((key, entry.value.plain()));
        }
    }
    RetryOverrides::from_values(values)
}
