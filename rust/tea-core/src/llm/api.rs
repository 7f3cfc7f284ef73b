//! The API backend: any endpoint that speaks the OpenAI chat completions protocol.

use std::cell::Cell;
use std::rc::Rc;

use chrono::DateTime;

use super::backend::{
    Backend, BackendName, ChatReply, ChatRequest, DecideReply, DecideRequest, EmbedReply,
    EmbedRequest, FinishReason, OnText, MAX_PROMPT,
};
use super::endpoint::{without_password, Endpoint};
use super::openai_format as format;
use super::openai_request;
use super::shape::Shape;
use super::tool_calls;
use crate::actions::LocalFuture;
use crate::errors::{Error, Kind};
use crate::redact::shorten;
use crate::spec::SENT;
use crate::value::json;
use crate::value::numbers::short_text;
use crate::value::{Map, Value};

/// Seconds before the first retry, doubled each time.
const FIRST_WAIT: f64 = 0.5;
const LONGEST_WAIT: f64 = 8.0;
/// A server that asks for more is asked again after this.
const LONGEST_RETRY_AFTER: f64 = 60.0;
/// A server that asks for more than a day is not asked again.
const LONGEST_WISH: f64 = 86_400.0;
/// Characters of a server's own error text.
const SHOWN: usize = 300;
/// Bytes of one; the rest is not read.
const REFUSAL: usize = 1_000_000;
const PASSING: [u16; 7] = [408, 429, 500, 502, 503, 504, 529];

/// A POST with a JSON body.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// The whole address.
    pub url: String,
    /// Name and value; the content type is among them.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// Why there is no response, or no more of it.
#[derive(Debug, Clone)]
pub enum HttpError {
    /// The time is over.
    TimedOut,
    /// The connection failed or broke; trying again may help.
    Connection(String),
    /// The request cannot be sent, or the response is not HTTP.
    Invalid(String),
}

/// A response whose body comes in pieces.
pub trait HttpResponse {
    /// The status code.
    fn status(&self) -> u16;
    /// The words beside it; may be empty.
    fn reason(&self) -> &str;
    /// A header, by its name in small letters.
    fn header(&self, name: &str) -> Option<&str>;
    /// The next bytes of the body; None at its end.
    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>>;
}

/// The network and the clock of a host.
pub trait Http {
    /// Send a request. The response, its body included, is to be over in `seconds`.
    fn post(
        &self,
        request: HttpRequest,
        seconds: f64,
    ) -> LocalFuture<'_, Result<Box<dyn HttpResponse>, HttpError>>;
    /// Wait.
    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()>;
    /// Seconds since 1970.
    fn now(&self) -> f64;
    /// A number from 0 to 1.
    fn random(&self) -> f64;
}

/// An endpoint that answers.
pub struct ApiBackend {
    endpoint: Endpoint,
    http: Rc<dyn Http>,
    /// The API has asked for `max_completion_tokens`.
    newer_name: Cell<bool>,
}

/// A failure of one try; one that may pass has the seconds that the server asked for.
enum Failed {
    Finally(Error),
    Transient(Error, Option<f64>),
    TimedOut,
    /// The API wants the limit of the answer by its newer name.
    OtherName,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Finally(error)
    }
}

