//! The workflow engine for WebAssembly. Values cross the border as JSON text.

pub mod chat;
pub mod check;
pub mod host;
mod http;
mod model;
pub mod registry;
pub mod run;

/// The name of this engine in messages.
pub const ENGINE: &str = "browser";
