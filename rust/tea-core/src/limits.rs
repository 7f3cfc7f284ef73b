//! What one rendering of a template may cost, so that a runaway ends with an error.

use std::cell::Cell;

use crate::errors::Error;

/// Loop passes and list elements looked at, in one rendering.
pub const MAX_STEPS: usize = 2_000_000;
/// Characters of one text.
pub const MAX_TEXT: usize = 10_000_000;
/// Characters of all texts that one rendering makes, looks at or hashes.
pub const MAX_CHARACTERS: usize = 64_000_000;
/// Bytes of one condition.
pub const MAX_CONDITION: usize = 64_000;
/// Numbers of one `range()`.
pub const MAX_RANGE: usize = 100_000;
/// Parts of one value.
pub const MAX_VALUES: usize = 2_000_000;
/// Levels of one value, of a file, and of JSON.
pub const MAX_DEPTH: usize = 100;

/// The steps and the characters that a rendering has left.
pub struct Budget(Option<(Cell<usize>, Cell<usize>)>);

impl Budget {
    /// What one rendering may take.
    #[must_use]
    pub fn rendering() -> Budget {
        Budget(Some((Cell::new(MAX_STEPS), Cell::new(MAX_CHARACTERS))))
    }

    /// Outside a rendering nothing is counted.
    #[must_use]
    pub fn unlimited() -> Budget {
        Budget(None)
    }

    /// Count `steps`.
    ///
    /// # Errors
    /// `LimitError` when the budget is spent.
    pub fn charge(&self, steps: usize) -> Result<(), Error> {
        let Some((left, _)) = &self.0 else { return Ok(()) };
        let Some(rest) = left.get().checked_sub(steps) else {
            return Err(Error::limit(format!("the template takes more than {MAX_STEPS} steps"))
                .hint("loop over fewer elements"));
        };
        left.set(rest);
        Ok(())
    }

    /// Count the characters of a text that is made, looked at or hashed.
    ///
    /// # Errors
    /// `LimitError` when the budget is spent.
    pub fn charge_text(&self, length: usize) -> Result<(), Error> {
        let Some((_, left)) = &self.0 else { return Ok(()) };
        let Some(rest) = left.get().checked_sub(length) else {
            let message = format!("the template works on more than {MAX_CHARACTERS} characters");
            return Err(Error::limit(message).hint("work on shorter texts, or on fewer of them"));
        };
        left.set(rest);
        Ok(())
    }

    /// Refuse a text of `length` characters before it is made.
    ///
    /// # Errors
    /// `LimitError` when it is too long, or the budget is spent.
    pub fn check_text(&self, length: usize) -> Result<(), Error> {
        if length > MAX_TEXT {
            return Err(Error::limit(format!("the text is longer than {MAX_TEXT} characters")));
        }
        self.charge_text(length)
    }
}

/// Return `number`, which must fit into 64 bits.
///
/// # Errors
/// `LimitError` where it does not.
pub fn check_integer(number: i128) -> Result<i128, Error> {
    if i64::try_from(number).is_ok() {
        return Ok(number);
    }
    Err(Error::limit("the whole number does not fit into 64 bits"))
}
