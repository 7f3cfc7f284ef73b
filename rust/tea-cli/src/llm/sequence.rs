//! One answer in the making: its tokens, its sampler, and where it ends.

use std::sync::Arc;
use std::time::Instant;

use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{ChatRequest, FinishReason};
use tea_core::llm::stop_sequence_buffer::StopSequenceBuffer;
use tea_core::spec::Sampling;

use super::cache::Cache;
use super::job::Reply;
use super::sampler::Sampler;
use crate::llama::{Model, Token};

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

/// What an answer is asked for with.
#[derive(Debug)]
pub struct Question {
    /// Its tokens.
    pub prompt: Vec<Token>,
    /// How to choose the answer's.
    pub sampling: Sampling,
    /// None: a new one.
    pub seed: Option<u32>,
    /// Texts that end the answer.
    pub stop: Vec<Arc<str>>,
    /// Whether the text is wanted as it comes.
    pub streams: bool,
}

impl Question {
    /// What `request` asks for with `prompt`.
    ///
    /// # Errors
    /// `LimitError`: the prompt and the longest answer do not fit into `n_ctx` tokens.
    pub fn new(
        prompt: Vec<Token>,
        request: &ChatRequest,
        streams: bool,
        n_ctx: u32,
    ) -> Result<Question, Error> {
        let max_tokens = request.sampling.max_tokens;
        let (length, room) = (prompt.len(), u64::from(n_ctx).saturating_sub(max_tokens));
        if length as u64 > room {
            let message = format!(
                "the prompt has {length} tokens, but only {room} fit: the context of {n_ctx} less \
                 max_tokens of {max_tokens}"
            );
            return Err(Error::new(Kind::Limit, message)
                .hint("shorten the prompt, lower max_tokens, or raise settings.llm.n_ctx"));
        }
        let (sampling, stop) = (request.sampling, request.stop.clone());
        Ok(Question { prompt, sampling, seed: request.seed, stop, streams })
    }

    /// How many tokens prompt and answer may come to.
    #[must_use]
    pub fn longest(&self) -> usize {
        let limit = usize::try_from(self.sampling.max_tokens).unwrap_or(usize::MAX);
        self.prompt.len().saturating_add(limit)
    }
}

/// A prompt and the answer that grows behind it.
pub struct Sequence {
    /// Its number in the cache.
    pub slot: usize,
    /// Whoever waits for the answer.
    pub reply: Reply<Generation>,
    model: Arc<Model>,
    question: Question,
    tokens: Vec<Token>, // of the prompt and of the answer
    sampler: Sampler,
    answer: StopSequenceBuffer<'static>,
    finish_reason: Option<FinishReason>,
    reused: usize,
    started: Instant,
    computed: Option<Instant>, // when the prompt was
}

impl Sequence {
    /// Go on from what `slot` of the cache has of the prompt.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory.
    pub fn new(
        model: Arc<Model>,
        question: Question,
        reply: Reply<Generation>,
        slot: usize,
        reused: usize,
    ) -> Result<Sequence, (Error, Reply<Generation>)> {
        let sampler =
            match Sampler::new(&model, &question.prompt, &question.sampling, question.seed) {
                Ok(sampler) => sampler,
                Err(error) => return Err((error, reply)),
            };
        Ok(Sequence {
            slot,
            reply,
            model,
            tokens: question.prompt.clone(),
            sampler,
            answer: StopSequenceBuffer::new(&question.stop, None),
            question,
            finish_reason: None,
            reused,
            started: Instant::now(),
            computed: None,
        })
    }

    /// Whether no token of the prompt is left to compute, of which `length` tokens have been.
    #[must_use]
    pub fn is_answering(&self, length: usize) -> bool {
        length >= self.question.prompt.len()
    }

    /// Whether another number of threads may compute it, which rounds otherwise: a seed asks for
    /// the same answer.
    #[must_use]
    pub fn yields(&self) -> bool {
        self.question.seed.is_none()
    }

    /// The tokens to compute after the first `length`, at most `room`.
    #[must_use]
    pub fn todo(&self, length: usize, room: usize) -> &[Token] {
        let end = self.tokens.len().min(length.saturating_add(room));
        &self.tokens[length..end]
    }

    /// Whether the result of all tokens is there once the first `length` are computed.
    #[must_use]
    pub fn is_due(&self, length: usize) -> bool {
        length == self.tokens.len()
    }

    /// Choose the token that follows `row`, and see whether the answer ends with it.
    ///
    /// # Errors
    /// `ModelError`: the model computed no numbers.
    pub fn advance(&mut self, cache: &mut Cache, row: usize) -> Result<(), Error> {
        self.computed.get_or_insert_with(Instant::now);
        let token = cache.context.logits(row).and_then(|logits| {
            self.sampler.penalize(logits);
            self.sampler.sample(logits, |_| true)
        });
        let Some(token) = token else {
            return Err(Error::new(Kind::Model, "the model computes no numbers: it is damaged"));
        };
        if self.model.ends(token) {
            self.finish_reason = Some(FinishReason::Stop);
            return Ok(());
        }
        self.tokens.push(token);
        self.sampler.accept(token);
        let said = self.answer.said().len();
        if self.answer.feed(&self.model.piece(token)) {
            self.finish_reason = Some(FinishReason::Stop);
        } else if self.tokens.len() >= self.question.longest() {
            self.finish_reason = Some(FinishReason::Length);
        }
        self.say_from(said);
        Ok(())
    }

    /// Whether the answer is complete.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.finish_reason.is_some()
    }

    /// Hand over the answer, or why there is none.
    pub fn settle(mut self, error: Option<Error>) {
        if let Some(error) = error {
            return self.reply.settle(Err(error));
        }
        let now = Instant::now();
        let computed = self.computed.unwrap_or(now);
        let said = self.answer.said().len();
        let answer = std::mem::replace(&mut self.answer, StopSequenceBuffer::new(&[], None));
        let text = answer.finish();
        if self.question.streams {
            self.reply.say(&text[said..]);
        }
        let prompt_tokens = self.question.prompt.len();
        self.reply.settle(Ok(Generation {
            text,
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Stop),
            prompt_tokens,
            completion_tokens: self.tokens.len() - prompt_tokens,
            reused: self.reused,
            prompt_seconds: (computed - self.started).as_secs_f64(),
            answer_seconds: (now - computed).as_secs_f64(),
        }));
    }

    fn say_from(&self, start: usize) {
        let text = &self.answer.said()[start..];
        if self.question.streams && !text.is_empty() {
            self.reply.say(text);
        }
    }
}
