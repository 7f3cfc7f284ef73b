//! Scripted models: a local one, and an API behind the real client.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;

use tea_core::actions::LocalFuture;
use tea_core::errors::{Error, Kind};
use tea_core::json;
use tea_core::llm::api::{Http, HttpError, HttpRequest, HttpResponse};
use tea_core::llm::backend::{
    Backend, BackendName, ChatReply, ChatRequest, EmbedReply, EmbedRequest, FinishReason, OnText,
};
use tea_core::value::{Map, Value};

use crate::case::{list, text};

/// What models and hosts note down, in the order of its happening.
#[derive(Debug, Default)]
pub struct Notes {
    /// Requests to models.
    pub requests: Vec<Map>,
    /// Waits in seconds.
    pub sleeps: Vec<f64>,
    /// The model file that was chosen.
    pub model: Option<String>,
    /// What must not happen.
    pub faults: Vec<String>,
}

/// The replies that a model has left to give.
pub struct Script {
    name: String,
    replies: RefCell<VecDeque<Map>>,
    bytewise: bool,
    notes: Rc<RefCell<Notes>>,
}

impl Script {
    /// The script of a model of a case.
    #[must_use]
    pub fn new(model: &Map, notes: Rc<RefCell<Notes>>) -> Script {
        let replies = list(model, "replies").iter().filter_map(Value::as_map).cloned().collect();
        Script {
            name: text(model, "name").unwrap_or("model").into(),
            replies: RefCell::new(replies),
            bytewise: model.contains_key("bytewise"),
            notes,
        }
    }

    fn next(&self, request: Map) -> Option<Map> {
        let mut notes = self.notes.borrow_mut();
        let reply = self.replies.borrow_mut().pop_front();
        if reply.is_none() {
            notes.faults.push(format!("one request more than the case has replies: {request:?}"));
        }
        notes.requests.push(request);
        reply
    }
}

fn pieces(reply: &Map) -> Vec<String> {
    match reply.get("text") {
        Some(Value::Text(one)) if one.is_empty() => Vec::new(),
        Some(Value::Text(one)) => vec![one.to_string()],
        _ => list(reply, "text").iter().filter_map(Value::as_text).map(Into::into).collect(),
    }
}

/// The tokens of prompt and answer.
fn usage(reply: &Map) -> (u64, u64) {
    let given = list(reply, "usage");
    let number = |value: &Value| value.as_int().and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
    match given {
        [prompt, completion] => (number(prompt), number(completion)),
        _ => (1, pieces(reply).len() as u64),
    }
}

