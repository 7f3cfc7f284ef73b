//! The workflow engine of `tea`: loads, checks and runs workflow files.
//!
//! It touches no file, clock or network by itself; a host gives it actions, models and a way to
//! wait. It builds for WebAssembly.

pub mod actions;
pub mod errors;
pub mod limits;
pub mod llm;
pub mod redact;
pub mod run;
pub mod schema;
pub mod spec;
pub mod suggest;
pub mod template;
pub mod value;
pub mod workflow;
pub mod yaml;
