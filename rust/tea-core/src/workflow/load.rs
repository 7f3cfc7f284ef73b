//! Checks a whole workflow file: its keys, its names, where its rules lead, what can be reached.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use indexmap::IndexMap;

use crate::actions::Registry;
use crate::errors::{Error, InvalidFile, Kind, Location, Problem};
use crate::schema::check::pointer;
use crate::spec;
use crate::suggest::nearest;
use crate::template::SCOPES;
use crate::value::{Map, Value};
use crate::workflow::condition::Condition;
use crate::workflow::context::Context;
use crate::workflow::diagnostics::Diagnostics;
use crate::workflow::io_schema;
use crate::workflow::model::{Body, Fork, Node, Rule, Step, Workflow, END, START};
use crate::workflow::settings;
use crate::workflow::subgraphs::{Load, Source, Unloadable};
use crate::workflow::transitions::read_condition;
use crate::yaml::compose;
use crate::yaml::document::{self, Mapping, NodeKind};

/// Read a workflow file; `file` is its name in messages, `engine` the name of this engine.
///
/// # Errors
/// Everything that is wrong, in file order.
pub fn load(
    text: &str,
    file: &str,
    actions: &Registry,
    engine: &str,
) -> Result<Workflow, InvalidFile> {
    load_from(text, file, actions, engine, None)
}

/// The same; subgraphs are read from below the folder of `source`.
///
/// # Errors
/// Everything that is wrong, in file order.
pub fn load_from(
    text: &str,
    file: &str,
    actions: &Registry,
    engine: &str,
    source: Option<&Source>,
) -> Result<Workflow, InvalidFile> {
    load_document(&*compose::parse(text, file)?, file, actions, engine, source)
}

