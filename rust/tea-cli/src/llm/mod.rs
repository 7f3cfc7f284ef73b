//! Models: the local one, in this process, and what an API is reached through.

pub mod adaptive_threads;
pub mod control_groups;
pub mod embedding;
pub mod gguf;
pub mod http;
pub mod local;
pub mod memory;
pub mod prompt;
mod proxy;
pub mod session;
pub mod threads;
pub mod verify;
