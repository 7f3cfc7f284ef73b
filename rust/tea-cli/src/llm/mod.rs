//! Models: the local one, in this process, and what an API is reached through.

pub mod adaptive_threads;
mod cache;
pub mod control_groups;
pub mod decide;
pub mod decode_loop;
pub mod embedding;
pub mod gguf;
pub mod http;
pub mod job;
pub mod local;
pub mod matcher;
pub mod memory;
pub mod prompt;
mod prompt_lookup;
mod proxy;
mod sampler;
pub mod sequence;
pub mod threads;
pub mod verify;
