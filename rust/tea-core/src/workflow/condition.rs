//! Conditions: `when`, `condition`, `if` and what a while loop tests.

use crate::errors::Error;
use crate::limits::MAX_CONDITION;
use crate::template::{Scope, Template};
use crate::value::text::strip;
use crate::value::Value;

const WORDS: &[&str] = &[
    "true", "True", "false", "False", "none", "None", "and", "or", "not", "in", "is", "if", "else",
];

/// A condition as written, and how to judge it.
#[derive(Debug)]
pub struct Condition {
    /// As written.
    pub source: String,
    test: Test,
    negated: bool,
    /// The condition whose truth it must equal.
    pub expected: Option<Box<Condition>>,
}

#[derive(Debug)]
enum Test {
    Known(bool),
    Template(Box<Template>),
}

impl Condition {
    /// Compile a truth value, a name, `!name`, an expression or a template.
    ///
    /// # Errors
    /// `TemplateError`: it is none of these, or not well formed.
    pub fn compile(value: &Value, scopes: &[&str]) -> Result<Condition, Error> {
        let written = match value {
            Value::Bool(truth) => return Ok(Condition::known(*truth)),
            Value::Text(text) if !strip(text).is_empty() => text,
            _ => return Err(Error::template("a condition must be text or a truth value")),
        };
        let text = strip(written);
        if text.len() > MAX_CONDITION {
            let message = format!("the condition is longer than {MAX_CONDITION} bytes");
            return Err(Error::template(message));
        }
        let condition = |template: Template, negated| Condition {
            source: text.into(),
            test: Test::Template(Box::new(template)),
            negated,
            expected: None,
        };
        let (negated, word) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start_matches(crate::value::text::is_space)),
            None => (false, text),
        };
        if is_name(word) {
            let expression =
                if WORDS.contains(&word) { word.into() } else { format!("state.{word}") };
            return Ok(condition(Template::compile_expression(&expression, scopes)?, negated));
        }
        if text.contains("{{") || text.contains("{%") {
            return Ok(condition(Template::compile_text(written, scopes)?, false));
        }
        if negated {
            return Err(Error::template("! stands before a name alone")
                .hint(format!("write: not {}", strip(&text[1..]))));
        }
        Ok(condition(Template::compile_expression(text, scopes)?, false))
    }

    /// A condition that always or never holds.
    pub(crate) fn known(truth: bool) -> Condition {
        Condition {
            source: truth.to_string(),
            test: Test::Known(truth),
            negated: false,
            expected: None,
        }
    }

    /// Judge it.
    ///
    /// # Errors
    /// `TemplateError` or `LimitError`; the message names the condition.
    pub fn holds(&self, scope: &Scope) -> Result<bool, Error> {
        let truth = match &self.test {
            Test::Known(truth) => *truth,
            Test::Template(template) => template
                .render(scope)
                .map_err(|error| error.within(&format!("condition {}", self.source)))?
                .truth(),
        };
        let truth = truth != self.negated;
        match &self.expected {
            Some(expected) => Ok(truth == expected.holds(scope)?),
            None => Ok(truth),
        }
    }
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::SCOPES;

    fn judged(condition: Value, state: Value) -> Result<bool, String> {
        let scope = Scope::new(vec![("state", state)]);
        let condition = Condition::compile(&condition, SCOPES);
        condition.and_then(|condition| condition.holds(&scope)).map_err(|error| error.to_string())
    }

    #[test]
    fn some_words_are_false_as_the_result_of_a_condition() {
        for (text, truth) in [("no", false), (" None ", false), ("0", false), ("x", true)] {
            let state = Value::record([("a", Value::text(text))]);
            assert_eq!(judged("a".into(), state.clone()), Ok(truth));
            assert_eq!(judged("! a".into(), state.clone()), Ok(!truth));
            assert_eq!(judged("{{ state.a }}".into(), state), Ok(truth));
        }
    }

    #[test]
    fn a_condition_that_is_too_long_is_refused() {
        let text = |count: usize| Value::text(format!("'{}'", "a".repeat(count)));
        assert!(Condition::compile(&text(MAX_CONDITION - 2), SCOPES).is_ok());
        let wrong = Condition::compile(&text(MAX_CONDITION - 1), SCOPES);
        assert_eq!(wrong.unwrap_err().message, "the condition is longer than 64000 bytes");
    }

    #[test]
    fn an_error_names_the_condition() {
        let wrong = judged("state.a + 1 > 2".into(), Value::record([]));
        let text = "condition state.a + 1 > 2: state.a is missing \
                    (give it a value, or write: | default(...))";
        assert_eq!(wrong, Err(text.into()));
        let wrong = judged("!a and b".into(), Value::Null);
        assert_eq!(wrong, Err("! stands before a name alone (write: not a and b)".into()));
    }
}
