//! Plays the cases of `conformance/` on the Rust engine: lays out the files of a case, runs it with
//! scripted models, and compares. Cases that run the program `tea` are left to the program's tests,
//! which use the same stage and the same judge.

pub mod case;
pub mod engine;
pub mod equal;
pub mod host;
pub mod judge;
pub mod page;
pub mod scripted;
pub mod stage;
pub mod suite;
