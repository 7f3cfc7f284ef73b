//! The filters and tests of templates.
//!
//! A filter of text takes the text form of numbers, truth values, lists and maps. Null and what is
//! missing are errors everywhere but in `default`, `tojson` (null alone) and the tests.

mod lists;
mod numbers;
mod texts;

use std::rc::Rc;

use crate::errors::Error;
use crate::limits::Budget;
use crate::value::Value;

/// A filter or a test.
pub(super) struct Function {
    pub name: &'static str,
    /// Its parameters after the subject.
    parameters: &'static [Parameter],
    /// Whether more arguments may follow, by position and by name.
    open: (bool, bool),
    run: fn(&Value, &Arguments<'_>) -> Result<Value, Error>,
}

struct Parameter {
    name: &'static str,
    required: bool,
}

/// The arguments of one call, by parameter.
pub(super) struct Arguments<'a> {
    values: Vec<Option<Value>>,
    more: Vec<Value>,
    names: Vec<(Rc<str>, Value)>,
    budget: &'a Budget,
}

impl Arguments<'_> {
    fn get(&self, index: usize) -> Option<&Value> {
        self.values.get(index).and_then(Option::as_ref)
    }

    /// The argument, where it is there and not null.
    fn some(&self, index: usize) -> Option<&Value> {
        self.get(index).filter(|value| !matches!(value, Value::Null))
    }

    fn is_true(&self, index: usize) -> bool {
        self.get(index).is_some_and(Value::is_true)
    }
}

