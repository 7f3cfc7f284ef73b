//! One answer in the making: its tokens, its sampler, and where it ends.

use std::sync::Arc;
use std::time::Instant;

use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{ChatRequest, FinishReason};
use tea_core::llm::stop_sequence_buffer::StopSequenceBuffer;
use tea_core::llm::thinking::{Marks, Thoughts};
use tea_core::spec::Sampling;

use super::cache::Cache;
use super::job::Reply;
use super::matcher::{Matcher, PendingMatcher};
use super::prompt_lookup::PromptLookup;
use super::sampler::Sampler;
use crate::llama::{Model, Token};

/// What came of one request. Times in seconds; `reused` tokens were in the cache already.
#[derive(Debug)]
pub struct Generation {
    /// The answer.
    pub text: String,
    /// What the model thought before it.
    pub reasoning: Option<String>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub completion_tokens: usize,
    /// Of these, how many the shape alone decided.
    pub fed: usize,
    /// Of these, how many were looked up and found right.
    pub looked_up: usize,
    /// Tokens of the prompt that needed no computing.
    pub reused: usize,
    /// Seconds until the first token.
    pub prompt_seconds: f64,
    /// Seconds for the tokens of the answer.
    pub answer_seconds: f64,
}

/// What an answer is asked for with.
pub struct Question {
    /// Its tokens.
    pub prompt: Vec<Token>,
    /// How to choose the answer's.
    pub sampling: Sampling,
    /// None: a new one.
    pub seed: Option<u32>,
    /// Texts that end the answer.
    pub stop: Vec<Arc<str>>,
    /// What holds the answer to its shape.
    pub matcher: Option<PendingMatcher>,
    /// What is around the model's thoughts; None: it has none.
    pub marks: Option<Marks>,
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
        matcher: Option<PendingMatcher>,
        marks: Option<Marks>,
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
        Ok(Question { prompt, sampling, seed: request.seed, stop, matcher, marks, streams })
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
    matcher: Option<Matcher>,
    fed: usize, // tokens of the answer that nothing but the shape chose
    lookup: Option<PromptLookup>,
    draft: Vec<Token>, // that may follow, to be verified
    looked_up: usize,  // tokens of the answer that were
    thoughts: Option<Thoughts>,
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
        // At other temperatures a draw decides, and not what is likeliest.
        let looks_up = question.sampling.temperature == 0.0
            && question.matcher.is_none()
            && model.rolls_back();
        let lookup = looks_up.then(PromptLookup::default);
        let thoughts = question
            .marks
            .map(|marks| Thoughts::new(marks, &tail(&model, &question.prompt, marks)));
        Ok(Sequence {
            thoughts,
            slot,
            reply,
            model,
            tokens: question.prompt.clone(),
            sampler,
            matcher: None,
            fed: 0,
            lookup,
            draft: Vec::new(),
            looked_up: 0,
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

    /// The tokens to compute after the first `length`, at most `room`, and how many of their rows
    /// are to give logits. `is_alone`: no other sequence is computed.
    pub fn todo(&mut self, length: usize, room: usize, is_alone: bool) -> (Vec<Token>, usize) {
        let end = self.tokens.len().min(length.saturating_add(room));
        let mut tokens = self.tokens.get(length..end).unwrap_or_default().to_vec();
        if length + tokens.len() < self.tokens.len() {
            return (tokens, 0);
        }
        self.draft.clear();
        if is_alone && self.is_answering(length) {
            self.propose(room - tokens.len());
        }
        tokens.extend(&self.draft);
        (tokens, 1 + self.draft.len())
    }

    /// Look up what may follow, at most `room` tokens of it.
    fn propose(&mut self, room: usize) {
        // What ends the answer at the latest needs no proposal.
        let left = self.question.longest().saturating_sub(self.tokens.len() + 1);
        if let Some(lookup) = &mut self.lookup {
            self.draft = lookup.propose(&self.tokens, room.min(left));
        }
    }

    /// Choose the tokens that follow `row`, and the rows after it as long as what was looked up is
    /// right, and see whether the answer ends with them.
    ///
    /// # Errors
    /// `ModelError`: the model computed no numbers. `ActionError`: the shape is too large to follow.
    pub fn advance(&mut self, cache: &mut Cache, row: usize) -> Result<(), Error> {
        self.computed.get_or_insert_with(Instant::now);
        let draft = std::mem::take(&mut self.draft);
        let known = self.tokens.len();
        let mut right = 0;
        loop {
            self.choose_next(cache, row + right)?;
            let chosen = self.tokens.get(known + right);
            let more = !self.has_ended() && self.tokens.len() == known + right + 1;
            if chosen.is_some() && chosen == draft.get(right) {
                right += 1;
                if more {
                    continue;
                }
            }
            break;
        }
        if let Some(lookup) = self.lookup.as_mut().filter(|_| !draft.is_empty()) {
            lookup.judge(draft.len(), right);
            self.looked_up += right;
            if right < draft.len() {
                cache.cut(self.slot, known + right);
            }
            if !lookup.pays() {
                self.lookup = None;
            }
        }
        Ok(())
    }

    fn choose_next(&mut self, cache: &mut Cache, row: usize) -> Result<(), Error> {
        let damaged = || Error::new(Kind::Model, "the model computes no numbers: it is damaged");
        let logits = cache.context.logits(row).ok_or_else(damaged)?;
        self.sampler.penalize(logits);
        if self.question.matcher.is_some() {
            if self.thoughts.as_ref().is_some_and(Thoughts::may_go_on) {
                let token = self.sampler.sample(logits, |_| true).ok_or_else(damaged)?;
                if self.thinks_with(token) {
                    self.push(token);
                    return Ok(());
                }
            }
            if self.begin_held()? {
                return Ok(());
            }
        }
        let token = self.choose(logits)?.ok_or_else(damaged)?;
        if self.model.ends(token) {
            self.finish_reason = Some(FinishReason::Stop);
            return Ok(());
        }
        if let Some(matcher) = &mut self.matcher {
            matcher.consume(token)?;
        }
        self.push(token);
        self.feed_forced()
    }

    /// Begin the part of the answer that the shape holds; returns whether that chose tokens.
    fn begin_held(&mut self) -> Result<bool, Error> {
        let known = self.tokens.len();
        if let Some(pending) = self.question.matcher.take() {
            self.matcher = Some(pending.wait()?);
            self.feed_forced()?;
        }
        Ok(self.has_ended() || self.tokens.len() > known)
    }

    /// Whether `token` is a thought, which no shape holds; else the held answer begins. The end of
    /// the answer is none.
    fn thinks_with(&mut self, token: Token) -> bool {
        let Some(thoughts) = &mut self.thoughts else { return false };
        let piece = written(&self.model, token, self.question.marks);
        thoughts.goes_on_with(&piece)
    }

    /// Choose freely, and again among what the shape allows where it does not allow that.
    fn choose(&mut self, logits: &[f32]) -> Result<Option<Token>, Error> {
        let token = self.sampler.sample(logits, |_| true);
        let (Some(matcher), Some(free)) = (&mut self.matcher, token) else { return Ok(token) };
        if matcher.accepts(free)? {
            return Ok(token);
        }
        let mask = matcher.mask()?;
        Ok(self.sampler.sample(logits, |number| mask.get(number)))
    }

    /// Add the tokens that the shape leaves no choice of: they need no choosing, and are computed
    /// together.
    fn feed_forced(&mut self) -> Result<(), Error> {
        let Some(matcher) = &mut self.matcher else { return Ok(()) };
        let forced = matcher.consume_forced()?;
        let is_stopped = matcher.is_stopped();
        for token in forced {
            if !self.has_ended() && !self.model.ends(token) {
                self.push(token);
                self.fed += 1;
            }
        }
        if is_stopped && self.finish_reason != Some(FinishReason::Length) {
            self.finish_reason = Some(FinishReason::Stop);
        }
        Ok(())
    }

    /// Add a token to the answer.
    fn push(&mut self, token: Token) {
        self.tokens.push(token);
        self.sampler.accept(token);
        let said = self.answer.said().len();
        let piece = match &mut self.thoughts {
            Some(thoughts) => thoughts.feed(&written(&self.model, token, self.question.marks)),
            None => self.model.piece(token),
        };
        if self.answer.feed(&piece) {
            self.finish_reason = Some(FinishReason::Stop);
        } else if self.tokens.len() >= self.question.longest() {
            self.finish_reason = Some(FinishReason::Length);
        }
        self.say_from(said);
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
        let (held, reasoning) =
            self.thoughts.take().map_or_else(Default::default, Thoughts::finish);
        self.answer.feed(&held);
        let answer = std::mem::replace(&mut self.answer, StopSequenceBuffer::new(&[], None));
        let text = answer.finish();
        if self.question.streams {
            self.reply.say(&text[said..]);
        }
        let prompt_tokens = self.question.prompt.len();
        self.reply.settle(Ok(Generation {
            text,
            reasoning,
            finish_reason: self.finish_reason.unwrap_or(FinishReason::Stop),
            prompt_tokens,
            completion_tokens: self.tokens.len() - prompt_tokens,
            fed: self.fed,
            looked_up: self.looked_up,
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

/// Tokens at a prompt's end that may hold marks of thinking.
const MARKED: usize = 16;

fn tail(model: &Model, prompt: &[Token], marks: Marks) -> String {
    let tokens = &prompt[prompt.len().saturating_sub(MARKED)..];
    let bytes: Vec<u8> =
        tokens.iter().flat_map(|token| written(model, *token, Some(marks))).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The bytes of a token, and of a mark that is no text its name.
fn written(model: &Model, token: Token, marks: Option<Marks>) -> Vec<u8> {
    let piece = model.piece(token);
    if !piece.is_empty() {
        return piece;
    }
    let name = model.token_text(token);
    if marks.is_some_and(|marks| marks.has(&name)) {
        name.into_bytes()
    } else {
        piece
    }
}
