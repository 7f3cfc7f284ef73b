//! The names that templates know, and their values.

use std::borrow::Cow;

use crate::value::Value;

/// The names that every template knows.
pub const SCOPES: &[&str] = &["state", "variables", "data", "settings", "env", "secrets"];
/// The names of templates that see the raw result of an action.
pub const RESULT_SCOPES: &[&str] =
    &["state", "variables", "data", "settings", "env", "secrets", "result", "action_result"];
/// The names of templates in settings.
pub const SETTINGS_SCOPES: &[&str] = &["env", "variables"];

/// The values of the names that a template knows.
#[derive(Debug, Clone, Default)]
pub struct Scope(Vec<(Cow<'static, str>, Value)>);

impl Scope {
    /// A scope of these names.
    #[must_use]
    pub fn new(names: Vec<(&'static str, Value)>) -> Scope {
        Scope(names.into_iter().map(|(name, value)| (Cow::Borrowed(name), value)).collect())
    }

    /// The scope with further names.
    #[must_use]
    pub fn with(mut self, names: &[(String, Value)]) -> Scope {
        let names = names.iter().map(|(name, value)| (Cow::Owned(name.clone()), value.clone()));
        self.0.extend(names);
        self
    }

    /// The scope with the raw result of an action in it.
    #[must_use]
    pub fn with_result(&self, result: &Value) -> Scope {
        let mut names = self.0.clone();
        names.push(("result".into(), result.clone()));
        names.push(("action_result".into(), result.clone()));
        Scope(names)
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}
