//! The filters and tests of templates.

pub mod function;
pub mod table;

mod lists;
mod numbers;
mod texts;
