//! How likely a model goes on with each of several texts: no text is sampled.

use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{DecideReply, DecideRequest, Normalize};

use super::cache::Cache;
use super::memory::BATCH;
use crate::llama::{Batch, Model, Special, Token};
use crate::stop;

/// Tokens of choices that are computed together: each gives numbers for the whole vocabulary.
const TOGETHER: usize = 64;

/// A prompt, and the texts that it may go on with.
#[derive(Debug)]
pub struct Decision {
    /// The prompt's tokens.
    pub prompt: Vec<Token>,
    /// The tokens of each text.
    pub choices: Vec<Vec<Token>>,
}

impl Decision {
    /// The decision that `request` asks for with `prompt`.
    ///
    /// # Errors
    /// `LimitError`: it does not fit into `n_ctx` tokens.
    pub fn new(
        model: &Model,
        prompt: Vec<Token>,
        request: &DecideRequest,
        n_ctx: u32,
    ) -> Result<Decision, Error> {
        let choices = request.choices.iter().map(|text| model.tokenize(text, Special::None));
        let decision = Decision { prompt, choices: choices.collect::<Result<_, _>>()? };
        let longest = decision.choices.iter().map(Vec::len).max().unwrap_or(0);
        let (prompt, needed) = (decision.prompt.len(), decision.longest());
        if longest > BATCH as usize || needed > n_ctx as usize {
            let message = format!(
                "the prompt has {prompt} tokens and the longest choice {longest}: they do not fit \
                 into the context of {n_ctx}, or the choice not into {BATCH}"
            );
            return Err(
                Error::new(Kind::Limit, message).hint("shorten them, or raise settings.llm.n_ctx")
            );
        }
        Ok(decision)
    }

    /// How many tokens of the context it takes.
    #[must_use]
    pub fn longest(&self) -> usize {
        let longest = self.choices.iter().map(Vec::len).max().unwrap_or(0);
        let all: usize = self.choices.iter().map(Vec::len).sum();
        self.prompt.len() + all.min(TOGETHER.max(longest))
    }

    /// The logarithm of each choice's likelihood, with the end of the turn after it. The sequence
    /// `slot` of the cache has the prompt's beginning, and has all of it afterwards.
    ///
    /// # Errors
    /// `ModelError`: a computation failed. `Interrupted`: a stop was asked for.
    pub fn score(&self, model: &Model, cache: &mut Cache, slot: usize) -> Result<Vec<f64>, Error> {
        let ends = model.ends_of_answers();
        let mut scores = vec![0.0; self.choices.len()];
        let row = self.compute_prompt(cache, slot)?;
        for (score, choice) in scores.iter_mut().zip(&self.choices) {
            *score = likelihood(cache, row, choice.get(..1).unwrap_or_default())?;
        }
        let mut next = 0;
        while next < self.choices.len() {
            let spare = cache.spare(self.choices.len() - next);
            let mut batch = Batch::default();
            let mut parts = Vec::new(); // number of the choice, and the row of its first token
            for target in spare.iter().copied().chain(spare.is_empty().then_some(slot)) {
                let Some(choice) = self.choices.get(next) else { break };
                if batch.len() > 0 && batch.len() + choice.len() > TOGETHER {
                    break;
                }
                if target != slot {
                    cache.share(slot, target);
                }
                let row = batch.add(target, self.prompt.len(), choice, choice.len());
                parts.push((next, row));
                next += 1;
            }
            compute(cache, &mut batch)?;
            for (number, row) in parts {
                let choice = &self.choices[number];
                for (place, token) in choice.iter().enumerate().skip(1) {
                    scores[number] += likelihood(cache, row + place - 1, &[*token])?;
                }
                scores[number] += likelihood(cache, row + choice.len() - 1, &ends)?;
            }
            for target in &spare {
                cache.cut(*target, 0);
            }
            if spare.is_empty() {
                cache.cut(slot, self.prompt.len());
                if next < self.choices.len() {
                    self.compute_prompt(cache, slot)?; // where the cache cannot go back
                }
            }
        }
        Ok(scores)
    }

    /// Compute what `slot` has not of the prompt; returns the row of its last token.
    fn compute_prompt(&self, cache: &mut Cache, slot: usize) -> Result<usize, Error> {
        let mut row = 0;
        while cache.length(slot) < self.prompt.len() {
            let done = cache.length(slot);
            let end = self.prompt.len().min(done + BATCH as usize);
            let tokens = &self.prompt[done..end];
            let mut batch = Batch::default();
            row = batch.add(slot, done, tokens, 1);
            compute(cache, &mut batch)?;
            cache.computed(slot, tokens);
        }
        Ok(row)
    }
}

fn compute(cache: &mut Cache, batch: &mut Batch) -> Result<(), Error> {
    stop::check()?;
    let code = cache.context.decode(batch);
    stop::check()?;
    if code != 0 {
        return Err(Error::new(Kind::Model, format!("llama.cpp failed to compute (code {code})")));
    }
    Ok(())
}

/// The logarithm of how likely one of `tokens` follows `row`.
fn likelihood(cache: &mut Cache, row: usize, tokens: &[Token]) -> Result<f64, Error> {
    let logits = cache
        .context
        .logits(row)
        .ok_or_else(|| Error::new(Kind::Model, "the model computes no numbers: it is damaged"))?;
    let these = tokens.iter().filter_map(|token| logits.get(usize::try_from(*token).ok()?));
    let wanted: Vec<f32> = these.copied().collect();
    Ok(sum(&wanted) - sum(logits))
}

/// The logarithm of a sum of numbers that are given by their logarithms.
fn sum(logarithms: &[f32]) -> f64 {
    let largest = logarithms.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let terms = logarithms.iter().map(|each| f64::from((each - largest).exp()));
    f64::from(largest) + terms.sum::<f64>().ln()
}

/// What becomes of the scores of the choices of `request`.
#[must_use]
pub fn reply(request: &DecideRequest, scores: &[f64]) -> DecideReply {
    let scores: Vec<f64> = match request.normalize {
        Normalize::None => scores.to_vec(),
        Normalize::PerByte => {
            let bytes = request.choices.iter().map(|text| text.len().max(1) as f64);
            scores.iter().zip(bytes).map(|(score, bytes)| score / bytes).collect()
        }
    };
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
    let all: f64 = parts.iter().sum();
    DecideReply { probabilities: parts.iter().map(|part| part / all).collect() }
}
