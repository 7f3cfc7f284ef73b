//! Continuations that are looked up instead of computed one by one: an answer that copies or edits
//! goes on as its prompt, or its own beginning, did after the same tokens.
//!
//! One batch verifies them, and only tokens that would have been chosen anyway stay. A batch of
//! several tokens takes longer than one of one, so looking up ends when it has cost more than it
//! gained. Both programs look up by the same rules: batches of another size round otherwise.

use std::collections::HashMap;

use crate::llama::Token;

/// How many tokens in a row have to be the same; the first is looked for first.
const LENGTHS: [usize; 2] = [3, 2];
/// How many are proposed at first, and at most: twice as many after each success.
const FEWEST: usize = 2;
const MOST: usize = 8;
/// What a batch of so many tokens costs, in steps of one: measured on two threads with models of
/// 135 million and a billion parameters. Between these it grows evenly.
const COSTS: [(usize, f64); 6] = [(1, 1.0), (2, 1.7), (3, 2.0), (4, 2.2), (5, 2.5), (9, 3.6)];
/// Steps that may be lost until nothing is proposed any more.
const PATIENCE: f64 = 3.0;

/// Where each run of tokens was last, and how well looking up goes.
#[derive(Debug)]
pub struct PromptLookup {
    ends: [HashMap<Vec<Token>, usize>; 2], // by length: the place after the run
    seen: usize,
    count: usize,
    gain: f64, // steps saved so far
}

impl Default for PromptLookup {
    fn default() -> PromptLookup {
        PromptLookup { ends: [HashMap::new(), HashMap::new()], seen: 0, count: FEWEST, gain: 0.0 }
    }
}

impl PromptLookup {
    /// Whether it is worth going on.
    #[must_use]
    pub fn pays(&self) -> bool {
        self.gain > -PATIENCE
    }

    /// What may follow `tokens`, which begin with all that this was asked with before: at most
    /// `room` tokens, and often none.
    pub fn propose(&mut self, tokens: &[Token], room: usize) -> Vec<Token> {
        // Runs that end before the last token: the last ones themselves would find themselves.
        for end in self.seen.max(1)..tokens.len() {
            for (ends, length) in self.ends.iter_mut().zip(LENGTHS) {
                if let Some(start) = end.checked_sub(length) {
                    ends.insert(tokens[start..end].to_vec(), end);
                }
            }
        }
        self.seen = tokens.len();
        let found = self.ends.iter().zip(LENGTHS).find_map(|(ends, length)| {
            ends.get(&tokens[tokens.len().checked_sub(length)?..]).copied()
        });
        let Some(start) = found else { return Vec::new() };
        tokens[start..tokens.len().min(start + self.count.min(room))].to_vec()
    }

    /// Note that of `proposed` tokens the model has chosen the first `accepted` itself.
    pub fn judge(&mut self, proposed: usize, accepted: usize) {
        self.gain += accepted as f64 + 1.0 - cost(proposed + 1);
        self.count = if accepted == proposed { MOST.min(2 * self.count) } else { FEWEST };
    }
}

fn cost(tokens: usize) -> f64 {
    let above = COSTS.iter().position(|(size, _)| *size >= tokens).unwrap_or(COSTS.len() - 1);
    let (size, cost) = COSTS[above];
    if size <= tokens || above == 0 {
        return cost;
    }
    let (below, least) = COSTS[above - 1];
    least + (tokens - below) as f64 / (size - below) as f64 * (cost - least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_same_tokens_last_is_proposed() {
        let mut lookup = PromptLookup::default();
        let mut tokens: Vec<Token> = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2];
        assert_eq!(lookup.propose(&tokens, 9), [3, 4]);
        lookup.judge(2, 2);
        tokens.extend([3, 4, 5]);
        assert_eq!(lookup.propose(&tokens, 9), [6, 7, 8, 9]);
        lookup.judge(4, 0);
        tokens.extend([0, 4, 5]);
        assert_eq!(lookup.propose(&tokens, 9), [0, 4]);
        tokens.extend([77, 78]);
        assert!(lookup.propose(&tokens, 9).is_empty());
    }

    #[test]
    fn what_never_comes_true_is_not_proposed_for_long() {
        let mut lookup = PromptLookup::default();
        let mut tokens: Vec<Token> = Vec::new();
        let mut proposed = 0;
        for number in 0..60 {
            tokens.extend([1, 2, 100 + number]);
            if lookup.pays() {
                let found = lookup.propose(&[&tokens[..], &[1, 2]].concat(), 9).len();
                proposed += found;
                lookup.judge(found, 0);
            }
        }
        assert!((4..12).contains(&proposed), "{proposed}");
    }
}
