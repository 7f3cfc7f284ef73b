//! How the next token of an answer is chosen.
//!
//! At temperature 0 it is the likeliest. Else llama.cpp's samplers choose, and where only the
//! likeliest few count for them, they get these alone: a list of the whole vocabulary, made and
//! sorted for each token, would take longer than to look at its logits once.

use std::collections::VecDeque;

use tea_core::errors::Error;
use tea_core::llm::parameters::MAX_SEED;
use tea_core::spec::Sampling;

use crate::llama::{Candidate, Model, SamplerChain, Token};

/// Tokens that repetition is measured in, those of the prompt included.
const PENALTY_WINDOW: usize = 64;

/// The sampler of one answer.
pub struct Sampler {
    penalties: Option<Penalties>,
    count: usize, // of the likeliest that are looked at; 0: all
    draw: Option<SamplerChain>,
    candidates: Vec<Candidate>,
}

/// What tokens that came lately are held back by.
struct Penalties {
    chain: SamplerChain,
    recent: VecDeque<Token>,
}

impl Sampler {
    /// The sampler of the answer to `prompt`, which draws with `seed`; None: with a new one.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory.
    pub fn new(
        model: &Model,
        prompt: &[Token],
        sampling: &Sampling,
        seed: Option<u32>,
    ) -> Result<Sampler, Error> {
        let (count, draw) = if sampling.temperature == 0.0 {
            (1, None)
        } else {
            let seed = seed.map_or_else(new_seed, Ok)?;
            let count = usize::try_from(sampling.top_k).unwrap_or(usize::MAX);
            (count, Some(SamplerChain::draw(model, sampling, seed)?))
        };
        let penalties = Penalties::new(model, sampling)?;
        let mut sampler = Sampler { penalties, count, draw, candidates: Vec::new() };
        for token in &prompt[prompt.len().saturating_sub(PENALTY_WINDOW)..] {
            sampler.accept(*token);
        }
        Ok(sampler)
    }

    /// Note that `token` came.
    pub fn accept(&mut self, token: Token) {
        if let Some(penalties) = &mut self.penalties {
            penalties.accept(token);
        }
    }

    /// Hold back in `logits` what came lately; once for each list of logits.
    pub fn penalize(&mut self, logits: &mut [f32]) {
        if let Some(penalties) = &mut self.penalties {
            penalties.apply(logits, &mut self.candidates);
        }
    }

    /// Choose by the logits of the vocabulary's tokens, among those that are `allowed`. None: there
    /// is none.
    pub fn sample(&mut self, logits: &[f32], allowed: impl Fn(usize) -> bool) -> Option<Token> {
        gather(logits, allowed, self.count, &mut self.candidates);
        if self.candidates.is_empty() {
            return None;
        }
        let chosen = match &mut self.draw {
            Some(draw) => draw.apply(&mut self.candidates, self.count > 0)?,
            None => 0,
        };
        self.candidates.get(chosen).map(|candidate| candidate.id)
    }
}

impl Penalties {
    /// None: there are none.
    fn new(model: &Model, sampling: &Sampling) -> Result<Option<Penalties>, Error> {
        let given = [sampling.frequency_penalty, sampling.presence_penalty];
        if given == [0.0; 2] && sampling.repeat_penalty == 1.0 {
            return Ok(None);
        }
        let chain = SamplerChain::penalties(model, sampling, PENALTY_WINDOW)?;
        Ok(Some(Penalties { chain, recent: VecDeque::new() }))
    }

    fn accept(&mut self, token: Token) {
        self.chain.accept(token);
        self.recent.push_back(token);
        if self.recent.len() > PENALTY_WINDOW {
            self.recent.pop_front();
        }
    }

    /// Only what came is changed, so llama.cpp gets that alone.
    fn apply(&mut self, logits: &mut [f32], candidates: &mut Vec<Candidate>) {
        candidates.clear();
        for id in &self.recent {
            let place = usize::try_from(*id).ok().and_then(|place| logits.get(place));
            if let Some(logit) = place.filter(|_| candidates.iter().all(|each| each.id != *id)) {
                candidates.push(Candidate { id: *id, logit: *logit, p: 0.0 });
            }
        }
        self.chain.apply(candidates, false);
        for candidate in &*candidates {
            let place = usize::try_from(candidate.id).ok().and_then(|place| logits.get_mut(place));
            if let Some(logit) = place {
                *logit = candidate.logit;
            }
        }
    }
}

