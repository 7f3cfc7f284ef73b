//! `llm.tools`: asks a model, runs the tools that it calls, and tells it what they gave.

use std::collections::HashMap;
use std::rc::Rc;

use super::{refuse, Action, Call, LocalFuture, Target, TargetKind};
use crate::errors::Error;
use crate::llm::backend::{Backend, Backends, ChatRequest, Message, Role, ToolCall, ToolChoice};
use crate::llm::{parameters, tools};
use crate::schema::check::Problem;
use crate::spec;
use crate::value::{json, Map, Value};

/// Where `max_tool_rounds` is not given.
const MAX_ROUNDS: u64 = 10;
const RUNS: [&str; 2] = ["action", "node"];

/// What a call asks for, and the model that it asks.
pub type Prepare = fn(&Backends, &Call<'_>) -> Result<(ChatRequest, Rc<dyn Backend>), Error>;

/// The action, which asks `backends` for its models.
pub(super) struct Tools {
    pub backends: Rc<Backends>,
    /// What a call asks for, and the model that it asks.
    pub prepare: Prepare,
}

impl Action for Tools {
    fn run<'a>(&'a self, call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            refuse(problems(call.params))?;
            let of_name: HashMap<String, Target> = targets(call.params)
                .into_iter()
                .map(|target| (target.called.clone(), target))
                .collect();
            if of_name.is_empty() {
                return Err(Error::action("tools is missing"));
            }
            let (mut request, backend) = (self.prepare)(&self.backends, &call)?;
            let limit = call.param("max_tool_rounds").as_int();
            let limit = limit.and_then(|limit| u64::try_from(limit).ok()).unwrap_or(MAX_ROUNDS);
            let (mut calls, mut results) = (Vec::new(), Vec::new());
            let mut rounds = 0;
            loop {
                let reply = backend.chat(&request, None).await?;
                if reply.tool_calls.is_empty() {
                    return Ok(Value::record([
                        ("content", Value::text(&reply.content)),
                        ("tool_calls", Value::list(calls)),
                        ("tool_results", Value::list(results)),
                        ("rounds", Value::Int(i128::from(rounds))),
                    ]));
                }
                if rounds == limit {
                    let message = format!("the model still calls tools after {limit} rounds");
                    let hint = "raise max_tool_rounds, or say when to stop";
                    return Err(Error::limit(message).hint(hint));
                }
                rounds += 1;
                let said = Message::new(Role::Assistant, reply.content);
                request.messages.push(Message { tool_calls: reply.tool_calls.clone(), ..said });
                for each in &reply.tool_calls {
                    let result = result(&call, &of_name, each).await?;
                    let text = match &result {
                        Value::Text(text) => text.to_string(),
                        other => json::write(other, None),
                    };
                    request.messages.push(Message {
                        tool_call_id: Some(each.id.clone()),
                        name: Some(each.name.clone()),
                        ..Message::new(Role::Tool, text)
                    });
                    calls.push(each.to_value());
                    results.push(Value::record([
                        ("id", Value::Text(each.id.clone())),
                        ("name", Value::Text(each.name.clone())),
                        ("result", result),
                    ]));
                }
                // A call that is required was made: from now on the model decides.
                request.tool_choice = ToolChoice::Auto;
                request.prompt = None;
            }
        })
    }
}

/// Run what a tool stands for; the arguments are data, and never templates.
async fn result(
    call: &Call<'_>,
    of_name: &HashMap<String, Target>,
    called: &ToolCall,
) -> Result<Value, Error> {
    let target = of_name.get(&*called.name);
    let target = target.ok_or_else(|| Error::action(format!("there is no {}", called.name)))?;
    match target.kind {
        TargetKind::Node => {
            call.nested.node(&target.name, called.arguments.clone()).await.map(Value::map)
        }
        TargetKind::Action => call.nested.action(&target.name, &called.arguments).await,
    }
}

pub(super) fn problems(params: &Map) -> Vec<Problem> {
    let mut found = parameters::with_paths(spec::TOOLS.types.problems(params));
    if !found.is_empty() {
        return found;
    }
    found.extend(parameters::shape_problems(params));
    found.extend(tools::problems(params, &RUNS));
    for (map, name) in named(params) {
        let given: Vec<&Value> =
            RUNS.iter().filter_map(|key| map.get(*key)).filter(|value| !value.is_null()).collect();
        let wrong = match given[..] {
            [one] if one.as_text().is_some() => continue,
            [_] => ": an action or a node is named by text",
            _ => " needs an action or a node, one of the two",
        };
        found.push((vec!["tools".into()], format!("tools: \"{name}\"{wrong}")));
    }
    found
}

/// What the tools stand for; each is checked.
pub(super) fn targets(params: &Map) -> Vec<Target> {
    let mut found = Vec::new();
    for (map, called) in named(params) {
        for (key, kind) in [("action", TargetKind::Action), ("node", TargetKind::Node)] {
            if let Some(name) = map.get(key).and_then(Value::as_text) {
                let (called, name) = (called.to_string(), name.to_string());
                found.push(Target { key: "tools", called, kind, name });
            }
        }
    }
    found
}

/// The tools with their names.
fn named(params: &Map) -> impl Iterator<Item = (&Map, &str)> {
    let given = params.get("tools").and_then(Value::as_list).unwrap_or_default();
    given.iter().filter_map(|each| {
        let name = tools::function(each)?.get("name")?.as_text()?;
        Some((each.as_map()?, name))
    })
}
