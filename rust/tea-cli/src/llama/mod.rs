//! llama.cpp, made safe: the only module that calls C.
//!
//! The libraries are opened when a model is wanted, from the folder that `TEA_LIBRARY_PATH` names
//! (a bundle's start script sets it). llama.cpp is built with one loadable module for each
//! generation of CPUs, so the fitting one is loaded before the first model.
//!
//! `bindings.rs` is generated; `headers.sha256` has the digests of the headers that it was
//! generated from, which the build of a bundle compares with those of its llama.cpp.

// Every block says why it holds. What C needs for longer than one call is owned by the value that
// C's own object belongs to: a context keeps its model, a model the library, which is never closed.
#![allow(unsafe_code)]

#[allow(
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unused_qualifications,
    clippy::all,
    clippy::too_many_lines
)]
mod bindings;
mod context;
mod library;
mod log;
mod mapping;
mod model;
pub mod model_file;
mod repack;
mod sampler_chain;

pub use context::{Batch, Context, ContextOptions, ABORTED};
pub use library::{library_directory, load, Library};
pub use log::show as show_log;
pub use model::{Loading, Model, Special, Token};
pub use repack::repacked;
pub use sampler_chain::{Candidate, SamplerChain};
