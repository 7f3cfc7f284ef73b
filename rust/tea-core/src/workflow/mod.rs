//! A workflow file: read, checked, and kept as data.

pub(crate) mod branches;
pub mod condition;
pub(crate) mod context;
pub(crate) mod diagnostics;
pub(crate) mod io_schema;
pub mod load;
pub mod model;
pub(crate) mod nodes;
pub mod overlays;
pub(crate) mod retry;
pub(crate) mod settings;
pub(crate) mod steps;
pub mod subgraphs;
pub(crate) mod transitions;
pub(crate) mod types;
