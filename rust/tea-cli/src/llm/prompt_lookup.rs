//! Continuations that are looked up instead of computed one by one: an answer that copies or edits
//! goes on as its prompt, or its own beginning, did after the same tokens.
//!
//! One batch verifies them, and only tokens that would have been chosen anyway stay. A batch of
//! several tokens takes longer than one of one, so looking up stops for a while when it has cost
//! more than it gained.

use std::collections::HashMap;

use crate::llama::Token;

/// How many tokens in a row have to be the same.
const LENGTHS: [usize; 2] = [3, 2];
/// How many are proposed at first, and at most.
const FEWEST: usize = 2;
const MOST: usize = 8;
/// What may be lost, in the time of a token, until looking up pauses; and for how many tokens.
const LOSS: f64 = 2.0;
const PAUSE: usize = 64;
/// What may be saved up.
const CREDIT: f64 = 4.0;

/// Where each run of tokens was last, and how well looking up goes.
#[derive(Debug)]
pub struct PromptLookup {
    ends: [HashMap<Vec<Token>, usize>; 2], // by length: the place after the run
    seen: usize,
    count: usize,
    balance: f64,
    resumes: usize, // at how many tokens
}

impl Default for PromptLookup {
    fn default() -> PromptLookup {
        let ends = [HashMap::new(), HashMap::new()];
        PromptLookup { ends, seen: 0, count: FEWEST, balance: 0.0, resumes: 0 }
    }
}

impl PromptLookup {
    /// What may follow `tokens`, which begin with all that this was asked with before.
    pub fn propose(&mut self, tokens: &[Token]) -> Vec<Token> {
        // Runs that end before the last token: the last ones themselves would find themselves.
        for end in self.seen.max(1)..tokens.len() {
            for (ends, length) in self.ends.iter_mut().zip(LENGTHS) {
                if let Some(start) = end.checked_sub(length) {
                    ends.insert(tokens[start..end].to_vec(), end);
                }
            }
        }
        self.seen = tokens.len();
        if tokens.len() < self.resumes {
            return Vec::new();
        }
        let found = self.ends.iter().zip(LENGTHS).find_map(|(ends, length)| {
            ends.get(&tokens[tokens.len().checked_sub(length)?..]).copied()
        });
        let Some(start) = found else { return Vec::new() };
        tokens[start..tokens.len().min(start + self.count)].to_vec()
    }

    /// Note that of `proposed` tokens the first `accepted` were right, now that there are `length`.
    pub fn note(&mut self, proposed: usize, accepted: usize, length: usize) {
        self.count = if accepted == proposed { MOST.min(2 * self.count) } else { FEWEST };
        self.balance = CREDIT.min(self.balance + accepted as f64 - cost(proposed));
        if self.balance < -LOSS {
            self.resumes = length + PAUSE;
            self.balance = 0.0;
        }
    }
}

/// How much longer a batch of one more than `proposed` tokens takes, in the time of one token:
/// between what was measured for models of 135 million and a billion weights.
fn cost(proposed: usize) -> f64 {
    0.5 + 0.2 * proposed as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_same_tokens_last_is_proposed() {
        let mut lookup = PromptLookup::default();
        let mut tokens: Vec<Token> = vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2];
        assert_eq!(lookup.propose(&tokens), [3, 4]);
        lookup.note(2, 2, 16);
        tokens.extend([3, 4, 5]);
        assert_eq!(lookup.propose(&tokens), [6, 7, 8, 9]);
        lookup.note(4, 0, 18);
        tokens.extend([0, 4, 5]);
        assert_eq!(lookup.propose(&tokens), [0, 4]);
        tokens.extend([77, 78]);
        assert!(lookup.propose(&tokens).is_empty());
    }

    #[test]
    fn what_never_comes_true_is_not_proposed_for_long() {
        let mut lookup = PromptLookup::default();
        let mut tokens: Vec<Token> = Vec::new();
        let mut proposed = 0;
        for number in 0..60 {
            tokens.extend([1, 2, 100 + number]);
            let found = lookup.propose(&[&tokens[..], &[1, 2]].concat()).len();
            proposed += found;
            if found > 0 {
                lookup.note(found, 0, tokens.len());
            }
        }
        assert!((4..30).contains(&proposed), "{proposed}");
    }
}