fn tokens(reply: &Map) -> u64 {
    reply.get("usage").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

fn vectors(reply: &Map) -> Vec<Vec<f64>> {
    let numbers = |row: &Value| {
        row.as_list().unwrap_or_default().iter().filter_map(Value::as_number).collect()
    };
    list(reply, "embeddings").iter().map(numbers).collect()
}

fn fields<const N: usize>(entries: [(&str, Value); N]) -> Map {
    entries.into_iter().map(|(key, value)| (Arc::from(key), value)).collect()
}

/// A local model that says what its script says.
pub struct ScriptedModel(pub Rc<Script>);

impl ScriptedModel {
    fn reply(&self, request: Map, on_text: Option<OnText<'_>>) -> Result<Map, Error> {
        let Some(reply) = self.0.next(request) else {
            return Err(Error::new(Kind::Action, "the script is over"));
        };
        if let Some(on_text) = on_text {
            pieces(&reply).iter().for_each(|piece| on_text(piece));
        }
        let kind = match text(&reply, "error") {
            None => return Ok(reply),
            Some("ModelError") => Kind::Model,
            Some("LimitError") => Kind::Limit,
            Some(_) => Kind::Action,
        };
        Err(Error::new(kind, text(&reply, "message").unwrap_or_default()))
    }

    fn answer(
        &self,
        request: &ChatRequest,
        on_text: Option<OnText<'_>>,
    ) -> Result<ChatReply, Error> {
        let texts =
            |texts: &[Arc<str>]| Value::list(texts.iter().cloned().map(Value::Text).collect());
        let messages = request.messages.iter().map(|message| {
            Value::record([
                ("role", message.role.word().into()),
                ("content", Value::Text(message.content.clone())),
            ])
        });
        let seed = request.seed.map_or(Value::Null, |seed| Value::Int(seed.into()));
        let asked = fields([
            ("backend", "local".into()),
            ("messages", Value::list(messages.collect())),
            ("stop", texts(&request.stop)),
            ("temperature", Value::Float(request.temperature)),
            ("max_tokens", Value::Int(request.max_tokens.into())),
            ("top_p", Value::Float(request.top_p)),
            ("top_k", Value::Int(request.top_k.into())),
            ("min_p", Value::Float(request.min_p)),
            ("seed", seed),
        ]);
        let reply = self.reply(asked, on_text)?;
        let (prompt_tokens, completion_tokens) = usage(&reply);
        let is_cut = text(&reply, "finish_reason") == Some("length");
        Ok(ChatReply {
            content: pieces(&reply).concat(),
            model: self.0.name.clone(),
            finish_reason: if is_cut { FinishReason::Length } else { FinishReason::Stop },
            prompt_tokens,
            completion_tokens,
        })
    }

    fn vectors(&self, request: &EmbedRequest) -> Result<EmbedReply, Error> {
        let texts = request.texts.iter().cloned().map(Value::Text).collect();
        let asked = fields([("backend", "local".into()), ("texts", Value::list(texts))]);
        let reply = self.reply(asked, None)?;
        Ok(EmbedReply {
            embeddings: vectors(&reply),
            model: self.0.name.clone(),
            tokens: tokens(&reply),
        })
    }
}

impl Backend for ScriptedModel {
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
}

/// An OpenAI-compatible API, in the place of the network.
pub struct ScriptedApi(pub Script);

struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    chunks: VecDeque<Result<Vec<u8>, HttpError>>,
}

impl HttpResponse for Response {
    fn status(&self) -> u16 {
        self.status
    }

    fn reason(&self) -> &str {
        "reason"
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>> {
        Box::pin(ready(self.chunks.pop_front().transpose()))
    }
}

impl Http for ScriptedApi {
    fn post(
        &self,
        request: HttpRequest,
        _seconds: f64,
    ) -> LocalFuture<'_, Result<Box<dyn HttpResponse>, HttpError>> {
        Box::pin(ready(self.answer(&request).map(|found| Box::new(found) as Box<_>)))
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        self.0.notes.borrow_mut().sleeps.push(seconds);
        Box::pin(ready(()))
    }

    fn now(&self) -> f64 {
        0.0
    }

    fn random(&self) -> f64 {
        0.5
    }
}

impl ScriptedApi {
    fn answer(&self, request: &HttpRequest) -> Result<Response, HttpError> {
        let body = json::read(&request.body).map_err(|e| HttpError::Invalid(e.to_string()))?;
        let body = body.as_map().cloned().unwrap_or_default();
        let Some(reply) = self.0.next(recorded(request, &body)) else {
            return Err(HttpError::Invalid("the script is over".into()));
        };
        match text(&reply, "fault") {
            Some("refused") => return Err(HttpError::Connection("connection refused".into())),
            Some("silence") => return Err(HttpError::TimedOut),
            _ => {}
        }
        let whole = |status, headers, body: String| Response {
            status,
            headers,
            chunks: VecDeque::from([Ok(body.into_bytes())]),
        };
        if let Some(status) = reply.get("status").and_then(Value::as_int) {
            let headers = crate::case::map(&reply, "headers").iter();
            let headers = headers
                .filter_map(|(key, value)| Some((key.to_string(), value.as_text()?.into())))
                .collect();
            let body = text(&reply, "body").unwrap_or_default().to_string();
            return Ok(whole(u16::try_from(status).unwrap_or(0), headers, body));
        }
        if reply.contains_key("embeddings") {
            return Ok(whole(200, Vec::new(), json::write(&self.rows(&reply), None)));
        }
        if body.get("stream").is_some_and(Value::is_true) {
            let kind = ("content-type".to_string(), "text/event-stream".to_string());
            return Ok(Response { status: 200, headers: vec![kind], chunks: self.events(&reply) });
        }
        Ok(whole(200, Vec::new(), json::write(&self.completion(&reply), None)))
    }

