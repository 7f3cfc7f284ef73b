//! What one rendering of a template may cost, so that a runaway ends with an error.

use std::cell::Cell;

use crate::errors::Error;

/// Loop passes and list elements looked at, in one rendering.
pub const MAX_STEPS: usize = 2_000_000;
/// Characters of one text.
pub const MAX_TEXT: usize = 10_000_000;
/// Numbers of one `range()`.
pub const MAX_RANGE: usize = 100_000;
/// Parts of one value.
pub const MAX_VALUES: usize = 2_000_000;
/// Levels of one value, and of a file.
pub const MAX_DEPTH: usize = 100;

/// The steps that a rendering has left.
pub struct Budget(Cell<Option<usize>>);

impl Budget {
    /// The steps of one rendering.
    #[must_use]
    pub fn rendering() -> Budget {
        Budget(Cell::new(Some(MAX_STEPS)))
    }

    /// Outside a rendering nothing is counted.
    #[must_use]
    pub fn unlimited() -> Budget {
        Budget(Cell::new(None))
    }

    /// Count `steps`.
    ///
    /// # Errors
    /// `LimitError` when the budget is spent.
    pub fn charge(&self, steps: usize) -> Result<(), Error> {
        let Some(left) = self.0.get() else { return Ok(()) };
        let Some(rest) = left.checked_sub(steps) else {
            return Err(Error::limit(format!("the template takes more than {MAX_STEPS} steps"))
                .hint("loop over fewer elements"));
        };
        self.0.set(Some(rest));
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
        self.charge(length / 1000)
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