/// The same, of what the file says, and its overlays.
///
/// # Errors
/// Everything that is wrong, in file order.
pub fn load_document(
    document: &document::Node,
    file: &str,
    actions: &Registry,
    engine: &str,
    source: Option<&Source>,
) -> Result<Workflow, InvalidFile> {
    let mut diagnostics = Diagnostics::default();
    let subgraph = |given: &str| -> Result<Workflow, Unloadable> {
        let Some(source) = source else {
            let message = format!("the engine {engine} reaches no files");
            return Err(Unloadable::File(Error::new(Kind::File, message)));
        };
        let inner = source.subgraph(given).map_err(Unloadable::File)?;
        let text = inner.read().map_err(Unloadable::File)?;
        let name = Path::new(file).parent().unwrap_or(Path::new("")).join(given);
        let name: PathBuf = name.components().filter(|part| *part != Component::CurDir).collect();
        load_from(&text, &name.to_string_lossy(), actions, engine, Some(&inner))
            .map_err(Unloadable::Invalid)
    };
    let workflow = read(document, &mut diagnostics, actions, engine, &subgraph);
    match workflow {
        Some(workflow) if diagnostics.problems.is_empty() => Ok(workflow),
        _ => {
            let mut problems: Vec<Problem> = Vec::new();
            for problem in diagnostics.problems {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
            problems.sort_by(|a, b| a.place.cmp(&b.place));
            Err(InvalidFile { problems })
        }
    }
}

/// Check a document and build its workflow; what is wrong goes to `diagnostics`.
fn read(
    document: &document::Node,
    diagnostics: &mut Diagnostics,
    actions: &Registry,
    engine: &str,
    subgraph: &Load<'_>,
) -> Option<Workflow> {
    let NodeKind::Mapping(table) = &document.kind else {
        let got = document.plain().describe();
        let message = format!("a workflow is a map with nodes, got {got}");
        diagnostics.problem(&document.place, message, "");
        return None;
    };
    diagnostics.keys(table, &spec::FILE);
    for key in ["name", "description", "version"] {
        let entry = diagnostics.value_or_null(table, key, &spec::FILE);
        if let Some(entry) = entry.filter(|entry| key == "version" && entry.value.is_null()) {
            diagnostics.problem(&entry.value.place, "version: expected text, got null", "");
        }
    }
    let initial_state = data(table, "initial_state", diagnostics);
    let variables = data(table, "variables", diagnostics);
    let constants = data(table, "data", diagnostics);
    if let Some(config) = diagnostics.table(table, "config") {
        read_config(config, diagnostics);
    }
    let settings = settings::read(diagnostics.table(table, "settings"), diagnostics);
    let nodes = read_nodes(document, table, diagnostics, actions, engine, subgraph);
    let (edges, forks) =
        read_edges(diagnostics.items(table, "edges").unwrap_or_default(), diagnostics);
    let text = |key: &str| table.get(key).and_then(|node| node.text()).map(Into::into);
    let mut workflow = Workflow {
        file: document.place.file.to_string(),
        name: text("name"),
        description: text("description"),
        version: text("version"),
        initial_state,
        input_schema: schema(table, "input_schema", diagnostics),
        output_schema: schema(table, "output_schema", diagnostics),
        stdin_key: match table.get("input_schema").map(|node| &node.kind) {
            Some(NodeKind::Mapping(table)) => io_schema::of_stdin(&table.plain()),
            _ => None,
        },
        variables,
        data: constants,
        settings,
        nodes,
        edges: HashMap::new(),
        forks,
        warnings: Vec::new(),
    };
    check_targets(&workflow, &edges, table, diagnostics);
    let edges = edges.into_iter().filter(|(_, edges)| !edges.rules.is_empty());
    workflow.edges = edges.map(|(from, edges)| (from, edges.rules)).collect();
    if diagnostics.problems.is_empty() {
        let mut reached = reachable(&workflow);
        let run = with_bodies(&workflow.nodes).flat_map(nodes_run_by);
        reached.extend(run.map(|(name, _)| name.as_str()));
        for node in workflow.nodes.iter().filter(|node| !reached.contains(node.name.as_str())) {
            let message = format!("nothing leads to the node \"{}\"", node.name);
            diagnostics.warn(&node.place, message);
        }
    }
    workflow.warnings = std::mem::take(&mut diagnostics.warnings);
    workflow.warnings.sort_by(|a, b| a.place.cmp(&b.place));
    Some(workflow)
}

/// The schema of `key`.
fn schema(table: &Mapping, key: &str, diagnostics: &mut Diagnostics) -> Option<Value> {
    let place = &table.get(key)?.place;
    let table = diagnostics.table(table, key)?;
    let (schema, problems) = io_schema::read(table.plain());
    for (path, message) in problems {
        let place = table.place_at(&path).unwrap_or(place);
        diagnostics.problem(place, format!("{key}: {}: {message}", pointer(&path)), "");
    }
    Some(schema)
}

fn read_config(table: &Mapping, diagnostics: &mut Diagnostics) {
    diagnostics.keys(table, &spec::CONFIG);
    for key in spec::CONFIG.known.keys() {
        let Some(entry) = diagnostics.value(table, key, &spec::CONFIG) else { continue };
        if entry.value.plain().as_list().is_none_or(|names| !names.is_empty()) {
            let message =
                format!("\"{key}\" in config is not supported here: a run cannot be paused");
            diagnostics.problem(&entry.place, message, "");
        }
    }
}

/// The map of `key`, which is JSON data.
fn data(table: &Mapping, key: &str, diagnostics: &mut Diagnostics) -> Map {
    let Some(found) = diagnostics.table(table, key) else { return Map::new() };
    found.iter().for_each(|entry| refuse_infinity(&entry.value, diagnostics));
    found.plain()
}

/// Refuse the two numbers of YAML that JSON, and so the state, does not have.
fn refuse_infinity(node: &document::Node, diagnostics: &mut Diagnostics) {
    match &node.kind {
        NodeKind::Scalar { value: Value::Float(number), .. } if !number.is_finite() => {
            let message = "infinity and not-a-number are not JSON data";
            diagnostics.problem(&node.place, message, "");
        }
        NodeKind::Scalar { .. } => {}
        NodeKind::Sequence(items) => {
            items.iter().for_each(|item| refuse_infinity(item, diagnostics))
        }
        NodeKind::Mapping(table) => {
            table.iter().for_each(|entry| refuse_infinity(&entry.value, diagnostics));
        }
    }
}

fn read_nodes(
    document: &document::Node,
    table: &Mapping,
    diagnostics: &mut Diagnostics,
    actions: &Registry,
    engine: &str,
    subgraph: &Load<'_>,
) -> Vec<Node> {
    let items = diagnostics.items(table, "nodes");
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let entry = table.entry("nodes");
        if items.is_some() || entry.is_none_or(|entry| entry.value.is_null()) {
            let place = entry.map_or(&document.place, |entry| &entry.place);
            diagnostics.problem(place, "a workflow needs nodes: a list of one or more", "");
        }
        return Vec::new();
    };
    let nodes =
        Context { diagnostics, actions, engine, scopes: SCOPES, subgraph }.nodes(items, false);
    let mut seen: HashMap<&str, &Location> = HashMap::new();
    for node in with_bodies(&nodes) {
        let name = node.name.as_str();
        if name == START || name == END {
            let hint = "give the node another name";
            diagnostics.problem(&node.place, format!("{name} is taken"), hint);
        } else if let Some(first) = seen.get(name) {
            let message = format!("a second node is named \"{name}\"");
            diagnostics.problem(
                &node.place,
                message,
                format!("the first is in line {}", first.line),
            );
        }
        if !name.is_empty() {
            seen.entry(name).or_insert(&node.place);
        }
    }
    nodes
}

