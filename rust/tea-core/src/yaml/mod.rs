//! YAML text into values that know their place in the file.

pub mod compose;
pub mod document;
pub(crate) mod scalar;
pub(crate) mod source;