/// Put the `count` likeliest tokens into `candidates`, the likeliest first, or all unsorted.
fn gather(
    logits: &[f32],
    allowed: impl Fn(usize) -> bool,
    count: usize,
    candidates: &mut Vec<Candidate>,
) {
    candidates.clear();
    let limit = count.saturating_mul(4);
    let mut least = f32::NEG_INFINITY;
    for (number, logit) in logits.iter().enumerate() {
        // Not-a-number is above nothing.
        if *logit > least && allowed(number) {
            let id = Token::try_from(number).unwrap_or(Token::MAX);
            candidates.push(Candidate { id, logit: *logit, p: 0.0 });
            if candidates.len() == limit {
                candidates.select_nth_unstable_by(count - 1, likelier);
                candidates.truncate(count);
                least = candidates[count - 1].logit;
            }
        }
    }
    if count > 0 {
        candidates.sort_unstable_by(likelier);
        candidates.truncate(count);
    }
}

fn likelier(one: &Candidate, other: &Candidate) -> std::cmp::Ordering {
    other.logit.total_cmp(&one.logit).then(one.id.cmp(&other.id))
}

fn new_seed() -> Result<u32, Error> {
    loop {
        let seed = u32::from_le_bytes(crate::random::bytes()?);
        if seed <= MAX_SEED {
            return Ok(seed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::{Batch, Context, ContextOptions, Special};
    use crate::llm::memory::CacheType;
    use crate::testing::model;

    /// llama.cpp's samplers in one chain, which gets the whole vocabulary.
    fn whole(model: &Model, tokens: &[Token], sampling: &Sampling, seed: u32) -> Sampler {
        let mut chain = SamplerChain::penalties(model, sampling, PENALTY_WINDOW).unwrap();
        tokens.iter().for_each(|token| chain.accept(*token));
        chain.append(SamplerChain::draw(model, sampling, seed).unwrap());
        Sampler { penalties: None, count: 0, draw: Some(chain), candidates: Vec::new() }
    }

    fn likeliest(logits: &[f32], count: usize) -> Vec<Token> {
        let mut candidates = Vec::new();
        gather(logits, |number| number != 3, count, &mut candidates);
        candidates.iter().map(|each| each.id).collect()
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn the_likeliest_alone_give_what_the_whole_vocabulary_gives() {
        let model = model();
        let options = ContextOptions {
            n_ctx: 512,
            sequences: 1,
            n_batch: 512,
            n_threads: 2,
            cache_type: CacheType::F16,
            embeddings: None,
        };
        let mut context = Context::new(model.clone(), options).unwrap();
        let text = "The Edge Agent runs workflows. Tea is made of leaves, and 7 times 8 is ";
        let tokens = model.tokenize(text, Special::Parsed).unwrap();
        let mut batch = Batch::default();
        batch.add(0, 0, &tokens, tokens.len());
        assert_eq!(context.decode(&mut batch), 0);
        for (temperature, top_k, top_p, min_p, repeat_penalty) in [
            (0.8, 40, 0.95, 0.05, 1.0),
            (1.5, 200, 1.0, 0.0, 1.3),
            (0.3, 1, 0.5, 0.0, 1.0),
            (3.0, 7, 0.9, 0.1, 1.0),
        ] {
            let sampling = Sampling {
                temperature,
                top_k,
                top_p,
                min_p,
                repeat_penalty,
                ..Sampling::default()
            };
            let made = || Sampler::new(&model, &tokens, &sampling, Some(7)).unwrap();
            let (mut few, mut all) = (made(), whole(&model, &tokens, &sampling, 7));
            for row in (0..tokens.len()).cycle().take(200) {
                let mut logits = context.logits(row).unwrap().to_vec();
                let whole = all.sample(&logits, |_| true);
                few.penalize(&mut logits);
                assert_eq!(few.sample(&logits, |_| true), whole);
            }
        }
    }

    #[test]
    fn the_likeliest_come_in_order_and_equals_as_they_stand() {
        let logits = [1.0, f32::NAN, 3.0, 9.0, 2.0, 3.0, f32::NEG_INFINITY, 0.0];
        assert_eq!(likeliest(&logits, 1), [2]);
        assert_eq!(likeliest(&logits, 3), [2, 5, 4]);
        assert_eq!(likeliest(&logits, 50), [2, 5, 4, 0, 7]);
        assert_eq!(likeliest(&logits, 0), [0, 2, 4, 5, 7]);
        assert!(likeliest(&[f32::NAN], 1).is_empty());
        let rising: Vec<f32> = (0_u16..999).map(f32::from).collect();
        assert_eq!(likeliest(&rising, 3), [998, 997, 996]);
    }
}
