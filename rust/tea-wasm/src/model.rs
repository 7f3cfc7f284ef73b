//! The model in the page, as the llm actions see it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use tea_core::actions::LocalFuture;
use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{
    Backend, BackendName, ChatReply, ChatRequest, DecideReply, DecideRequest, EmbedReply,
    EmbedRequest, FinishReason, OnText, ToolCall,
};
use tea_core::llm::shape::Shape;
use tea_core::llm::tool_calls;
use tea_core::llm::tool_form::ToolForm;
use tea_core::schema::check::pointer;
use tea_core::schema::gbnf;
use tea_core::value::json;
use tea_core::value::{Map, Value};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::host::{self, Host};

/// A model that the host asks.
pub struct PageModel {
    /// The host.
    pub host: Host,
    /// The context that the file wants, in tokens.
    pub n_ctx: Option<u32>,
}

/// The fields of llama.cpp's server that hold an answer to a shape.
fn held_to(shape: &Shape) -> Value {
    let (key, value) = match shape {
        Shape::JsonObject => ("json_schema", Value::record([("type", "object".into())])),
        Shape::JsonSchema(schema) => ("json_schema", gbnf::schema(schema).unwrap_or(Value::Null)),
        Shape::Choices(texts) => ("grammar", gbnf::choices(texts).into()),
        // The registry refuses them.
        Shape::Regex(_) | Shape::Lark(_) => return Value::Null,
    };
    Value::record([(key, value)])
}

/// What the model in a page cannot hold an answer to.
fn refuse(request: &ChatRequest) -> Result<(), Error> {
    let wrong = |what: String| Err(Error::new(Kind::Action, what));
    match &request.shape {
        Some(Shape::JsonSchema(schema)) => match gbnf::problem(schema) {
            Some((path, message)) => wrong(format!("schema: {}: {message}", pointer(&path))),
            None => Ok(()),
        },
        Some(Shape::Regex(_) | Shape::Lark(_)) => {
            wrong("an answer cannot be held to a regex or a grammar in a page".into())
        }
        _ => Ok(()),
    }
}

/// Pieces of an answer that have come and are not yet given on.
#[derive(Default)]
struct Pieces {
    texts: RefCell<VecDeque<String>>,
    waker: RefCell<Option<Waker>>,
}

impl Pieces {
    fn push(&self, text: String) {
        self.texts.borrow_mut().push_back(text);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl PageModel {
    fn n_ctx(&self) -> Value {
        self.n_ctx.map_or(Value::Null, |tokens| Value::Int(tokens.into()))
    }

    /// What a host must know to answer.
    fn request_data(&self, request: &ChatRequest) -> Value {
        let mut data = request.to_value();
        if let Value::Map(map) = &mut data {
            let map = Arc::make_mut(map);
            map.insert("n_ctx".into(), self.n_ctx());
            let held_to = request.shape.as_ref().map_or(Value::Null, held_to);
            map.insert("held_to".into(), held_to);
        }
        data
    }

    async fn answer(
        &self,
        request: &ChatRequest,
        on_text: Option<OnText<'_>>,
    ) -> Result<ChatReply, Error> {
        refuse(request)?;
        let asked = json::write(&self.request_data(request), None);
        let pieces = Rc::new(Pieces::default());
        let sink = pieces.clone();
        let sink = Closure::<dyn Fn(String)>::new(move |text| sink.push(text));
        let function = on_text.map(|_| sink.as_ref().unchecked_ref());
        let mut future = JsFuture::from(self.host.chat(&asked, function));
        let ended = poll_fn(|context| {
            *pieces.waker.borrow_mut() = Some(context.waker().clone());
            let polled = Pin::new(&mut future).poll(context);
            while let Some(text) = { pieces.texts.borrow_mut().pop_front() } {
                if let Some(on_text) = on_text {
                    on_text(&text);
                }
            }
            polled
        })
        .await;
        let found = data(ended)?;
        let mut answer = reply(&found)?;
        if let Some(form) = ToolForm::from_word(&text(&found, "tool_form")) {
            answer = tool_calls::read(form, request, answer)?;
            if let Some(on_text) = on_text.filter(|_| !answer.content.is_empty()) {
                on_text(&answer.content);
            }
        }
        answer.held_to(request.shape.as_ref(), Kind::Model)
    }

    async fn vectors(&self, request: &EmbedRequest) -> Result<EmbedReply, Error> {
        let texts = request.texts.iter().cloned().map(Value::Text).collect();
        let request = [("texts", Value::list(texts)), ("n_ctx", self.n_ctx())];
        let request = json::write(&Value::record(request), None);
        let found = data(JsFuture::from(self.host.embed(&request)).await)?;
        let rows = found.get("embeddings").and_then(Value::as_list).unwrap_or_default();
        let numbers = |row: &Value| {
            row.as_list().unwrap_or_default().iter().filter_map(Value::as_number).collect()
        };
        Ok(EmbedReply {
            embeddings: rows.iter().map(numbers).collect(),
            model: text(&found, "model"),
            tokens: count(&found, "tokens"),
        })
    }
}

impl Backend for PageModel {
    fn name(&self) -> BackendName {
        BackendName::Local
    }

    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: Option<OnText<'a>>,
    ) -> LocalFuture<'a, Result<ChatReply, Error>> {
        Box::pin(self.answer(request, on_text))
    }

    fn embed<'a>(
        &'a self,
        request: &'a EmbedRequest,
    ) -> LocalFuture<'a, Result<EmbedReply, Error>> {
        Box::pin(self.vectors(request))
    }

    fn decide<'a>(&'a self, _: &'a DecideRequest) -> LocalFuture<'a, Result<DecideReply, Error>> {
        let error = Error::new(Kind::Action, "llm.decide is not done in a page");
        Box::pin(std::future::ready(Err(error)))
    }
}

fn reply(found: &Map) -> Result<ChatReply, Error> {
    let finish_reason = match text(found, "finish_reason").as_str() {
        "stop" => FinishReason::Stop,
        "length" => FinishReason::Length,
        "tool_calls" => FinishReason::ToolCalls,
        other => {
            return Err(Error::new(Kind::Model, format!("the model ended with \"{other}\"")));
        }
    };
    Ok(ChatReply {
        content: text(found, "content"),
        model: text(found, "model"),
        finish_reason,
        prompt_tokens: count(found, "prompt_tokens"),
        completion_tokens: count(found, "completion_tokens"),
        data: None,
        reasoning: found.get("reasoning").and_then(Value::as_text).map(Into::into),
        tool_calls: found
            .get("tool_calls")
            .and_then(Value::as_list)
            .unwrap_or_default()
            .iter()
            .filter_map(ToolCall::from_value)
            .collect(),
    })
}

/// What the host answered: a JSON map.
fn data(ended: Result<JsValue, JsValue>) -> Result<Map, Error> {
    let text = ended.map_err(|thrown| host::error(&thrown))?.as_string().unwrap_or_default();
    let read = json::read(&text).map_err(|error| Error::new(Kind::Model, error.to_string()))?;
    read.as_map().cloned().ok_or_else(|| Error::new(Kind::Model, "the model gave no answer"))
}

fn text(map: &Map, key: &str) -> String {
    map.get(key).and_then(Value::as_text).unwrap_or_default().into()
}

fn count(map: &Map, key: &str) -> u64 {
    map.get(key).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}
