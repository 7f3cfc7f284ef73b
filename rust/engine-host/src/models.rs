//! A local model and the network, both of which the judge speaks for.

use std::collections::VecDeque;
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;

use tea_core::actions::LocalFuture;
use tea_core::errors::{Error, Kind};
use tea_core::llm::api::{Http, HttpError, HttpRequest, HttpResponse};
use tea_core::llm::backend::{
    Backend, BackendName, ChatReply, ChatRequest, DecideReply, DecideRequest, EmbedReply,
    EmbedRequest, FinishReason, Message, Normalize, OnText, ToolCall,
};
use tea_core::llm::tool_calls::{self, TextBeforeCalls};
use tea_core::llm::tool_form::{self, ToolForm};
use tea_core::llm::tool_grammar;
use tea_core::value::json;
use tea_core::value::{Map, Value};

use crate::judge::{map, text, Judge};

/// A local model that the judge speaks for.
pub struct JudgeModel(pub Rc<Judge>, pub Option<ToolForm>);

impl JudgeModel {
    fn answer(
        &self,
        request: &ChatRequest,
        on_text: Option<OnText<'_>>,
    ) -> Result<ChatReply, Error> {
        let mut asked = request.to_value().as_map().cloned().unwrap_or_default();
        asked.shift_remove("prompt");
        if let Some(form) = self.1 {
            let tools = tool_form::offered(request);
            let told = form.messages(&request.messages, tools);
            asked.insert("messages".into(), messages(&told));
            asked.insert("tools".into(), Value::list(form.template_tools(tools)));
            if let Some(grammar) = tool_grammar::grammar(form, request) {
                let shape = Value::record([("grammar", grammar.into())]);
                asked.insert("shape".into(), shape);
            }
        }
        let answer = self.0.ask("chat", &Value::map(asked));
        let on_text = on_text.unwrap_or(&|_| ());
        let before = self.1.map(|form| TextBeforeCalls::new(form, on_text));
        for piece in list(&answer, "pieces").iter().filter_map(Value::as_text) {
            before.as_ref().map_or_else(|| on_text(piece), |before| before.feed(piece));
        }
        let reply = reply(&answer)?;
        let mut answer = ChatReply {
            content: text(&reply, "content").unwrap_or_default().into(),
            model: text(&reply, "model").unwrap_or_default().into(),
            finish_reason: match text(&reply, "finish_reason") {
                Some("length") => FinishReason::Length,
                Some("tool_calls") => FinishReason::ToolCalls,
                _ => FinishReason::Stop,
            },
            prompt_tokens: count(&reply, "prompt_tokens"),
            completion_tokens: count(&reply, "completion_tokens"),
            data: None,
            reasoning: text(&reply, "reasoning").map(Into::into),
            tool_calls: list(&reply, "tool_calls")
                .iter()
                .filter_map(ToolCall::from_value)
                .collect(),
        };
        if let Some(form) = self.1 {
            answer = tool_calls::read(form, request, answer)?;
        }
        if let Some(before) = before {
            before.finish(&answer.content);
        }
        answer.held_to(request.shape.as_ref(), Kind::Model)
    }

    fn probabilities(&self, request: &DecideRequest) -> Result<DecideReply, Error> {
        let normalize = match request.normalize {
            Normalize::None => "none",
            Normalize::PerByte => "per_byte",
        };
        let asked = Value::record([
            ("messages", messages(&request.messages)),
            ("choices", texts(&request.choices)),
            ("normalize", normalize.into()),
            ("thinking", request.thinking.map_or(Value::Null, Value::Bool)),
        ]);
        let reply = reply(&self.0.ask("decide", &asked))?;
        let probabilities = list(&reply, "probabilities").iter().filter_map(Value::as_number);
        Ok(DecideReply { probabilities: probabilities.collect() })
    }

    fn vectors(&self, request: &EmbedRequest) -> Result<EmbedReply, Error> {
        let asked = Value::record([("texts", texts(&request.texts))]);
        let reply = reply(&self.0.ask("embed", &asked))?;
        let numbers = |row: &Value| {
            row.as_list().unwrap_or_default().iter().filter_map(Value::as_number).collect()
        };
        Ok(EmbedReply {
            embeddings: list(&reply, "embeddings").iter().map(numbers).collect(),
            model: text(&reply, "model").unwrap_or_default().into(),
            tokens: count(&reply, "tokens"),
        })
    }
}