    fn completion(&self, reply: &Map) -> Value {
        let message = Value::record([
            ("role", "assistant".into()),
            ("content", pieces(reply).concat().into()),
        ]);
        let choice = Value::record([
            ("index", Value::Int(0)),
            ("message", message),
            ("finish_reason", reason(reply)),
        ]);
        Value::record([
            ("model", Value::text(&self.0.name)),
            ("choices", Value::list(vec![choice])),
            ("usage", counts(reply)),
        ])
    }

    fn rows(&self, reply: &Map) -> Value {
        let row = |(index, numbers): (usize, Vec<f64>)| {
            Value::record([
                ("index", Value::Int(index as i128)),
                ("embedding", Value::list(numbers.into_iter().map(Value::Float).collect())),
            ])
        };
        // The index says which is which, not the order.
        let rows = vectors(reply).into_iter().enumerate().map(row).rev().collect();
        Value::record([
            ("model", Value::text(&self.0.name)),
            ("data", Value::list(rows)),
            ("usage", Value::record([("prompt_tokens", Value::Int(tokens(reply).into()))])),
        ])
    }

    fn events(&self, reply: &Map) -> VecDeque<Result<Vec<u8>, HttpError>> {
        let mut chunks = VecDeque::new();
        for piece in pieces(reply) {
            let bytes = self.chunk(Value::record([("content", piece.into())]), Value::Null);
            if self.0.bytewise {
                chunks.extend(bytes.into_iter().map(|byte| Ok(vec![byte])));
            } else {
                chunks.push_back(Ok(bytes));
            }
        }
        match text(reply, "fault") {
            Some("disconnect") => {
                chunks.push_back(Err(HttpError::Connection("connection reset".into())));
                return chunks;
            }
            Some(_) => return chunks,
            None => {}
        }
        chunks.push_back(Ok(self.chunk(Value::record([]), reason(reply))));
        chunks.push_back(Ok(event(&Value::record([
            ("model", Value::text(&self.0.name)),
            ("choices", Value::list(Vec::new())),
            ("usage", counts(reply)),
        ]))));
        chunks.push_back(Ok(b"data: [DONE]\n\n".to_vec()));
        chunks
    }

    fn chunk(&self, delta: Value, reason: Value) -> Vec<u8> {
        let choice =
            Value::record([("index", Value::Int(0)), ("delta", delta), ("finish_reason", reason)]);
        event(&Value::record([
            ("model", Value::text(&self.0.name)),
            ("choices", Value::list(vec![choice])),
        ]))
    }
}

fn event(data: &Value) -> Vec<u8> {
    format!("data: {}\n\n", json::write(data, None)).into_bytes()
}

fn reason(reply: &Map) -> Value {
    text(reply, "finish_reason").unwrap_or("stop").into()
}

fn counts(reply: &Map) -> Value {
    let (prompt, completion) = usage(reply);
    Value::record([
        ("prompt_tokens", Value::Int(prompt.into())),
        ("completion_tokens", Value::Int(completion.into())),
    ])
}

/// A request in the words of the cases, whichever of two names the API has.
fn recorded(request: &HttpRequest, body: &Map) -> Map {
    let one_or_many = |value: &Value| match value {
        Value::Text(one) => Value::list(vec![Value::Text(one.clone())]),
        many => many.clone(),
    };
    let headers = request.headers.iter();
    let headers = headers.map(|(key, value)| (key.to_lowercase().into(), Value::text(value)));
    let mut found = fields([
        ("backend", "api".into()),
        ("method", "POST".into()),
        ("url", Value::text(&request.url)),
        ("headers", Value::map(headers.collect())),
    ]);
    for (key, value) in body {
        match &**key {
            "max_completion_tokens" => found.insert("max_tokens".into(), value.clone()),
            "input" => found.insert("texts".into(), one_or_many(value)),
            "stop" => found.insert("stop".into(), one_or_many(value)),
            _ => found.insert(key.clone(), value.clone()),
        };
    }
    found
}
