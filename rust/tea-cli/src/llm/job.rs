//! Something that another thread was asked for, and what comes of it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::OnText;

struct State<T> {
    text: String,
    result: Option<Result<T, Error>>,
    waker: Option<Waker>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    is_wanted: AtomicBool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What whoever asked waits with. Dropped, nobody waits any more.
pub struct Job<T>(Arc<Shared<T>>);

/// What whoever works answers with.
pub struct Reply<T>(Arc<Shared<T>>);

/// The two ends of a job.
#[must_use]
pub fn job<T>() -> (Job<T>, Reply<T>) {
    let state = State { text: String::new(), result: None, waker: None };
    let shared = Shared { state: Mutex::new(state), is_wanted: AtomicBool::new(true) };
    let shared = Arc::new(shared);
    (Job(shared.clone()), Reply(shared))
}

impl<T> Job<T> {
    /// What comes of it. `on_text` is called here with the text that comes before.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn result(self, on_text: Option<OnText<'_>>) -> Result<T, Error> {
        poll_fn(|context| {
            let mut state = self.0.state();
            let text = std::mem::take(&mut state.text);
            let result = state.result.take();
            if result.is_none() {
                state.waker = Some(context.waker().clone());
            }
            drop(state);
            if let Some(on_text) = on_text.filter(|_| !text.is_empty()) {
                on_text(&text);
            }
            result.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        self.0.is_wanted.store(false, Ordering::Relaxed);
    }
}

impl<T> Reply<T> {
    /// Whether anybody waits.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.0.is_wanted.load(Ordering::Relaxed)
    }

    /// Hand over a piece of text, before the result.
    pub fn say(&self, text: &str) {
        let mut state = self.0.state();
        state.text.push_str(text);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Hand over the result.
    pub fn settle(self, result: Result<T, Error>) {
        self.end(result);
    }

    fn end(&self, result: Result<T, Error>) {
        let mut state = self.0.state();
        state.result.get_or_insert(result);
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

impl<T> Drop for Reply<T> {
    /// Nobody waits for ever, also when the thread that worked has ended.
    fn drop(&mut self) {
        self.end(Err(Error::new(Kind::Model, "the thread that computes has ended")));
    }
}
