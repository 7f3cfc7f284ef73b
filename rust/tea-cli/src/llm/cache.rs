//! Which tokens each sequence of a context has computed, and room for further ones.

use std::collections::HashSet;

use crate::llama::{Context, Token};

/// Tokens that another answer is about to compute and that are worth waiting for.
const WORTH_WAITING: usize = 16;

/// One sequence of the context.
#[derive(Debug, Default)]
struct Slot {
    tokens: Vec<Token>,
    cells: Vec<u64>,    // where they lie; slots can share a beginning
    prompt: Vec<Token>, // of the answer that uses it
    length: usize,      // how many tokens that may come to; 0: none does, and the tokens are kept
    used: u64,          // at which turn of the cache
}

/// The sequences of a context, by their number.
pub struct Cache {
    /// The context.
    pub context: Context,
    n_ctx: usize,
    slots: Vec<Slot>,
    turn: u64,
    cell: u64,
}

impl Cache {
    /// A cache of `sequences` on a context of `n_ctx` tokens.
    #[must_use]
    pub fn new(context: Context, n_ctx: u32, sequences: u32) -> Cache {
        let slots = (0..sequences).map(|_| Slot::default()).collect();
        Cache { context, n_ctx: n_ctx as usize, slots, turn: 0, cell: 0 }
    }

    /// A sequence for an answer to `prompt` that comes to `length` tokens with it.
    ///
    /// It has what any other has of the prompt's beginning, but for the last token, which is always
    /// computed: sampling needs its result. None: the answers that are being computed leave no room,
    /// or one of them is about to compute much of what this one can share.
    pub fn take(&mut self, prompt: &[Token], length: usize) -> Option<usize> {
        let beginning = &prompt[..prompt.len().saturating_sub(1)];
        let computed = |slot: &Slot| shared(&slot.tokens, beginning);
        let mut numbered = self.slots.iter().enumerate();
        let (mut donor, mut kept, mut used) = (0, 0, 0);
        for (number, slot) in numbered.by_ref() {
            let common = computed(slot);
            if (common, slot.used) > (kept, used) {
                (donor, kept, used) = (number, common, slot.used);
            }
        }
        let about_to =
            |slot: &Slot| slot.length > 0 && shared(&slot.prompt, beginning) > kept + WORTH_WAITING;
        if self.slots.iter().any(about_to) {
            return None;
        }
        if self.needed(&self.slots[donor].cells[..kept]) + length - kept > self.n_ctx {
            return None;
        }
        let number = self.target(donor, kept)?;
        if number == donor {
            self.cut(number, kept);
        } else {
            self.cut(number, 0);
            if kept > 0 {
                self.context.copy(donor, number, kept);
                self.slots[number].tokens = self.slots[donor].tokens[..kept].to_vec();
                self.slots[number].cells = self.slots[donor].cells[..kept].to_vec();
            }
        }
        self.turn += 1;
        let slot = &mut self.slots[number];
        (slot.length, slot.used, slot.prompt) = (length, self.turn, prompt.to_vec());
        self.make_room();
        Some(number)
    }

    /// Up to `count` sequences that no answer uses, emptied.
    pub fn spare(&mut self, count: usize) -> Vec<usize> {
        let is_idle = |number: &usize| self.slots[*number].length == 0;
        let mut spare: Vec<usize> = (0..self.slots.len()).filter(is_idle).collect();
        spare.sort_by_key(|number| self.age(*number));
        spare.truncate(count);
        spare.iter().for_each(|number| self.cut(*number, 0));
        spare
    }

    /// Have `target`, which is empty, begin with all that `source` has, until it is cut.
    pub fn share(&mut self, source: usize, target: usize) {
        let length = self.length(source);
        self.context.copy(source, target, length);
    }

    /// How many tokens a sequence has.
    #[must_use]
    pub fn length(&self, number: usize) -> usize {
        self.slots[number].tokens.len()
    }

    /// Note that the context has `tokens` at the end of a sequence now.
    pub fn computed(&mut self, number: usize, tokens: &[Token]) {
        let slot = &mut self.slots[number];
        slot.tokens.extend_from_slice(tokens);
        for _ in tokens {
            slot.cells.push(self.cell);
            self.cell += 1;
        }
    }

    /// Keep the first `length` tokens of a sequence, or none where that cannot be done.
    pub fn cut(&mut self, number: usize, length: usize) {
        let length = if self.context.cut(number, length) {
            length
        } else {
            self.context.cut(number, 0);
            0
        };
        self.slots[number].tokens.truncate(length);
        self.slots[number].cells.truncate(length);
    }

    /// Keep what a sequence has until its room is needed.
    pub fn release(&mut self, number: usize) {
        self.slots[number].length = 0;
        self.slots[number].prompt.clear();
    }

    /// The sequence to go on in: the donor itself where little else is lost by that.
    fn target(&self, donor: usize, kept: usize) -> Option<usize> {
        let is_idle = |number: usize| self.slots[number].length == 0;
        if is_idle(donor) && 2 * kept >= self.slots[donor].tokens.len() {
            return Some(donor);
        }
        let idle = (0..self.slots.len()).filter(|number| *number != donor && is_idle(*number));
        idle.min_by_key(|number| self.age(*number)).or(is_idle(donor).then_some(donor))
    }

    /// In which order sequences are used again: empty ones first, then the oldest.
    fn age(&self, number: usize) -> (bool, u64) {
        let slot = &self.slots[number];
        (!slot.tokens.is_empty(), slot.used)
    }

    /// Forget what is kept, the oldest first, as far as the answers need its room.
    fn make_room(&mut self) {
        loop {
            let is_kept = |slot: &&Slot| slot.length == 0 && !slot.tokens.is_empty();
            let kept: Vec<&Slot> = self.slots.iter().filter(is_kept).collect();
            let cells: Vec<u64> = kept.iter().flat_map(|slot| &slot.cells).copied().collect();
            if kept.is_empty() || self.needed(&cells) <= self.n_ctx {
                return;
            }
            let kept = (0..self.slots.len()).filter(|number| is_kept(&&self.slots[*number]));
            let Some(oldest) = kept.min_by_key(|number| self.slots[*number].used) else { return };
            self.cut(oldest, 0);
        }
    }

    /// The room that all answers may come to take, and `cells` beside them.
    fn needed(&self, cells: &[u64]) -> usize {
        let answers = self.slots.iter().filter(|slot| slot.length > 0);
        let mut held: HashSet<u64> = cells.iter().copied().collect();
        let mut left = 0;
        for slot in answers {
            held.extend(&slot.cells);
            left += slot.length.saturating_sub(slot.tokens.len());
        }
        held.len() + left
    }
}

/// How many tokens two lists have in common at their beginning.
fn shared(one: &[Token], other: &[Token]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