impl Function {
    const fn new(
        name: &'static str,
        parameters: &'static [Parameter],
        run: fn(&Value, &Arguments<'_>) -> Result<Value, Error>,
    ) -> Function {
        Function { name, parameters, open: (false, false), run }
    }

    const fn open(mut self, positions: bool, names: bool) -> Function {
        self.open = (positions, names);
        self
    }

    /// Check the number of arguments by position, and the names of the others.
    pub fn fits(&self, count: usize, names: &[&str]) -> Result<(), String> {
        if count > self.parameters.len() && !self.open.0 {
            return Err("it is given too many arguments".into());
        }
        for (index, parameter) in self.parameters.iter().enumerate() {
            let named = names.contains(&parameter.name);
            if named && index < count {
                return Err(format!("{} is given twice", parameter.name));
            }
            if parameter.required && !named && index >= count {
                return Err(format!("it needs {}", parameter.name));
            }
        }
        let known = |name: &str| self.parameters.iter().any(|each| each.name == name);
        match names.iter().find(|name| !known(name) && !self.open.1) {
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
        if self.name != "default" {
            for arg in args.iter().chain(names.iter().map(|(_, value)| value)) {
                if let Value::Absent(absent) = arg {
                    return Err(absent.error());
                }
            }
        }
        let keys: Vec<&str> = names.iter().map(|(name, _)| &**name).collect();
        self.fits(args.len(), &keys).map_err(|_| self.unfit())?;
        let mut values: Vec<Option<Value>> = args.into_iter().map(Some).collect();
        let more: Vec<Value> =
            values.drain(self.parameters.len().min(values.len())..).flatten().collect();
        values.resize(self.parameters.len(), None);
        let mut others = Vec::new();
        for (name, value) in names {
            match self.parameters.iter().position(|each| each.name == &*name) {
                Some(index) => values[index] = Some(value),
                None => others.push((name, value)),
            }
        }
        (self.run)(subject, &Arguments { values, more, names: others, budget })
    }

    fn unfit(&self) -> Error {
        unfit(self.name)
    }
}

fn unfit(name: &str) -> Error {
    Error::template(format!("{name}: the arguments do not fit"))
}

pub(super) fn find(table: &'static [Function], name: &str) -> Option<&'static Function> {
    table.iter().find(|each| each.name == name)
}

/// What an argument names. Errors where it names nothing.
fn lookup(
    table: &'static [Function],
    kind: &str,
    name: &Value,
) -> Result<&'static Function, Error> {
    let found = name.as_text().and_then(|name| find(table, name));
    found.ok_or_else(|| {
        Error::template(format!("there is no {kind} {}", crate::value::json::write(name, None)))
    })
}

const fn optional(name: &'static str) -> Parameter {
    Parameter { name, required: false }
}

const fn required(name: &'static str) -> Parameter {
    Parameter { name, required: true }
}

const CASE: &[Parameter] = &[optional("case_sensitive"), optional("attribute")];

pub(super) const FILTERS: &[Function] = &[
    Function::new("default", &[optional("value"), optional("boolean")], default).open(false, true),
    Function::new("join", &[optional("separator"), optional("attribute")], lists::join),
    Function::new("tojson", &[optional("indent")], texts::tojson),
    Function::new("fromjson", &[], texts::fromjson),
    Function::new("upper", &[], texts::upper),
    Function::new("lower", &[], texts::lower),
    Function::new("length", &[], lists::length),
    Function::new("trim", &[optional("characters")], texts::trim),
    Function::new("first", &[], lists::first),
    Function::new("last", &[], lists::last),
    Function::new("list", &[], lists::list),
    Function::new(
        "sort",
        &[optional("reverse"), optional("case_sensitive"), optional("attribute")],
        lists::sort,
    ),
    Function::new("unique", CASE, lists::unique),
    Function::new("map", &[], lists::map).open(true, true),
    Function::new("select", &[], lists::select).open(true, false),
    Function::new("reject", &[], lists::reject).open(true, false),
    Function::new("selectattr", &[required("attribute")], lists::selectattr).open(true, false),
    Function::new("rejectattr", &[required("attribute")], lists::rejectattr).open(true, false),
    Function::new(
        "groupby",
        &[required("attribute"), optional("default"), optional("case_sensitive")],
        lists::groupby,
    ),
    Function::new(
        "replace",
        &[required("old"), required("new"), optional("count")],
        texts::replace,
    ),
    Function::new("round", &[optional("precision"), optional("method")], numbers::round),
    Function::new("int", &[optional("default"), optional("base")], numbers::int),
    Function::new("float", &[optional("default")], numbers::float),
    Function::new("string", &[], texts::string),
    Function::new("abs", &[], numbers::abs),
    Function::new("min", CASE, lists::min),
    Function::new("max", CASE, lists::max),
    Function::new("sum", &[optional("attribute"), optional("start")], lists::sum),
    Function::new("reverse", &[], lists::reverse),
    Function::new(
        "indent",
        &[optional("width"), optional("first"), optional("blank")],
        texts::indent,
    ),
    Function::new(
        "truncate",
        &[optional("length"), optional("killwords"), optional("end"), optional("leeway")],
        texts::truncate,
    ),
    Function::new("wordcount", &[], texts::wordcount),
    Function::new("sha256", &[], texts::sha256),
];

pub(super) const TESTS: &[Function] = &[
    Function::new("defined", &[], |value, _| {
        Ok(Value::Bool(!matches!(value, Value::Absent(absent) if !absent.null)))
    }),
    Function::new("none", &[], |value, _| Ok(Value::Bool(value.is_null()))),
    Function::new("string", &[], |value, _| Ok(Value::Bool(value.as_text().is_some()))),
    Function::new("number", &[], |value, _| Ok(Value::Bool(value.is_number()))),
    Function::new("mapping", &[], |value, _| Ok(Value::Bool(value.as_map().is_some()))),
    Function::new("sequence", &[], |value, _| Ok(Value::Bool(value.as_list().is_some()))),
];

fn default(subject: &Value, given: &Arguments<'_>) -> Result<Value, Error> {
    let other_name = |name: &str| name == "default_value";
    if given.names.iter().any(|(name, _)| !other_name(name)) {
        return Err(Error::template("default was given more arguments than it takes"));
    }
    let named = given.names.first().map(|(_, value)| value);
    if subject.is_absent() || (given.is_true(1) && !subject.is_true()) {
        return Ok(named.or(given.get(0)).cloned().unwrap_or(Value::Null));
    }
    Ok(subject.clone())
}

/// The argument as a whole number from 0 on.
fn whole(value: &Value, name: &str) -> Result<usize, Error> {
    let number = value.as_int().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number <= crate::limits::MAX_TEXT).ok_or_else(|| {
        let what = value.describe();
        Error::template(format!("{name} must be a whole number from 0 on, not {what}"))
    })
}
