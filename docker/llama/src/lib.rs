//! The llama.cpp build that the Python and the Rust bundles share.
//!
//! Building this crate compiles llama.cpp once, with every CPU variant as a loadable module.
//! `docker/llama/Dockerfile` takes the shared libraries and headers from its output.

pub use llama_cpp_sys_2 as llama;
