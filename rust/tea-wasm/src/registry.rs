//! The actions of this engine.

use std::rc::Rc;

use tea_core::actions::{data, llm, Registry};
use tea_core::llm::backend::Backends;

const NO_FILES: &str = "cannot reach files";
const NO_LIKELIHOODS: &str = "cannot be told how likely a text is";
const ONLY_JSON: &str = "cannot be held to";

/// Every action that a page can do; those that it cannot are refused by name.
#[must_use]
pub fn registry(backends: &Rc<Backends>) -> Registry {
    let mut registry = Registry::default();
    data::add_actions(&mut registry);
    llm::add_actions(&mut registry, backends);
    registry.refuse("file.read", NO_FILES);
    registry.refuse("file.write", NO_FILES);
    registry.refuse("llm.decide", NO_LIKELIHOODS);
    registry.refuse_parameter("regex", ONLY_JSON);
    registry.refuse_parameter("grammar", ONLY_JSON);
    registry
}

/// The same actions for checking files; none of them is ever run.
#[must_use]
pub fn registry_to_check() -> Registry {
    registry(&Rc::new(Backends::new(Box::new(|_| Ok(None)), Box::new(|_| Ok(None)), None)))
}
