//! Random numbers of the system.

use rustix::rand::{getrandom, GetRandomFlags};
use tea_core::errors::{Error, Kind};

use crate::text::reason;

/// Random bytes.
///
/// # Errors
/// `ActionError`: the system has none.
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut data = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += getrandom(&mut data[filled..], GetRandomFlags::empty()).map_err(|error| {
            Error::new(Kind::Action, format!("no random numbers: {}", reason(&error.into())))
        })?;
    }
    Ok(data)
}

/// A number from 0 up to, but not, 1; 0 where the system has none.
#[must_use]
pub fn fraction() -> f64 {
    let number = bytes().map(u64::from_le_bytes).unwrap_or(0) >> 11;
    number as f64 / (1u64 << 53) as f64
}
