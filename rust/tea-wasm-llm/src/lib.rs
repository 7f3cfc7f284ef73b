//! The workflow engine for WebAssembly. Values cross the border as JSON text.

pub mod check;
pub mod registry;

/// The name of this engine in messages.
pub const ENGINE: &str = "browser";
