//! The workflow engine of `tea`: loads, checks and runs workflow files.
//!
//! It touches no file, clock or network by itself; a host gives it actions, models and a way to
//! wait. It builds for WebAssembly.

pub mod actions;
mod compose;
pub mod condition;
pub mod document;
pub mod errors;
pub mod events;
pub mod json;
mod keys;
mod kinds;
pub mod limits;
pub mod llm;
pub mod nearest;
mod nodes;
mod numbers;
mod reading;
mod retry;
mod route;
mod rules;
pub mod run;
mod scalar;
pub mod secrets;
mod settings;
mod source;
pub mod spec;
mod steps;
pub mod template;
mod text;
mod validate;
pub mod value;
pub mod workflow;
