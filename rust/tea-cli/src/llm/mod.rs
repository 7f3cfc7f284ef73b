//! Models: the local one, in this process, and what an API is reached through.

pub mod crew;
pub mod embedding;
pub mod gguf;
pub mod http;
pub mod local;
pub mod prompt;
pub mod session;
pub mod threads;
