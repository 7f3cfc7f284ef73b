//! The network of the API backend: requests that the page sends.

use std::rc::Rc;

use tea_core::actions::LocalFuture;
use tea_core::llm::api::{Http, HttpError, HttpRequest, HttpResponse};
use tea_core::value::json;
use tea_core::value::Value;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::host::{self, Host, HttpReply};

/// The network and the clock of a page.
pub struct HostHttp(pub Host);

/// A response whose body the page reads.
struct Response {
    reply: HttpReply,
    reason: String,
    /// Those that the engine asks for; a page may not see all that were sent.
    headers: Vec<(&'static str, String)>,
}

const HEADERS: [&str; 2] = ["content-type", "retry-after"];

impl Http for HostHttp {
    fn post(
        &self,
        request: HttpRequest,
        seconds: f64,
    ) -> LocalFuture<'_, Result<Box<dyn HttpResponse>, HttpError>> {
        Box::pin(async move {
            let pair =
                |(name, value): (String, String)| Value::list(vec![name.into(), value.into()]);
            let headers = Value::list(request.headers.into_iter().map(pair).collect());
            let headers = json::write(&headers, None);
            let sent = self.0.post(&request.url, &headers, &request.body, seconds);
            let reply = JsFuture::from(sent).await.map_err(|thrown| failed(&thrown))?;
            let reply: HttpReply = reply.unchecked_into();
            let found = HEADERS.into_iter().filter_map(|name| Some((name, reply.header(name)?)));
            let (headers, reason) = (found.collect(), reply.reason());
            Ok(Box::new(Response { reply, reason, headers }) as _)
        })
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        sleep(&self.0, seconds)
    }

    fn now(&self) -> f64 {
        self.0.now()
    }

    fn random(&self) -> f64 {
        self.0.random()
    }
}

/// Wait, or end the wait early when the run is stopped.
pub(crate) fn sleep(host: &Host, seconds: f64) -> LocalFuture<'_, ()> {
    Box::pin(async move {
        // It rejects when the run is stopped; the next request then says so.
        let _ = JsFuture::from(host.sleep(seconds)).await;
    })
}

impl HttpResponse for Response {
    fn status(&self) -> u16 {
        self.reply.status()
    }

    fn reason(&self) -> &str {
        &self.reason
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>> {
        Box::pin(async move {
            let chunk = JsFuture::from(self.reply.chunk()).await;
            Ok(host::bytes(&chunk.map_err(|thrown| failed(&thrown))?))
        })
    }
}

fn failed(thrown: &JsValue) -> HttpError {
    let message = host::field(thrown, "message");
    match host::field(thrown, "kind").as_str() {
        "timeout" => HttpError::TimedOut,
        "connection" => HttpError::Connection(message),
        _ => HttpError::Invalid(message),
    }
}

/// The network as the API backend takes it.
#[must_use]
pub fn network(host: &Host) -> Rc<dyn Http> {
    Rc::new(HostHttp(host.clone()))
}
