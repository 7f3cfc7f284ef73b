//! The llm actions: check the parameters, choose the backend, shape the result.
//!
//! `llm.call`, `llm.chat` and `llm.complete` are one action; `llm.stream` sends each piece of the
//! answer as an event too; `llm.tools` runs the tools that the model calls; `llm.decide` says which
//! of several texts is the likeliest answer; `llm.embed` turns texts into vectors.

use std::rc::Rc;
use std::sync::Arc;

use super::llm_tools::{self, Tools};
use super::{refuse, Action, ActionSpec, Call, Check, LocalFuture, Registry};
use crate::errors::Error;
use crate::llm::api_settings::api_settings;
use crate::llm::backend::{
    Backend, BackendChoice, Backends, ChatReply, ChatRequest, DecideRequest, Message, Role,
    ToolCall, ToolChoice,
};
use crate::llm::parameters;
use crate::llm::shape::Shape;
use crate::run::events::Event;
use crate::spec;
use crate::value::{Map, Value};

/// Add the llm actions, which ask `backends` for their models.
pub fn add_actions(registry: &mut Registry, backends: &Rc<Backends>) {
    for name in ["llm.call", "llm.chat", "llm.complete", "llm.stream"] {
        let streams = name == "llm.stream";
        let action = Rc::new(Chat { backends: backends.clone(), streams });
        let check: Option<Check> = Some(Rc::new(parameters::chat_problems));
        registry.add(name, ActionSpec { action, params: spec::CHAT.names, required: &[], check });
    }
    let action = Rc::new(Tools { backends: backends.clone(), prepare });
    let (params, required) = (spec::TOOLS.names, spec::TOOLS.required);
    let check: Option<Check> = Some(Rc::new(llm_tools::problems));
    registry.add("llm.tools", ActionSpec { action, params, required, check });
    registry.add_targets("llm.tools", llm_tools::targets);
    let action = Rc::new(Decide { backends: backends.clone() });
    let check: Option<Check> = Some(Rc::new(parameters::decide_problems));
    let (params, required) = (spec::DECIDE.names, spec::DECIDE.required);
    registry.add("llm.decide", ActionSpec { action, params, required, check });
    let action = Rc::new(Embed { backends: backends.clone() });
    let check: Option<Check> = Some(Rc::new(parameters::embed_problems));
    let required = spec::EMBED.required;
    registry.add("llm.embed", ActionSpec { action, params: spec::EMBED.names, required, check });
}

struct Chat {
    backends: Rc<Backends>,
    streams: bool,
}

struct Decide {
    backends: Rc<Backends>,
}

struct Embed {
    backends: Rc<Backends>,
}

impl Action for Chat {
    fn run<'a>(&'a self, call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            refuse(parameters::chat_problems(call.params))?;
            let (request, backend) = prepare(&self.backends, &call)?;
            let (node, emit) = (call.node, call.emit);
            let on_text = |text: &str| {
                emit(Event::Token { node: node.into(), text: text.into() });
            };
            let sent: Option<&dyn Fn(&str)> = if self.streams { Some(&on_text) } else { None };
            let reply = backend.chat(&request, sent).await?;
            Ok(chat_result(&request, &reply, backend.name().word()))
        })
    }
}

/// What a call asks for, and the model that it asks.
fn prepare(backends: &Backends, call: &Call<'_>) -> Result<(ChatRequest, Rc<dyn Backend>), Error> {
    let settings = llm_settings(call)?;
    let request = chat_request(call.params, settings)?;
    let backend = backends.select(&api_settings(call.params, settings), choice(call.params))?;
    Ok((request, backend))
}

/// The request that checked parameters and settings ask for.
///
/// # Errors
/// `ActionError`: there is neither `prompt` nor `messages`, or no tool to choose.
pub fn chat_request(params: &Map, settings: &Map) -> Result<ChatRequest, Error> {
    let (mut messages, mut prompt) = conversation(params, settings)?;
    let request = parameters::sampling(params, settings);
    let told = request.shape.as_ref().and_then(Shape::told);
    if let Some(text) = told.filter(|_| parameters::tells_schema(params, settings)) {
        tell(&text, &mut messages, &mut prompt);
    }
    let request = ChatRequest { messages, prompt, ..request };
    let needs_tools = !matches!(request.tool_choice, ToolChoice::Auto | ToolChoice::None);
    if needs_tools && request.tools.is_empty() {
        let choice = request.tool_choice.word();
        return Err(Error::action(format!("tool_choice is {choice}, and there are no tools")));
    }
    Ok(request)
}

/// Put `text` at the end of the system text, and before a prompt alone.
fn tell(text: &str, messages: &mut Vec<Message>, prompt: &mut Option<Arc<str>>) {
    *prompt = prompt.take().map(|prompt| format!("{text}\n\n{prompt}").into());
    match messages.first_mut().filter(|first| first.role == Role::System) {
        Some(system) => system.content = format!("{}\n\n{text}", system.content).into(),
        None => messages.insert(0, Message::new(Role::System, text)),
    }
}

