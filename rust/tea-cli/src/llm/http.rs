//! The network of the API backend: each request in a thread of its own, so that several can be
//! under way, and time that runs out and Ctrl-C end them wherever they are.

use std::env;
use std::fs;
use std::future::poll_fn;
use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tea_core::actions::LocalFuture;
use tea_core::errors::Error;
use tea_core::llm::api::{ApiBackend, Http, HttpError, HttpRequest, HttpResponse};
use tea_core::llm::backend::{
    Backend, BackendName, ChatReply, ChatRequest, DecideReply, DecideRequest, EmbedReply,
    EmbedRequest, OnText,
};
use ureq::tls::{parse_pem, Certificate, PemItem, RootCerts, TlsConfig};
use ureq::{http, Agent, Body, Proxy};

use super::proxy::proxy_for;
use crate::random;
use crate::stop;

const CHUNK: usize = 16 * 1024;
/// Longer waits are not waited for: a thousand years.
const LONGEST: f64 = 3e10;

/// The network and the clock of this machine.
pub struct UreqHttp;

impl Http for UreqHttp {
    fn post(
        &self,
        request: HttpRequest,
        seconds: f64,
    ) -> LocalFuture<'_, Result<Box<dyn HttpResponse>, HttpError>> {
        Box::pin(async move { Ok(Box::new(Response::wait_for(request, seconds).await?) as _) })
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        Box::pin(sleep(seconds))
    }

    fn now(&self) -> f64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
    }

    fn random(&self) -> f64 {
        random::fraction()
    }
}

/// An API whose calls a stop ends for good: no error handling of a workflow takes it.
pub struct Stoppable(pub ApiBackend);

impl Stoppable {
    async fn unless_stopped<T>(&self, call: LocalFuture<'_, Result<T, Error>>) -> Result<T, Error> {
        let _guard = stop::cancel_guard(); // also between two pieces of an answer
        let result = call.await;
        if result.is_err() {
            stop::check()?;
        }
        result
    }
}

impl Backend for Stoppable {
    fn name(&self) -> BackendName {
        self.0.name()
    }

    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: Option<OnText<'a>>,
    ) -> LocalFuture<'a, Result<ChatReply, Error>> {
        Box::pin(self.unless_stopped(self.0.chat(request, on_text)))
    }

    fn embed<'a>(
        &'a self,
        request: &'a EmbedRequest,
    ) -> LocalFuture<'a, Result<EmbedReply, Error>> {
        Box::pin(self.unless_stopped(self.0.embed(request)))
    }

    fn decide<'a>(
        &'a self,
        request: &'a DecideRequest,
    ) -> LocalFuture<'a, Result<DecideReply, Error>> {
        Box::pin(self.unless_stopped(self.0.decide(request)))
    }
}

/// Wait, or until a stop is asked for.
pub async fn sleep(seconds: f64) {
    let deadline = Instant::now() + duration(seconds);
    poll_fn(|_| match stop::is_requested() || Instant::now() >= deadline {
        true => Poll::Ready(()),
        false => Poll::Pending, // block_on looks again by itself
    })
    .await;
}

fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.clamp(0.0, LONGEST))
}

/// What the thread of a request sends: the head, then pieces of the body, then nothing more.
enum Part {
    Head(http::response::Parts),
    Chunk(Vec<u8>),
    End,
    Failed(HttpError),
}

/// Wakes whoever waits for the next part.
type SharedWaker = Arc<Mutex<Option<Waker>>>;

/// The thread's end of a response.
struct Sender {
    parts: SyncSender<Part>,
    waker: SharedWaker,
}

impl Sender {
    /// Whether there is still somebody who listens.
    fn send(&self, part: Part) -> bool {
        let is_sent = self.parts.send(part).is_ok();
        if let Some(waker) = self.waker.lock().ok().and_then(|mut waker| waker.take()) {
            waker.wake();
        }
        is_sent
    }
}

/// The other end.
struct Parts {
    parts: Receiver<Part>,
    waker: SharedWaker,
    deadline: Instant,
}

struct Response {
    head: http::response::Parts,
    parts: Parts,
}

impl Response {
    async fn wait_for(request: HttpRequest, seconds: f64) -> Result<Response, HttpError> {
        let deadline = Instant::now() + duration(seconds);
        let (sender, parts) = mpsc::sync_channel(16);
        let waker = SharedWaker::default();
        let sender = Sender { parts: sender, waker: waker.clone() };
        let started = thread::Builder::new().name("http".into()).spawn(move || {
            let sent = send(request, &sender);
            // Nobody listens any more when the time was over.
            sender.send(sent.map_or_else(Part::Failed, |()| Part::End));
        });
        started.map_err(|error| HttpError::Invalid(error.to_string()))?;
        let mut parts = Parts { parts, waker, deadline };
        match parts.next().await? {
            Part::Head(head) => Ok(Response { head, parts }),
            Part::Failed(error) => Err(error),
            Part::Chunk(_) | Part::End => Err(HttpError::Invalid("no response".into())),
        }
    }
}