/// The nodes, and after each loop those of its body.
fn with_bodies(nodes: &[Node]) -> impl Iterator<Item = &Node> {
    nodes.iter().flat_map(|node| std::iter::once(node).chain(inner_nodes(node)))
}

fn inner_nodes(node: &Node) -> &[Node] {
    match &node.body {
        Body::Loop { nodes, .. } => nodes,
        _ => &[],
    }
}

/// The nodes that the actions of a node have run out of turn.
fn nodes_run_by(node: &Node) -> impl Iterator<Item = &(String, Location)> {
    let steps = match &node.body {
        Body::Steps(steps) => &steps[..],
        Body::Each(each) => &each.steps,
        _ => &[],
    };
    steps.iter().flat_map(|step| match step {
        Step::Action { nodes, .. } => &nodes[..],
        Step::Expression { .. } => &[],
    })
}

// --- edges

/// The edges from one node, and where that node is named first.
struct Edges {
    place: Location,
    rules: Vec<Rule>,
}

fn read_edges(
    items: &[Rc<document::Node>],
    diagnostics: &mut Diagnostics,
) -> (IndexMap<String, Edges>, HashMap<String, Fork>) {
    let mut edges: IndexMap<String, Edges> = IndexMap::new();
    let mut forks: HashMap<String, Fork> = HashMap::new();
    for item in items {
        let NodeKind::Mapping(table) = &item.kind else {
            diagnostics.problem(&item.place, "expected an edge: {from, to}", "");
            continue;
        };
        diagnostics.keys(table, &spec::EDGE);
        let fixed = fixed_end(item, table, diagnostics);
        let is_unsupported = spec::EDGE.unsupported.iter().any(|key| table.contains(key));
        for key in ["from", "to"] {
            let is_fixed = fixed.is_some_and(|(end, _)| end == key);
            if !table.contains(key) && !is_fixed && !is_unsupported {
                diagnostics.problem(&item.place, format!("the edge has no {key}"), "");
            }
        }
        if let Some(to) = table.get("to").filter(|to| matches!(to.kind, NodeKind::Sequence(_))) {
            let message = "to: a list of targets is not supported here";
            let hint = "write one edge for each; the first that holds wins";
            diagnostics.problem(&to.place, message, hint);
            continue;
        }
        let mut end = |key: &str| match fixed.filter(|(end, _)| *end == key) {
            Some((_, name)) => Some(name.to_string()),
            None => diagnostics.text(table, key),
        };
        let (source, target) = (end("from"), end("to"));
        let condition = edge_condition(table, diagnostics);
        let (Some(source), Some(target)) = (source, target) else { continue };
        let place_of = |key: &str| table.get(key).map_or(&item.place, |node| &node.place).clone();
        let rule = Rule { to: target, condition, place: place_of("to") };
        let known = edges
            .entry(source.clone())
            .or_insert_with(|| Edges { place: place_of("from"), rules: Vec::new() });
        if table.get("type").and_then(|kind| kind.text()) == Some("parallel") {
            add_branch(&mut forks, item, table, source, rule, diagnostics);
            continue;
        }
        if let Some(entry) = table.entry("fan_in") {
            let message = "fan_in belongs to an edge of type parallel";
            diagnostics.problem(&entry.place, message, "");
        }
        known.rules.push(rule);
    }
    for (source, edges) in &edges {
        let Some(rule) = edges.rules.first().filter(|_| forks.contains_key(source)) else {
            continue;
        };
        let message = format!("from: parallel edges and others leave {source}");
        diagnostics.problem(&rule.place, message, "give all of them type: parallel");
    }
    (edges, forks)
}