/// What is made of a response.
enum Wanted<'a> {
    Chat(&'a str, &'a ChatRequest, Option<OnText<'a>>),
    Vectors(&'a str, usize),
}

enum Reply {
    Chat(ChatReply),
    Vectors(EmbedReply),
}

impl ApiBackend {
    /// A backend that sends its requests through `http`.
    #[must_use]
    pub fn new(endpoint: Endpoint, http: Rc<dyn Http>) -> ApiBackend {
        ApiBackend { endpoint, http, newer_name: Cell::new(false) }
    }

    fn model<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, Error> {
        named.or(self.endpoint.model.as_deref()).ok_or_else(|| {
            Error::new(Kind::Api, "the API needs to know which model")
                .hint("set settings.llm.model")
        })
    }

    /// Send `body` until a reply can be made of the response, or tries or time run out.
    async fn post(
        &self,
        path: &str,
        mut body: Map,
        wanted: Wanted<'_>,
        timeout: f64,
        max_retries: u64,
    ) -> Result<Reply, Error> {
        let start = self.http.now();
        let left = || timeout - (self.http.now() - start);
        let mut tried = 0;
        loop {
            match self.send(path, &body, &wanted, left().max(0.0)).await {
                Err(Failed::OtherName) => {
                    self.newer_name.set(true);
                    if let Some(limit) = body.shift_remove("max_tokens") {
                        body.insert("max_completion_tokens".into(), limit);
                    }
                }
                Ok(reply) => return Ok(reply),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::TimedOut) => return Err(self.timed_out(timeout)),
                Err(Failed::Transient(error, _)) if tried >= max_retries => return Err(error),
                Err(Failed::Transient(_, asked)) => {
                    let wait = self.wait(tried, asked);
                    self.http.sleep(wait.min(left().max(0.0))).await;
                    if left() <= 0.0 {
                        return Err(self.timed_out(timeout));
                    }
                    tried += 1;
                }
            }
        }
    }

    fn timed_out(&self, timeout: f64) -> Error {
        let (shown, seconds) = (self.endpoint.shown(), short_text(timeout));
        Error::new(Kind::Timeout, format!("{shown} gave no answer within {seconds} seconds"))
            .hint("raise timeout, or ask for less")
    }

    async fn send(
        &self,
        path: &str,
        body: &Map,
        wanted: &Wanted<'_>,
        seconds: f64,
    ) -> Result<Reply, Failed> {
        let mut headers = vec![("Content-Type".to_string(), "application/json".to_string())];
        headers.extend(self.endpoint.header.clone());
        let url = format!("{}/{path}", self.endpoint.base);
        let text = json::write(&Value::map(body.clone()), None);
        let request = HttpRequest { url, headers, body: text };
        let posted = self.http.post(request, seconds).await;
        let mut response = posted.map_err(|error| self.failed(error, false))?;
        if response.status() != 200 {
            let start = read(&mut *response, REFUSAL).await.map_err(|e| self.failed(e, false))?;
            return Err(self.refusal(&*response, &start, body));
        }
        let begun = |error| self.failed(error, true); // a part of the answer may be out already
        match wanted {
            Wanted::Chat(model, request, on_text) => {
                // Of a choice the pieces are JSON.
                let is_choice = matches!(request.shape, Some(Shape::Choices(_)));
                let pieces = on_text.filter(|_| !is_choice).unwrap_or(&|_| ());
                let mut reply = format::Reply::default();
                while !reply.is_done() {
                    let Some(bytes) = response.chunk().await.map_err(begun)? else { break };
                    reply.feed(&bytes, pieces)?;
                }
                let reply = checked(reply.finish(model, pieces)?, request).map_err(|error| {
                    match error.kind == Kind::Api && on_text.is_none() {
                        true => Failed::Transient(error, None),
                        false => Failed::Finally(error),
                    }
                })?;
                if let Some(on_text) = on_text.filter(|_| is_choice && !reply.content.is_empty()) {
                    on_text(&reply.content);
                }
                Ok(Reply::Chat(reply))
            }
            Wanted::Vectors(model, count) => {
                let body = read(&mut *response, format::MAX_REPLY + 1).await.map_err(begun)?;
                format::check_size(body.len())?;
                Ok(Reply::Vectors(format::embed_reply(&body, model, *count)?))
            }
        }
    }

    fn failed(&self, error: HttpError, begun: bool) -> Failed {
        let shown = self.endpoint.shown();
        let error_of =
            |cause: String| Error::new(Kind::Api, format!("{shown}: {}", shorten(&cause, SHOWN)));
        match error {
            HttpError::TimedOut => Failed::TimedOut,
            HttpError::Connection(cause) if !begun => Failed::Transient(error_of(cause), None),
            HttpError::Connection(cause) | HttpError::Invalid(cause) => {
                Failed::Finally(error_of(cause))
            }
        }
    }

    fn refusal(&self, response: &dyn HttpResponse, start: &[u8], body: &Map) -> Failed {
        let (shown, status) = (self.endpoint.shown(), response.status());
        let mut text = format::error_text(start);
        if text.is_empty() {
            text = response.reason().into();
        }
        if status == 400
            && text.contains("max_completion_tokens")
            && body.contains_key("max_tokens")
        {
            return Failed::OtherName;
        }
        let mut hint = String::new();
        let target = response.header("location").filter(|target| !target.is_empty());
        if let (300..400, Some(target)) = (status, target) {
            text = format!("it redirects to {}", without_password(target));
            hint = "name the API's own address in api_base".into();
        } else if status == 404 && !shown.contains("/v1") {
            hint = format!("most addresses of such APIs end with /v1: try {shown}/v1");
        }
        let message = format!("{shown} answered {status}: {}", shorten(&text, SHOWN));
        let wait = self.retry_after(response.header("retry-after"));
        if !PASSING.contains(&status) {
            return Failed::Finally(Error::new(Kind::Api, message).hint(hint));
        }
        if wait.is_some_and(|wait| wait > LONGEST_WISH) {
            let message = format!("{message}; it wants to be left alone for more than a day");
            let hint = "try again later, or ask the provider for a higher limit";
            return Failed::Finally(Error::new(Kind::Api, message).hint(hint));
        }
        let wait = wait.map(|wait| wait.min(LONGEST_RETRY_AFTER));
        Failed::Transient(Error::new(Kind::Api, message).hint(hint), wait)
    }

    /// The seconds that a header asks for: it has a number or a date.
    fn retry_after(&self, header: Option<&str>) -> Option<f64> {
        let header = header?.trim();
        let seconds = match header.parse::<f64>() {
            Ok(seconds) => seconds,
            Err(_) => date(header)? - self.http.now(),
        };
        (!seconds.is_nan()).then(|| seconds.max(0.0))
    }

    fn wait(&self, tried: u64, asked: Option<f64>) -> f64 {
        let doubled = FIRST_WAIT * 2.0_f64.powi(i32::try_from(tried.min(64)).unwrap_or(64));
        let wait = doubled.min(LONGEST_WAIT) * (0.5 + self.http.random() / 2.0);
        asked.map_or(wait, |asked| asked.max(wait))
    }
}

