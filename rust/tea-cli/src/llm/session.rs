//! One conversation with a loaded model: the key-value cache, sampling, and stopping.

use std::rc::Rc;
use std::time::Instant;

use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{ChatRequest, FinishReason, OnText};
use tea_core::llm::parameters::MAX_SEED;
use tea_core::llm::stop_sequence_buffer::StopSequenceBuffer;

use super::adaptive_threads::{cpu_wait_seconds, AdaptiveThreads};
use super::memory::{CacheType, BATCH};
use crate::llama::{Context, ContextOptions, Model, Sampler, Token};
use crate::stop;

const STOPPED: i32 = 2;

/// What came of one request. Times in seconds; `reused` tokens were in the cache already.
#[derive(Debug)]
pub struct Generation {
    /// The answer.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Tokens of the prompt that needed no computing.
    pub reused: usize,
    /// Seconds until the first token.
    pub prompt_seconds: f64,
    /// Seconds for the tokens of the answer.
    pub answer_seconds: f64,
}

/// A context and what it has computed.
pub struct Session {
    model: Rc<Model>,
    context: Context,
    n_ctx: u32,
    n_threads: u32,
    adaptive: Option<AdaptiveThreads>,
    started: Instant,
    cached: Vec<Token>, // the tokens whose keys and values are in the cache
}

impl Session {
    /// Set memory for the context aside. `cache_type`: what keys and values are kept in; `yields`:
    /// fewer threads than `n_threads` may compute an answer, see `AdaptiveThreads`.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory, or the model cannot generate.
    pub fn new(
        model: Rc<Model>,
        n_ctx: u32,
        n_threads: u32,
        cache_type: CacheType,
        yields: bool,
    ) -> Result<Session, Error> {
        let options =
            ContextOptions { n_ctx, n_batch: BATCH, n_threads, cache_type, embeddings: None };
        let context = Context::new(model.clone(), options)?;
        let adaptive = yields.then(|| AdaptiveThreads::new(n_threads));
        let (started, cached) = (Instant::now(), Vec::new());
        Ok(Session { model, context, n_ctx, n_threads, adaptive, started, cached })
    }

    /// Answer `request`, whose prompt is `prompt`; what the cache has of its beginning is not
    /// computed again.
    ///
    /// # Errors
    /// `LimitError`: the prompt and the longest answer do not fit into the context. `ModelError`:
    /// a computation failed. `Interrupted`: a stop was asked for.
    pub fn generate(
        &mut self,
        prompt: &[Token],
        request: &ChatRequest,
        on_text: Option<OnText<'_>>,
    ) -> Result<Generation, Error> {
        let started = Instant::now();
        self.check_room(prompt.len(), request.sampling.max_tokens)?;
        let reused = self.rewind(prompt);
        let seed = request.seed.map_or_else(new_seed, Ok)?;
        let mut sampler = Sampler::new(&self.model, prompt, &request.sampling, seed)?;
        let mut answer = StopSequenceBuffer::new(&request.stop, on_text);
        for chunk in prompt[reused..].chunks(BATCH as usize) {
            self.compute(chunk)?;
        }
        let computed = Instant::now();
        // Another number of threads rounds otherwise, and a seed asks for the same answer.
        let yields = request.seed.is_none();
        self.assign(yields);
        if let Some(adaptive) = self.adaptive.as_mut().filter(|_| yields) {
            adaptive.begin(self.started.elapsed().as_secs_f64(), cpu_wait_seconds());
        }
        let limit = usize::try_from(request.sampling.max_tokens).unwrap_or(usize::MAX);
        let (count, finish_reason) = self.answer(&mut sampler, &mut answer, limit, yields)?;
        Ok(Generation {
            text: answer.finish(),
            finish_reason,
            prompt_tokens: prompt.len(),
            completion_tokens: count,
            reused,
            prompt_seconds: (computed - started).as_secs_f64(),
            answer_seconds: computed.elapsed().as_secs_f64(),
        })
    }

    fn check_room(&self, prompt: usize, max_tokens: u64) -> Result<(), Error> {
        let room = u64::from(self.n_ctx).saturating_sub(max_tokens);
        if prompt as u64 <= room {
            return Ok(());
        }
        let message = format!(
            "the prompt has {prompt} tokens, but only {room} fit: the context of {} less \
             max_tokens of {max_tokens}",
            self.n_ctx
        );
        Err(Error::new(Kind::Limit, message)
            .hint("shorten the prompt, lower max_tokens, or raise settings.llm.n_ctx"))
    }

    /// Sample tokens until the model, a stop string or `limit` ends the answer.
    fn answer(
        &mut self,
        sampler: &mut Sampler,
        answer: &mut StopSequenceBuffer,
        limit: usize,
        yields: bool,
    ) -> Result<(usize, FinishReason), Error> {
        for count in 0..limit {
            let token = self.context.sample(sampler);
            if self.model.ends(token) {
                return Ok((count, FinishReason::Stop));
            }
            if answer.feed(&self.model.piece(token)) {
                return Ok((count + 1, FinishReason::Stop));
            }
            if count + 1 < limit {
                self.compute_token(token, yields)?;
            }
        }
        Ok((limit, FinishReason::Length))
    }

    fn compute_token(&mut self, token: Token, yields: bool) -> Result<(), Error> {
        self.compute(&[token])?;
        if let Some(adaptive) = self.adaptive.as_mut().filter(|_| yields) {
            let before = adaptive.threads();
            adaptive.observe(self.started.elapsed().as_secs_f64(), cpu_wait_seconds);
            if adaptive.threads() != before {
                self.assign(yields);
            }
        }
        Ok(())
    }

    /// Choose how many threads compute answers; prompts, whose parts are large, keep all.
    fn assign(&mut self, yields: bool) {
        let adaptive = self.adaptive.as_ref().filter(|_| yields);
        let threads = adaptive.map_or(self.n_threads, AdaptiveThreads::threads);
        self.context.set_threads(threads, self.n_threads);
    }

    fn compute(&mut self, tokens: &[Token]) -> Result<(), Error> {
        stop::check()?;
        let result = self.context.decode(&mut tokens.to_vec());
        if result == 0 {
            self.cached.extend_from_slice(tokens);
            return Ok(());
        }
        self.cut(self.cached.len()); // an aborted computation leaves a part of its work behind
        if result == STOPPED {
            stop::check()?;
        }
        Err(Error::new(Kind::Model, format!("llama.cpp failed to compute (code {result})")))
    }

    /// Cut the cache back to what it shares with `prompt`; returns how many tokens that is.
    ///
    /// The last token of the prompt is always computed: sampling needs its result.
    fn rewind(&mut self, prompt: &[Token]) -> usize {
        let new = &prompt[..prompt.len().saturating_sub(1)];
        let shared = self.cached.iter().zip(new).take_while(|(old, new)| old == new).count();
        self.cut(shared);
        self.cached.len()
    }

    /// Keep the first `length` tokens in the cache, or none where that cannot be done.
    fn cut(&mut self, length: usize) {
        if length > 0 && self.context.keep_first(length) {
            self.cached.truncate(length);
        } else {
            self.context.clear();
            self.cached.clear();
        }
    }
}

fn new_seed() -> Result<u32, Error> {
    loop {
        let seed = u32::from_le_bytes(crate::random::bytes()?);
        if seed <= MAX_SEED {
            return Ok(seed);
        }
    }
}
