//! Templates: text with `{{ … }}`, `{% … %}` and `${name}`.
//!
//! minijinja's parser reads them; what an expression means is decided here, so that it means the
//! same in every engine. A text that is exactly one `{{ … }}` gives the value with its type, any
//! other gives text.

pub(crate) mod compare;
mod evaluate;
mod expressions;
mod filters;
mod methods;
mod names;
mod operators;
mod refusal;
mod syntax;
mod tokens;
mod tree;
mod value_tree;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use evaluate::Evaluator;
use tree::{Expression, Statement};

pub use value_tree::{Report, ValueTree};

use crate::errors::Error;
use crate::suggest::{nearest_within, ALIKE};
use crate::value::text;
use crate::value::Value;

/// The names that every template knows.
pub const SCOPES: &[&str] = &["state", "variables", "data", "settings", "env", "secrets"];
/// The names of templates that see the raw result of an action.
pub const RESULT_SCOPES: &[&str] =
    &["state", "variables", "data", "settings", "env", "secrets", "result", "action_result"];
/// The names of templates in settings.
pub const SETTINGS_SCOPES: &[&str] = &["env", "variables"];

const MARKS: [&str; 4] = ["{{", "{%", "{#", "${"];

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

    fn get(&self, name: &str) -> Option<Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

enum Body {
    Text(Vec<Statement>),
    Value(Expression),
}

/// A compiled text or expression.
pub struct Template {
    source: String,
    names: BTreeSet<Rc<str>>,
    body: Body,
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.source).finish()
    }
}

impl Template {
    /// Compile a text with templates in it, over the names in `scopes`.
    ///
    /// # Errors
    /// `TemplateError`: it is not well formed, or uses a name, filter, test or method that is not
    /// known.
    pub fn compile_text(text: &str, scopes: &[&str]) -> Result<Template, Error> {
        let statements = syntax::parse_text(text, scopes == SETTINGS_SCOPES)?;
        let stripped = text::strip(text);
        let is_single = (stripped.starts_with("{{") && stripped.ends_with("}}"))
            || (stripped.starts_with("${")
                && statements
                    .iter()
                    .all(|each| matches!(each, Statement::Text(_) | Statement::Emit(_))));
        let is_blank = |each: &Statement| matches!(each, Statement::Text(text) if text::strip(text).is_empty());
        let full = statements.iter().filter(|each| !is_blank(each)).count();
        if is_single && full == 1 {
            let mut parts = statements.into_iter().filter(|each| !is_blank(each));
            return match parts.next() {
                Some(Statement::Emit(single)) => Template::of_expression(text, single, scopes),
                other => Template::of_text(text, other.into_iter().collect(), scopes),
            };
        }
        Template::of_text(text, statements, scopes)
    }

    /// Compile a bare expression, without braces. Errors as for `compile_text`.
    pub fn compile_expression(text: &str, scopes: &[&str]) -> Result<Template, Error> {
        let filled = value_tree::variables_outside_quotes(text)?;
        Template::of_expression(text, syntax::parse_expression(&filled)?, scopes)
    }

    fn of_text(text: &str, body: Vec<Statement>, scopes: &[&str]) -> Result<Template, Error> {
        let names = names::outside(&body);
        check_names(&names, scopes)?;
        Ok(Template { source: text.into(), names, body: Body::Text(body) })
    }

    fn of_expression(text: &str, body: Expression, scopes: &[&str]) -> Result<Template, Error> {
        let names = names::outside_of(&body);
        check_names(&names, scopes)?;
        Ok(Template { source: text.into(), names, body: Body::Value(body) })
    }

    /// The text as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it reads the name.
    #[must_use]
    pub fn reads(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The text, or the value of a single expression (JSON data).
    ///
    /// # Errors
    /// `TemplateError` or `LimitError`: it cannot be computed with these values.
    pub fn render(&self, scope: &Scope) -> Result<Value, Error> {
        let mut evaluator = Evaluator::new(scope);
        match &self.body {
            Body::Text(statements) => evaluator.text(statements).map(Value::text),
            Body::Value(expression) => match evaluator.value(expression)? {
                text @ Value::Text(_) => Ok(text),
                value => value.to_data(None),
            },
        }
    }
}

fn check_names(names: &BTreeSet<Rc<str>>, scopes: &[&str]) -> Result<(), Error> {
    let Some(name) = names.iter().find(|name| !scopes.contains(&&***name)) else {
        return Ok(());
    };
    let mut hint = nearest_within(name, scopes.iter().copied(), ALIKE);
    if hint.is_empty() && scopes.contains(&"state") {
        hint = format!("for a key of the state write state.{name}");
    }
    if hint.is_empty() {
        let mut known = scopes.to_vec();
        known.sort_unstable();
        hint = format!("known here: {}", known.join(", "));
    }
    Err(Error::template(format!("there is no name {name:?} here")).hint(hint))
}

/// Whether `text` holds anything that rendering would change.
#[must_use]
pub fn is_template(text: &str) -> bool {
    MARKS.iter().any(|mark| text.contains(mark))
}