impl Backend for JudgeModel {
    fn name(&self) -> BackendName {
        BackendName::Local
    }

    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: Option<OnText<'a>>,
    ) -> LocalFuture<'a, Result<ChatReply, Error>> {
        Box::pin(ready(self.answer(request, on_text)))
    }

    fn embed<'a>(
        &'a self,
        request: &'a EmbedRequest,
    ) -> LocalFuture<'a, Result<EmbedReply, Error>> {
        Box::pin(ready(self.vectors(request)))
    }

    fn decide<'a>(
        &'a self,
        request: &'a DecideRequest,
    ) -> LocalFuture<'a, Result<DecideReply, Error>> {
        Box::pin(ready(self.probabilities(request)))
    }
}

/// The network, behind the real client.
pub struct JudgeNetwork(pub Rc<Judge>);

struct Response {
    status: u16,
    reason: String,
    headers: Map,
    chunks: VecDeque<Result<Vec<u8>, HttpError>>,
}

impl HttpResponse for Response {
    fn status(&self) -> u16 {
        self.status
    }

    fn reason(&self) -> &str {
        &self.reason
    }

    fn header(&self, name: &str) -> Option<&str> {
        text(&self.headers, name)
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>> {
        Box::pin(ready(self.chunks.pop_front().transpose()))
    }
}

impl Http for JudgeNetwork {
    fn post(
        &self,
        request: HttpRequest,
        _seconds: f64,
    ) -> LocalFuture<'_, Result<Box<dyn HttpResponse>, HttpError>> {
        Box::pin(ready(self.response(request).map(|found| Box::new(found) as Box<_>)))
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        self.0.sleep(seconds);
        Box::pin(ready(()))
    }

    fn now(&self) -> f64 {
        0.0
    }

    fn random(&self) -> f64 {
        0.5
    }
}

impl JudgeNetwork {
    fn response(&self, request: HttpRequest) -> Result<Response, HttpError> {
        let pair = |(name, value): (String, String)| Value::list(vec![name.into(), value.into()]);
        let headers = request.headers.into_iter().map(pair).collect();
        let asked = [
            ("url", Value::text(&request.url)),
            ("headers", Value::list(headers)),
            ("body", Value::text(&request.body)),
        ];
        let answer = self.0.ask("post", &Value::record(asked));
        if answer.contains_key("error") {
            return Err(broken(map(&answer, "error")));
        }
        let chunk = |chunk: &Value| match chunk {
            // Each character is one byte.
            Value::Text(bytes) => Ok(bytes.chars().map(|byte| byte as u8).collect()),
            other => Err(broken(map(&other.as_map().cloned().unwrap_or_default(), "error"))),
        };
        Ok(Response {
            status: u16::try_from(count(&answer, "status")).unwrap_or(0),
            reason: text(&answer, "reason").unwrap_or_default().into(),
            headers: map(&answer, "headers").clone(),
            chunks: list(&answer, "chunks").iter().map(chunk).collect(),
        })
    }
}

fn broken(error: &Map) -> HttpError {
    let message = text(error, "message").unwrap_or_default().to_string();
    match text(error, "kind") {
        Some("timeout") => HttpError::TimedOut,
        Some("connection") => HttpError::Connection(message),
        _ => HttpError::Invalid(message),
    }
}

/// The reply in an answer, or the error that the model failed with.
fn reply(answer: &Map) -> Result<Map, Error> {
    if answer.contains_key("error") {
        let error = map(answer, "error");
        let kinds = [Kind::Model, Kind::Limit, Kind::Action];
        let kind = kinds.into_iter().find(|kind| Some(kind.word()) == text(error, "kind"));
        let message = text(error, "message").unwrap_or_default();
        let hint = text(error, "hint").unwrap_or_default();
        return Err(Error::new(kind.unwrap_or(Kind::Action), message).hint(hint));
    }
    let read = json::read(text(answer, "reply").unwrap_or_default());
    let read = read.map_err(|error| Error::new(Kind::Action, error.to_string()))?;
    Ok(read.as_map().cloned().unwrap_or_default())
}

fn messages(messages: &[Message]) -> Value {
    Value::list(messages.iter().map(Message::to_value).collect())
}

fn texts(texts: &[Arc<str>]) -> Value {
    Value::list(texts.iter().cloned().map(Value::Text).collect())
}

fn list<'m>(map: &'m Map, key: &str) -> &'m [Value] {
    map.get(key).and_then(Value::as_list).unwrap_or_default()
}

fn count(map: &Map, key: &str) -> u64 {
    map.get(key).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}