/// The reply, once it has the shape and calls the tools that were asked for.
fn checked(mut reply: ChatReply, request: &ChatRequest) -> Result<ChatReply, Error> {
    if !reply.tool_calls.is_empty() || !request.tools.is_empty() {
        tool_calls::check(request, &reply.tool_calls, Kind::Api)?;
    }
    let is_whole = reply.finish_reason != FinishReason::Length;
    if is_whole && matches!(request.shape, Some(Shape::Choices(_))) {
        reply.content = openai_request::choice_in(reply.content);
    }
    reply.held_to(request.shape.as_ref(), Kind::Api)
}

/// The beginning of a body, up to about `most` bytes.
async fn read(response: &mut dyn HttpResponse, most: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while body.len() < most {
        let Some(bytes) = response.chunk().await? else { break };
        body.extend(bytes);
    }
    Ok(body)
}

/// The body of a chat request.
fn chat_body(
    request: &ChatRequest,
    model: &str,
    limit: &str,
    form: Vec<(&'static str, Value)>,
    streams: bool,
) -> Map {
    let texts = |texts: &[std::sync::Arc<str>]| {
        Value::list(texts.iter().cloned().map(Value::Text).collect())
    };
    let mut body: Vec<(&str, Value)> = vec![
        ("model", model.into()),
        ("messages", Value::list(request.messages.iter().map(openai_request::message).collect())),
    ];
    let is_sent = |name: &str| SENT.contains(&name) && !request.unsent.contains(&name);
    let sampled = request.sampling.fields().into_iter().filter(|(name, _)| is_sent(name));
    let named = |name| if name == "max_tokens" { limit } else { name };
    body.extend(sampled.map(|(name, value)| (named(name), value.into())));
    body.extend(request.seed.map(|seed| ("seed", Value::Int(seed.into()))));
    if !request.stop.is_empty() {
        body.push(("stop", texts(&request.stop)));
    }
    body.extend(form);
    if streams {
        body.push(("stream", true.into()));
        body.push(("stream_options", Value::record([("include_usage", true.into())])));
    }
    body.into_iter().map(|(key, value)| (key.into(), value)).collect()
}

impl Backend for ApiBackend {
    fn name(&self) -> BackendName {
        BackendName::Api
    }

    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: Option<OnText<'a>>,
    ) -> LocalFuture<'a, Result<ChatReply, Error>> {
        Box::pin(async move {
            let model = self.model(request.model.as_deref())?;
            if request.messages.iter().map(|each| each.content.len()).sum::<usize>() > MAX_PROMPT {
                let message = format!("the messages have more than {MAX_PROMPT} bytes");
                return Err(Error::limit(message).hint("shorten the prompt"));
            }
            let limit = match self.newer_name.get() {
                true => "max_completion_tokens",
                false => request.limit_name,
            };
            let form = openai_request::form(request)?;
            let body = chat_body(request, model, limit, form, on_text.is_some());
            let wanted = Wanted::Chat(model, request, on_text);
            let (timeout, retries) = (request.timeout, request.max_retries);
            match self.post("chat/completions", body, wanted, timeout, retries).await? {
                Reply::Chat(reply) => Ok(reply),
                Reply::Vectors(_) => Err(Error::new(Kind::Api, "vectors came for an answer")),
            }
        })
    }

    fn embed<'a>(
        &'a self,
        request: &'a EmbedRequest,
    ) -> LocalFuture<'a, Result<EmbedReply, Error>> {
        Box::pin(async move {
            let model = self.model(request.model.as_deref())?;
            let texts = request.texts.iter().cloned().map(Value::Text).collect();
            let body = [("model".into(), model.into()), ("input".into(), Value::list(texts))];
            let body = body.into_iter().collect();
            let wanted = Wanted::Vectors(model, request.texts.len());
            let (timeout, retries) = (request.timeout, request.max_retries);
            match self.post("embeddings", body, wanted, timeout, retries).await? {
                Reply::Vectors(reply) => Ok(reply),
                Reply::Chat(_) => Err(Error::new(Kind::Api, "an answer came for vectors")),
            }
        })
    }

    fn decide<'a>(&'a self, _: &'a DecideRequest) -> LocalFuture<'a, Result<DecideReply, Error>> {
        let error = Error::action("llm.decide needs a local model")
            .hint("set backend: local, or ask with choices");
        Box::pin(std::future::ready(Err(error)))
    }
}

/// The seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`; None for any other.
fn date(text: &str) -> Option<f64> {
    DateTime::parse_from_rfc2822(text).ok().map(|date| date.timestamp() as f64)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn a_date_is_its_seconds_since_1970() {
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777.0));
        assert_eq!(date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800.0));
        for wrong in ["", "soon", "Sun, 06 Nov 1994", "Sun, 06 Foo 1994 08:49:37 GMT"] {
            assert_eq!(date(wrong), None);
        }
    }
}
