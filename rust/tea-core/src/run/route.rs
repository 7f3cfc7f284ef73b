//! Where a run goes after a node: goto, edges, or the next node in the list.

use crate::errors::Error;
use crate::template::Scope;
use crate::value::Value;
use crate::workflow::model::{Node, Rule, Workflow, END, START};

/// The name of the first node, or the end.
///
/// # Errors
/// `TemplateError` or `LimitError`: a condition cannot be judged, or no rule holds.
pub(crate) fn entry<'w>(workflow: &'w Workflow, scope: &Scope) -> Result<&'w str, Error> {
    match workflow.edges.get(START) {
        Some(rules) => first(rules, scope, START, "edge"),
        None => Ok(workflow.nodes.first().map_or(END, |node| &node.name)),
    }
}

/// The name of the node after `node`, or the end. `goto` rules also see the raw `result`.
///
/// # Errors
/// As for `entry`.
pub(crate) fn following<'w>(
    workflow: &'w Workflow,
    node: &'w Node,
    scope: &Scope,
    result: &Value,
) -> Result<&'w str, Error> {
    if let Some(rules) = &node.goto {
        return first(rules, &scope.with_result(result), &node.name, "goto rule");
    }
    if let Some(rules) = workflow.edges.get(&node.name) {
        return first(rules, scope, &node.name, "edge");
    }
    let next = workflow.nodes.iter().skip_while(|each| each.name != node.name).nth(1);
    Ok(next.map_or(END, |node| &node.name))
}

fn first<'w>(rules: &'w [Rule], scope: &Scope, name: &str, kind: &str) -> Result<&'w str, Error> {
    for rule in rules {
        if rule.condition.as_ref().map_or(Ok(true), |condition| condition.holds(scope))? {
            return Ok(&rule.to);
        }
    }
    let shown: Vec<String> =
        rules.iter().map(|rule| format!("{} → {}", source(rule), rule.to)).collect();
    Err(Error::template(format!("no {kind} of {name} holds: {}", shown.join(", ")))
        .hint("add a last one without a condition"))
}

fn source(rule: &Rule) -> String {
    let Some(condition) = &rule.condition else { return "always".into() };
    match &condition.expected {
        Some(expected) => format!("{} = {}", condition.source, expected.source),
        None => condition.source.clone(),
    }
}