/// Add a parallel edge to the fork of its source.
fn add_branch(
    forks: &mut HashMap<String, Fork>,
    item: &document::Node,
    table: &Mapping,
    source: String,
    rule: Rule,
    diagnostics: &mut Diagnostics,
) {
    if source == START {
        diagnostics.problem(&item.place, "a parallel edge cannot leave the start", "");
    }
    let Some(node) = table.get("fan_in") else {
        let message = "a parallel edge needs fan_in: where its branch ends";
        diagnostics.problem(&item.place, message, "");
        return;
    };
    let Some(fan_in) = diagnostics.text(table, "fan_in") else { return };
    let end = Rule { to: fan_in.clone(), condition: None, place: node.place.clone() };
    let fork =
        forks.entry(source.clone()).or_insert_with(|| Fork { branches: Vec::new(), fan_in: end });
    if fork.fan_in.to != fan_in {
        let message = format!("fan_in: other parallel edges of {source} end at {}", fork.fan_in.to);
        diagnostics.problem(&node.place, message, "");
    }
    fork.branches.push(rule);
}

/// The end of an edge that its type says: of type entry `from`, of finish `to`.
fn fixed_end(
    item: &document::Node,
    table: &Mapping,
    diagnostics: &mut Diagnostics,
) -> Option<(&'static str, &'static str)> {
    let kind = diagnostics.value(table, "type", &spec::EDGE)?.value.text()?;
    let (key, name) = match kind {
        "entry" => ("from", START),
        "finish" => ("to", END),
        _ => return None,
    };
    if let Some(given) = diagnostics.text(table, key).filter(|given| given != name) {
        let place = table.get(key).map_or(&item.place, |node| &node.place);
        let message = format!("{key}: an edge of type {kind} has {name}, not {given}");
        diagnostics.problem(place, message, "");
    }
    Some((key, name))
}

fn edge_condition(table: &Mapping, diagnostics: &mut Diagnostics) -> Option<Condition> {
    let expected = table.get("when").and_then(|when| read_condition(diagnostics, when, SCOPES));
    let Some(mut node) = table.get("condition") else { return expected };
    if let NodeKind::Mapping(inner) = &node.kind {
        diagnostics.keys(inner, &spec::CONDITION);
        let kind = inner.get("type");
        match inner.get("value") {
            Some(value) if kind.and_then(|kind| kind.text()) == Some("expression") => node = value,
            _ => {
                let wrong = match kind {
                    Some(kind) => format!("type {} is not supported here", kind.shown()),
                    None => "it has no type".into(),
                };
                let hint = "write text, or {type: expression, value}";
                diagnostics.problem(&node.place, format!("condition: {wrong}"), hint);
                return None;
            }
        }
    }
    let mut condition = read_condition(diagnostics, node, SCOPES)?;
    condition.expected = expected.map(Box::new);
    Some(condition)
}

// --- targets and reach