/// The messages, and the prompt where there is nothing else.
fn conversation(params: &Map, settings: &Map) -> Result<(Vec<Message>, Option<Arc<str>>), Error> {
    let text = |map: &Map, key: &str| map.get(key).and_then(Value::as_text).map(Arc::<str>::from);
    if let Some(messages) = params.get("messages").and_then(Value::as_list) {
        let messages = messages.iter().filter_map(Value::as_map).filter_map(parameters::message);
        return Ok((messages.collect(), None));
    }
    let Some(prompt) = text(params, "prompt") else {
        return Err(Error::action("prompt or messages is missing").hint("give one of the two"));
    };
    let user = Message::new(Role::User, prompt.clone());
    Ok(match text(params, "system").or_else(|| text(settings, "system")) {
        Some(system) => (vec![Message::new(Role::System, system), user], None),
        None => (vec![user], Some(prompt)),
    })
}

fn count(number: u64) -> Value {
    Value::Int(number.into())
}

fn chat_result(request: &ChatRequest, reply: &ChatReply, backend: &str) -> Value {
    let total = reply.prompt_tokens + reply.completion_tokens;
    let content = Value::text(&reply.content);
    let data = reply.data.clone().unwrap_or(Value::Null);
    let mut result = vec![
        ("content", content.clone()),
        ("response", content),
        ("model", Value::text(&reply.model)),
        ("backend", backend.into()),
        ("finish_reason", reply.finish_reason.word().into()),
        (
            "usage",
            Value::record([
                ("prompt_tokens", count(reply.prompt_tokens)),
                ("completion_tokens", count(reply.completion_tokens)),
                ("total_tokens", count(total)),
            ]),
        ),
        ("tokens_used", count(total)),
    ];
    if request.shape.is_some() {
        result.push(("data", data.clone()));
    }
    if matches!(request.shape, Some(Shape::Choices(_))) {
        result.push(("choice", data));
    }
    if !request.tools.is_empty() {
        let calls = reply.tool_calls.iter().map(ToolCall::to_value).collect();
        result.push(("tool_calls", Value::list(calls)));
    }
    if let Some(reasoning) = &reply.reasoning {
        result.push(("reasoning", Value::text(reasoning)));
    }
    Value::map(result.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

impl Action for Decide {
    fn run<'a>(&'a self, call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            refuse(parameters::decide_problems(call.params))?;
            let settings = llm_settings(&call)?;
            let (messages, prompt) = conversation(call.params, settings)?;
            let request = parameters::decision(call.params, settings);
            let request = DecideRequest { messages, prompt, ..request };
            if request.choices.is_empty() {
                return Err(Error::action("choices is missing"));
            }
            let backend = self.backends.select(settings, choice(call.params))?;
            let probabilities = backend.decide(&request).await?.probabilities;
            let mut index = 0;
            for (other, probability) in probabilities.iter().enumerate() {
                if *probability > probabilities[index] {
                    index = other;
                }
            }
            let choice = request.choices.get(index).cloned().unwrap_or_default();
            Ok(Value::record([
                ("choice", Value::Text(choice)),
                ("index", count(index as u64)),
                (
                    "probabilities",
                    Value::list(probabilities.into_iter().map(Value::Float).collect()),
                ),
            ]))
        })
    }
}

impl Action for Embed {
    fn run<'a>(&'a self, call: Call<'a>) -> LocalFuture<'a, Result<Value, Error>> {
        Box::pin(async move {
            refuse(parameters::embed_problems(call.params))?;
            let settings = llm_settings(&call)?;
            let (texts, is_one): (Vec<Arc<str>>, bool) = match call.param("text") {
                Value::Text(one) => (vec![one.clone()], true),
                Value::Null => return Err(Error::action("text is missing")),
                many => {
                    let items = many.as_list().unwrap_or_default().iter();
                    (items.filter_map(Value::as_text).map(Into::into).collect(), false)
                }
            };
            let request = parameters::embedding(texts, call.params, settings);
            let backend =
                self.backends.select(&api_settings(call.params, settings), choice(call.params))?;
            let reply = backend.embed(&request).await?;
            let dimensions = reply.embeddings.first().map_or(0, Vec::len) as u64;
            let vector =
                |numbers: Vec<f64>| Value::list(numbers.into_iter().map(Value::Float).collect());
            let mut vectors: Vec<Value> = reply.embeddings.into_iter().map(vector).collect();
            let embedding = if is_one { vectors.swap_remove(0) } else { Value::list(vectors) };
            Ok(Value::record([
                ("embedding", embedding),
                ("model", Value::text(&reply.model)),
                ("dimensions", count(dimensions)),
                ("tokens_used", count(reply.tokens)),
            ]))
        })
    }
}

fn choice(params: &Map) -> Option<BackendChoice> {
    params.get("backend").and_then(Value::as_text).and_then(BackendChoice::from_word)
}

/// `settings.llm`, checked: a template in it may have given any value.
fn llm_settings<'a>(call: &Call<'a>) -> Result<&'a Map, Error> {
    static EMPTY: std::sync::OnceLock<Map> = std::sync::OnceLock::new();
    let settings = call.settings.get("llm").and_then(Value::as_map);
    let settings = settings.unwrap_or_else(|| EMPTY.get_or_init(Map::new));
    match parameters::settings_problems(settings).into_iter().next() {
        Some((_, message)) => Err(Error::action(format!("settings.llm: {message}"))),
        None => Ok(settings),
    }
}
