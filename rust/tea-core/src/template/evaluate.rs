//! Computes the tree of a template.

use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::compare::{elements, same};
use super::filters::function::Function;
use super::scope::Scope;
use super::tree::{Arguments, Comparison, Expression, For, LoopMethod, Sign, Statement, Target};
use super::{methods, operators};
use crate::errors::Error;
use crate::limits::{Budget, MAX_TEXT};
use crate::value::text;
use crate::value::{Absent, Loop, Map, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) struct Evaluator<'a> {
    scope: &'a Scope,
    budget: Budget,
    layers: Vec<Vec<(Rc<str>, Value)>>, // names that the template sets, by frame
}

/// Text as it grows.
#[derive(Default)]
struct Output {
    text: String,
    characters: usize,
}

impl Output {
    fn push(&mut self, piece: &str, budget: &Budget) -> Result<()> {
        self.characters += text::length(piece);
        if self.characters > MAX_TEXT {
            budget.check_text(self.characters)?;
        }
        self.text.push_str(piece);
        Ok(())
    }
}

impl<'a> Evaluator<'a> {
    pub fn new(scope: &'a Scope) -> Evaluator<'a> {
        Evaluator { scope, budget: Budget::rendering(), layers: vec![Vec::new()] }
    }

    /// The text that the statements make.
    pub fn text(&mut self, statements: &[Statement]) -> Result<String> {
        let mut output = Output::default();
        self.run(statements, &mut output)?;
        Ok(output.text)
    }

    fn run(&mut self, statements: &[Statement], out: &mut Output) -> Result<()> {
        for statement in statements {
            match statement {
                Statement::Text(text) => out.push(text, &self.budget)?,
                Statement::Emit(expression) => {
                    let text = self.text_of(expression)?;
                    out.push(&text, &self.budget)?;
                }
                Statement::For(each) => self.for_each(each, out)?,
                Statement::If { test, then, otherwise } => {
                    let branch = if self.value(test)?.is_true() { then } else { otherwise };
                    self.run(branch, out)?;
                }
                Statement::Set(target, expression) => {
                    let value = self.value(expression)?;
                    self.assign(target, value)?;
                }
                Statement::SetBlock(target, body) => {
                    let mut inner = Output::default();
                    self.layers.push(Vec::new());
                    let done = self.run(body, &mut inner);
                    self.layers.pop();
                    done?;
                    self.assign(target, Value::text(inner.text))?;
                }
            }
        }
        Ok(())
    }

    fn for_each(&mut self, each: &For, out: &mut Output) -> Result<()> {
        let path = each.items.path();
        let value = self.value(&each.items)?;
        let mut items = elements(&value, &path, &self.budget)?;
        if let Some(filter) = &each.filter {
            let mut kept = Vec::new();
            for item in items {
                let passes = self.inside(|this| {
                    this.assign(&each.target, item.clone())?;
                    Ok(this.value(filter)?.is_true())
                })?;
                if passes {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.inside(|this| this.run(&each.otherwise, out));
        }
        let place = Arc::new(Loop { index: AtomicUsize::new(0), items, last: Mutex::new(None) });
        for (index, item) in place.items.iter().enumerate() {
            place.index.store(index, Ordering::Relaxed);
            self.inside(|this| {
                this.set("loop".into(), Value::Loop(place.clone()));
                this.assign(&each.target, item.clone())?;
                this.run(&each.body, out)
            })?;
        }
        Ok(())
    }

    /// Do something in a frame of its own.
    fn inside<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.layers.push(Vec::new());
        let done = work(self);
        self.layers.pop();
        done
    }

    fn set(&mut self, name: Rc<str>, value: Value) {
        if let Some(layer) = self.layers.last_mut() {
            match layer.iter_mut().find(|(known, _)| *known == name) {
                Some((_, place)) => *place = value,
                None => layer.push((name, value)),
            }
        }
    }

    fn assign(&mut self, target: &Target, value: Value) -> Result<()> {
        let targets = match target {
            Target::Name(name) => {
                self.set(name.clone(), value);
                return Ok(());
            }
            Target::Each(targets) => targets,
        };
        let cannot =
            |what: String| Error::template(format!("the template cannot be computed: {what}"));
        let items = match &value {
            Value::Text(_) | Value::Map(_) | Value::List(_) | Value::Group(_) => {
                elements(&value, "", &self.budget)?
            }
            Value::Absent(_) => Vec::new(),
            other => return Err(cannot(format!("cannot unpack {}", other.describe()))),
        };
        let (wanted, got) = (targets.len(), items.len());
        if got < wanted {
            return Err(cannot(format!(
                "not enough values to unpack (expected {wanted}, got {got})"
            )));
        }
        if got > wanted {
            return Err(cannot(format!("too many values to unpack (expected {wanted})")));
        }
        for (target, item) in targets.iter().zip(items) {
            self.assign(target, item)?;
        }
        Ok(())
    }

    fn text_of(&mut self, expression: &Expression) -> Result<Arc<str>> {
        let value = self.value(expression)?;
        let text = match value {
            Value::Text(text) => text,
            value => value.text_form(&expression.path(), &self.budget)?,
        };
        self.budget.charge_text(text.len())?;
        Ok(text)
    }

    fn name(&self, name: &str) -> Value {
        let own = self.layers.iter().rev().flatten().find(|(known, _)| &**known == name);
        match own {
            Some((_, value)) => value.clone(),
            None => self.scope.get(name).unwrap_or_else(|| Value::missing(name)),
        }
    }

    fn values(&mut self, expressions: &[Expression]) -> Result<Vec<Value>> {
        expressions.iter().map(|each| self.value(each)).collect()
    }

    /// The value of an expression; what is absent is an `Absent`.
    ///
    /// Each kind has a function of its own: what they need must not add up on the stack, level by
    /// level.
    pub fn value(&mut self, expression: &Expression) -> Result<Value> {
        match expression {
            Expression::Constant(value) => Ok(value.clone()),
            Expression::Name(name) => Ok(self.name(name)),
            Expression::List(items) => self.values(items).map(Value::list),
            Expression::Map(pairs) => self.map(pairs),
            Expression::Choice { test, then, otherwise } => {
                self.choice(test, then, otherwise.as_deref())
            }
            Expression::Not(value) => self.value(value).map(|value| Value::Bool(!value.is_true())),
            Expression::And(left, right) => self.either(left, right, false),
            Expression::Or(left, right) => self.either(left, right, true),
            Expression::Compare(first, links) => self.compare(first, links),
            Expression::Calculate(left, sign, right) => self.calculate(left, *sign, right),
            Expression::Negate(value) => self.value(value).and_then(|v| operators::negate(&v)),
            Expression::Concat(left, right) => self.concat(left, right),
            Expression::Member(value, key) => self.member(value, key, expression),
            Expression::Slice(value, bounds) => self.slice(value, bounds),
            Expression::Range(args) => self.values(args).and_then(|args| operators::range(&args)),
            Expression::Method(value, name, args) => self.method(value, name, args),
            Expression::LoopCall(method, args) => self.loop_call(*method, args),
            Expression::Filter(value, function, args) | Expression::Test(value, function, args) => {
                self.function(value, *function, args)
            }
        }
    }

    fn choice(
        &mut self,
        test: &Expression,
        then: &Expression,
        otherwise: Option<&Expression>,
    ) -> Result<Value> {
        match (self.value(test)?.is_true(), otherwise) {
            (true, _) => self.value(then),
            (false, Some(otherwise)) => self.value(otherwise),
            (false, None) => Ok(Value::missing("the else of the if")),
        }
    }

    /// `left or right` where `stops` is true, `left and right` where it is false.
    fn either(&mut self, left: &Expression, right: &Expression, stops: bool) -> Result<Value> {
        let left = self.value(left)?;
        if left.is_true() == stops {
            return Ok(left);
        }
        self.value(right)
    }

    fn calculate(&mut self, left: &Expression, sign: Sign, right: &Expression) -> Result<Value> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        operators::calculate(&left, sign, &right, &self.budget)
    }

    fn concat(&mut self, left: &Expression, right: &Expression) -> Result<Value> {
        let (left, right) = (self.text_of(left)?, self.text_of(right)?);
        operators::concat(&left, &right, &self.budget)
    }

    fn member(
        &mut self,
        value: &Expression,
        key: &Expression,
        expression: &Expression,
    ) -> Result<Value> {
        let (value, key) = (self.value(value)?, self.value(key)?);
        // The path is only needed for what is absent, and making it costs more than looking.
        if let (Value::Map(map), Value::Text(key)) = (&value, &key) {
            if let Some(found) = map.get(key).filter(|found| !matches!(found, Value::Null)) {
                return Ok(found.clone());
            }
        }
        operators::member(&value, &key, &expression.path())
    }

    fn method(&mut self, value: &Expression, name: &str, args: &[Expression]) -> Result<Value> {
        let subject = self.value(value)?;
        let args = self.values(args)?;
        methods::call(&subject, name, &value.path(), &args, &self.budget)
    }

    fn function(
        &mut self,
        value: &Expression,
        function: Function,
        args: &Arguments,
    ) -> Result<Value> {
        let subject = self.value(value)?;
        let (values, names) = self.arguments(args)?;
        function.call(&subject, values, names, &self.budget)
    }

    fn map(&mut self, pairs: &[(Expression, Expression)]) -> Result<Value> {
        let mut map = Map::with_capacity(pairs.len());
        for (key, value) in pairs {
            let (key, value) = (self.value(key)?, self.value(value)?);
            let Value::Text(key) = key else {
                return Err(Error::template(format!(
                    "a key of a map must be text, not {}",
                    key.describe()
                )));
            };
            map.insert(key, value);
        }
        Ok(Value::map(map))
    }

    fn compare(&mut self, first: &Expression, links: &[(Comparison, Expression)]) -> Result<Value> {
        let mut left = self.value(first)?;
        for (sign, right) in links {
            let right = self.value(right)?;
            if !operators::compare(&left, *sign, &right, &self.budget)? {
                return Ok(Value::Bool(false));
            }
            left = right;
        }
        Ok(Value::Bool(true))
    }

    fn slice(&mut self, value: &Expression, bounds: &[Option<Expression>; 3]) -> Result<Value> {
        let subject = self.value(value)?;
        let mut found = [Value::Null, Value::Null, Value::Null];
        for (place, bound) in found.iter_mut().zip(bounds) {
            if let Some(bound) = bound {
                *place = self.value(bound)?;
            }
        }
        operators::slice(&subject, found, &value.path(), &self.budget)
    }

    #[allow(clippy::type_complexity)] // the two halves of one call
    fn arguments(&mut self, args: &Arguments) -> Result<(Vec<Value>, Vec<(Rc<str>, Value)>)> {
        let values = self.values(&args.values)?;
        let mut names = Vec::with_capacity(args.names.len());
        for (name, value) in &args.names {
            names.push((name.clone(), self.value(value)?));
        }
        Ok((values, names))
    }

    fn loop_call(&mut self, method: LoopMethod, args: &[Expression]) -> Result<Value> {
        let args = self.values(args)?;
        let Value::Loop(each) = self.name("loop") else {
            return Ok(Value::Absent(Arc::new(Absent {
                path: "loop".into(),
                null: false,
                message: None,
            })));
        };
        match method {
            LoopMethod::Cycle if args.is_empty() => {
                Err(Error::template("the template cannot be computed: cycle needs values"))
            }
            LoopMethod::Cycle => Ok(args[each.index.load(Ordering::Relaxed) % args.len()].clone()),
            LoopMethod::Changed => {
                let now = Value::list(args);
                let mut last = each.last.lock().unwrap_or_else(PoisonError::into_inner);
                let is_same = match &*last {
                    Some(last) => same(last, &now, &self.budget)?,
                    None => false,
                };
                *last = Some(now);
                Ok(Value::Bool(!is_same))
            }
        }
    }
}