impl Parts {
    /// The next part of a response, before the deadline.
    async fn next(&mut self) -> Result<Part, HttpError> {
        let _guard = stop::cancel_guard();
        poll_fn(|context| {
            // First, for there may always be another part.
            if stop::is_requested() {
                return Poll::Ready(Err(HttpError::Invalid("stopped".into())));
            }
            if Instant::now() >= self.deadline {
                return Poll::Ready(Err(HttpError::TimedOut));
            }
            if let Ok(mut waker) = self.waker.lock() {
                *waker = Some(context.waker().clone());
            }
            match self.parts.try_recv() {
                Ok(part) => Poll::Ready(Ok(part)),
                Err(TryRecvError::Disconnected) => {
                    let lost = "the connection was lost";
                    Poll::Ready(Err(HttpError::Connection(lost.into())))
                }
                Err(TryRecvError::Empty) => Poll::Pending,
            }
        })
        .await
    }
}

impl HttpResponse for Response {
    fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    fn reason(&self) -> &str {
        self.head.status.canonical_reason().unwrap_or("")
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, HttpError>> {
        Box::pin(async move {
            match self.parts.next().await? {
                Part::Chunk(data) => Ok(Some(data)),
                Part::Failed(error) => Err(error),
                Part::Head(_) | Part::End => Ok(None),
            }
        })
    }
}

/// Send the request, and its response part by part until nobody listens.
fn send(request: HttpRequest, parts: &Sender) -> Result<(), HttpError> {
    let address = proxy_for(&request.url, |name| env::var(name).ok());
    let address = address.map_err(HttpError::Invalid)?;
    let proxy = address.as_deref().map(Proxy::new).transpose();
    let proxy = proxy.map_err(|error| HttpError::Invalid(format!("the proxy: {error}")))?;
    // Certificates are read where they are wanted, and not for plain HTTP.
    let ways = [Some(request.url.as_str()), address.as_deref()];
    let is_secure = ways.iter().flatten().any(|way| way.starts_with("https:"));
    let certificates = if is_secure { root_certificates()? } else { RootCerts::WebPki };
    let agent: Agent = Agent::config_builder()
        .proxy(proxy)
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("tea/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(certificates).build())
        .build()
        .into();
    let mut post = agent.post(&request.url);
    for (name, value) in &request.headers {
        post = post.header(name, value);
    }
    let response = post.send(&request.body).map_err(|error| through(cause(&error), &address))?;
    let (head, body): (_, Body) = response.into_parts();
    if !parts.send(Part::Head(head)) {
        return Ok(());
    }
    let mut reader = body.into_reader();
    let mut buffer = vec![0; CHUNK];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                if !parts.send(Part::Chunk(buffer[..count].to_vec())) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(HttpError::Connection(error.to_string())),
        }
    }
}

/// The failure of a request, with the proxy that it went through.
fn through(error: HttpError, proxy: &Option<String>) -> HttpError {
    let Some(proxy) = proxy else { return error };
    let (scheme, rest) = proxy.split_once("://").unwrap_or(("http", proxy));
    let host = rest.rsplit('@').next().unwrap_or(rest);
    let named = |cause: String| format!("through the proxy {scheme}://{host}: {cause}");
    match error {
        HttpError::Connection(cause) => HttpError::Connection(named(cause)),
        HttpError::Invalid(cause) => HttpError::Invalid(named(cause)),
        HttpError::TimedOut => HttpError::TimedOut,
    }
}

fn cause(error: &ureq::Error) -> HttpError {
    let text = match error {
        ureq::Error::Io(error) => crate::text::reason(error),
        other => other.to_string(),
    };
    match error {
        ureq::Error::Io(_)
        | ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Protocol(_)
        | ureq::Error::Timeout(_) => HttpError::Connection(text),
        _ => HttpError::Invalid(text),
    }
}

/// The certificates to trust: those of SSL_CERT_FILE and SSL_CERT_DIR where one is set, else
/// Mozilla's, which are part of the program.
fn root_certificates() -> Result<RootCerts, HttpError> {
    let named = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut files: Vec<PathBuf> = named("SSL_CERT_FILE").into_iter().collect();
    let folder = named("SSL_CERT_DIR");
    if files.is_empty() && folder.is_none() {
        return Ok(RootCerts::WebPki);
    }
    if let Some(entries) = folder.and_then(|folder| fs::read_dir(folder).ok()) {
        files.extend(
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()),
        );
    }
    let mut certificates: Vec<Certificate<'static>> = Vec::new();
    for file in files {
        let data = fs::read(&file).map_err(|error| {
            let why = crate::text::reason(&error);
            HttpError::Invalid(format!("SSL_CERT_FILE {} cannot be used: {why}", file.display()))
        })?;
        certificates.extend(parse_pem(&data).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        }));
    }
    if certificates.is_empty() {
        let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| Some((name, env::var_os(name)?)));
        let named = named.into_iter().flatten().next().unwrap_or_default();
        let why = format!(
            "{} {} cannot be used: no certificates in it",
            named.0,
            named.1.to_string_lossy()
        );
        return Err(HttpError::Invalid(why));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
