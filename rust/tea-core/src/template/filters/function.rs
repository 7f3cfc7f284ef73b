//! What every filter and test has: a signature, and a call that fits it.

use std::rc::Rc;

use crate::errors::Error;
use crate::limits::{Budget, MAX_TEXT};
use crate::spec::Signature;
use crate::value::Value;

/// What a filter or a test does.
pub type Run = fn(&Value, &Arguments<'_>) -> Result<Value, Error>;

/// A filter or a test.
#[derive(Clone, Copy)]
pub struct Function {
    pub signature: &'static Signature,
    pub run: Run,
}

/// The arguments of one call, by parameter.
pub struct Arguments<'a> {
    values: Vec<Option<Value>>,
    pub more: Vec<Value>,
    pub names: Vec<(Rc<str>, Value)>,
    pub budget: &'a Budget,
}

impl Arguments<'_> {
    pub fn get(&self, index: usize) -> Option<&Value> {
        self.values.get(index).and_then(Option::as_ref)
    }

    /// The argument, where it is there and not null.
    pub fn some(&self, index: usize) -> Option<&Value> {
        self.get(index).filter(|value| !matches!(value, Value::Null))
    }

    pub fn is_true(&self, index: usize) -> bool {
        self.get(index).is_some_and(Value::is_true)
    }
}

impl Function {
    /// Check the number of arguments by position, and the names of the others.
    pub fn fits(&self, count: usize, names: &[&str]) -> Result<(), String> {
        if count > self.signature.arguments.len() && !self.signature.more_positions {
            return Err("it is given too many arguments".into());
        }
        for (index, parameter) in self.signature.arguments.iter().enumerate() {
            let named = names.contains(&parameter.name);
            if named && index < count {
                return Err(format!("{} is given twice", parameter.name));
            }
            if parameter.required && !named && index >= count {
                return Err(format!("it needs {}", parameter.name));
            }
        }
        let known = |name: &str| self.signature.arguments.iter().any(|each| each.name == name);
        match names.iter().find(|name| !known(name) && !self.signature.more_names) {
            Some(name) => Err(format!("it takes no argument {name}")),
            None => Ok(()),
        }
    }

    /// Call it.
    ///
    /// # Errors
    /// `TemplateError` where the subject or the arguments do not fit, `LimitError`.
    pub fn call(
        &self,
        subject: &Value,
        args: Vec<Value>,
        names: Vec<(Rc<str>, Value)>,
        budget: &Budget,
    ) -> Result<Value, Error> {
        if self.signature.name != "default" {
            for arg in args.iter().chain(names.iter().map(|(_, value)| value)) {
                if let Value::Absent(absent) = arg {
                    return Err(absent.error());
                }
            }
        }
        let keys: Vec<&str> = names.iter().map(|(name, _)| &**name).collect();
        self.fits(args.len(), &keys).map_err(|_| unfit(self.signature.name))?;
        let mut values: Vec<Option<Value>> = args.into_iter().map(Some).collect();
        let more: Vec<Value> =
            values.drain(self.signature.arguments.len().min(values.len())..).flatten().collect();
        values.resize(self.signature.arguments.len(), None);
        let mut others = Vec::new();
        for (name, value) in names {
            match self.signature.arguments.iter().position(|each| each.name == &*name) {
                Some(index) => values[index] = Some(value),
                None => others.push((name, value)),
            }
        }
        (self.run)(subject, &Arguments { values, more, names: others, budget })
    }
}

pub fn unfit(name: &str) -> Error {
    Error::template(format!("{name}: the arguments do not fit"))
}

/// The argument as a whole number from 0 on.
pub fn whole(value: &Value, name: &str) -> Result<usize, Error> {
    let number = value.as_int().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number <= MAX_TEXT).ok_or_else(|| {
        let what = value.describe();
        Error::template(format!("{name} must be a whole number from 0 on, not {what}"))
    })
}
