//! A compiled text or expression.

use std::collections::BTreeSet;
use std::fmt;
use std::rc::Rc;

use super::evaluate::Evaluator;
use super::scope::{Scope, SETTINGS_SCOPES};
use super::tree::{Expression, Statement};
use super::{names, syntax};
use crate::errors::Error;
use crate::suggest::{nearest_within, ALIKE};
use crate::value::text;
use crate::value::Value;

const MARKS: [&str; 4] = ["{{", "{%", "{#", "${"];

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
        let filled = syntax::variables_outside_quotes(text)?;
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