fn check_targets(
    workflow: &Workflow,
    edges: &IndexMap<String, Edges>,
    table: &Mapping,
    diagnostics: &mut Diagnostics,
) {
    let names: HashSet<&str> = workflow.nodes.iter().map(|node| node.name.as_str()).collect();
    let inner: HashSet<&str> =
        workflow.nodes.iter().flat_map(inner_nodes).map(|node| node.name.as_str()).collect();
    let mut check = |name: &str, place: &Location, what: &str, also: Option<&str>| {
        if names.contains(name) || also == Some(name) {
            return;
        }
        if inner.contains(name) {
            diagnostics.problem(place, format!("{what}: \"{name}\" is inside a loop's body"), "");
        } else {
            let hint = nearest(name, names.iter().copied().chain(also));
            diagnostics.problem(place, format!("{what}: there is no node \"{name}\""), hint);
        }
    };
    for (source, edges) in edges {
        check(source, &edges.place, "from", Some(START));
    }
    for rule in edges.values().flat_map(|edges| &edges.rules) {
        check(&rule.to, &rule.place, "to", Some(END));
    }
    for fork in workflow.forks.values() {
        for rule in &fork.branches {
            check(&rule.to, &rule.place, "to", None);
        }
        check(&fork.fan_in.to, &fork.fan_in.place, "fan_in", None);
    }
    for node in with_bodies(&workflow.nodes) {
        let has_fan_in = matches!(&node.body, Body::Each(each) if each.has_fan_in);
        for rule in node.goto.iter().flatten() {
            let what = if has_fan_in { "fan_in" } else { "goto" };
            check(&rule.to, &rule.place, what, Some(END));
        }
        if let Some(fallback) = &node.on_error.fallback {
            let place = node.fallback_place.as_ref().unwrap_or(&node.place);
            check(fallback, place, "fallback", Some(END));
        }
        for (name, place) in nodes_run_by(node) {
            check(name, place, "node", None);
        }
    }
    if let Some(fallback) = settings::fixed_fallback(&workflow.settings) {
        let path = ["settings", "error_handling", "fallback"];
        if let Some(place) = place_of(table, &path) {
            check(&fallback, place, "fallback", Some(END));
        }
    }
}

fn place_of<'t>(table: &'t Mapping, path: &[&str]) -> Option<&'t Location> {
    let (key, rest) = path.split_first()?;
    let node = table.get(key)?;
    match &node.kind {
        NodeKind::Mapping(inner) if !rest.is_empty() => place_of(inner, rest),
        _ => Some(&node.place),
    }
}

/// The names of the nodes that some run might enter.
fn reachable(workflow: &Workflow) -> HashSet<&str> {
    let position: HashMap<&str, usize> =
        workflow.nodes.iter().enumerate().map(|(at, node)| (node.name.as_str(), at)).collect();
    let targets = |rules: &[Rule]| -> Vec<String> { rules.iter().map(|r| r.to.clone()).collect() };
    let mut todo = match workflow.edges.get(START) {
        Some(rules) => targets(rules),
        None => workflow.nodes.first().map(|node| node.name.clone()).into_iter().collect(),
    };
    todo.extend(settings::fixed_fallback(&workflow.settings));
    let mut reached = HashSet::new();
    while let Some(name) = todo.pop() {
        let Some(at) = position.get(name.as_str()) else { continue };
        let node = &workflow.nodes[*at];
        if !reached.insert(node.name.as_str()) {
            continue;
        }
        let edges = workflow.edges.get(&node.name).filter(|rules| !rules.is_empty());
        match (node.goto.as_ref().or(edges), workflow.forks.get(&node.name)) {
            (None, Some(fork)) => {
                todo.extend(targets(&fork.branches));
                todo.push(fork.fan_in.to.clone());
            }
            (Some(rules), _) => todo.extend(targets(rules)),
            (None, None) => todo.extend(workflow.nodes.get(at + 1).map(|next| next.name.clone())),
        }
        let own = std::iter::once(node).chain(inner_nodes(node));
        todo.extend(own.filter_map(|node| node.on_error.fallback.clone()));
    }
    reached
}
