//! Templates: text with `{{ … }}`, `{% … %}` and `${name}`.
//!
//! minijinja's parser reads them; what an expression means is decided here, so that it means the
//! same in every engine. A text that is exactly one `{{ … }}` gives the value with its type, any
//! other gives text.

pub(crate) mod compare;
mod compiled;
mod evaluate;
mod expressions;
mod filters;
mod methods;
mod names;
mod operators;
mod refusal;
mod scope;
mod syntax;
mod tokens;
mod tree;
mod value_tree;

pub use compiled::{is_template, Template};
pub use scope::{Scope, RESULT_SCOPES, SCOPES, SETTINGS_SCOPES};
pub use value_tree::{Report, ValueTree};
