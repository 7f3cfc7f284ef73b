//! Which names a template takes from outside.
//!
//! The rules are those of Jinja: a `for` and a `{% set x %}` block have names of their own, an
//! `if` has not; a name that only a branch sets is one from outside, unless it was set before.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::tree::{Arguments, Expression, For, Statement, Target};

/// The names from outside that the statements use.
pub(super) fn outside(statements: &[Statement]) -> BTreeSet<Rc<str>> {
    let mut found = BTreeSet::new();
    Frame::analyze(None, &[], statements, None, &mut found);
    found
}

/// The names from outside that an expression uses.
pub(super) fn outside_of(expression: &Expression) -> BTreeSet<Rc<str>> {
    let mut frame = Frame::inside(None);
    let mut found = BTreeSet::new();
    frame.load(expression, &mut found);
    found
}

struct Frame<'a> {
    parent: Option<&'a Frame<'a>>,
    known: BTreeSet<Rc<str>>,
    stored: BTreeSet<Rc<str>>,
}

type Found = BTreeSet<Rc<str>>;

impl<'a> Frame<'a> {
    fn inside(parent: Option<&'a Frame<'a>>) -> Frame<'a> {
        Frame { parent, known: BTreeSet::new(), stored: BTreeSet::new() }
    }

    /// Look at the names of a frame, and then at the frames inside it.
    fn analyze(
        parent: Option<&Frame<'_>>,
        given: &[&Target],
        statements: &[Statement],
        filter: Option<&Expression>,
        found: &mut Found,
    ) {
        let mut frame = Frame::inside(parent);
        for target in given {
            frame.declare(target);
        }
        if let Some(filter) = filter {
            frame.load(filter, found);
        }
        frame.own_names(statements, found);
        frame.inner_frames(statements, found);
    }

    fn declare(&mut self, target: &Target) {
        match target {
            Target::Name(name) => {
                self.stored.insert(name.clone());
                self.known.insert(name.clone());
            }
            Target::Each(targets) => targets.iter().for_each(|target| self.declare(target)),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.known.contains(name) || self.parent.is_some_and(|parent| parent.knows(name))
    }

    fn own_names(&mut self, statements: &[Statement], found: &mut Found) {
        for statement in statements {
            match statement {
                Statement::Text(_) => {}
                Statement::Emit(value) => self.load(value, found),
                Statement::For(each) => self.load(&each.items, found),
                Statement::If { test, then, otherwise } => {
                    self.load(test, found);
                    self.branches([then, otherwise], found);
                }
                Statement::Set(target, value) => {
                    self.load(value, found);
                    self.declare(target);
                }
                Statement::SetBlock(target, _) => self.declare(target),
            }
        }
    }

    fn branches(&mut self, branches: [&[Statement]; 2], found: &mut Found) {
        let mut known = self.known.clone();
        let mut stored = self.stored.clone();
        for branch in branches {
            let mut inner = Frame {
                parent: self.parent,
                known: self.known.clone(),
                stored: self.stored.clone(),
            };
            inner.own_names(branch, found);
            for name in inner.stored.difference(&self.stored) {
                if !self.parent.is_some_and(|parent| parent.knows(name)) {
                    found.insert(name.clone());
                }
            }
            known.extend(inner.known);
            stored.extend(inner.stored);
        }
        (self.known, self.stored) = (known, stored);
    }

    fn inner_frames(&self, statements: &[Statement], found: &mut Found) {
        for statement in statements {
            match statement {
                Statement::For(each) => self.for_frames(each, found),
                Statement::If { then, otherwise, .. } => {
                    self.inner_frames(then, found);
                    self.inner_frames(otherwise, found);
                }
                Statement::SetBlock(_, body) => {
                    Frame::analyze(Some(self), &[], body, None, found);
                }
                _ => {}
            }
        }
    }

    fn for_frames(&self, each: &For, found: &mut Found) {
        let own_loop = Target::Name("loop".into());
        Frame::analyze(Some(self), &[&each.target, &own_loop], &each.body, None, found);
        Frame::analyze(Some(self), &[], &each.otherwise, None, found);
        Frame::analyze(Some(self), &[&each.target], &[], each.filter.as_ref(), found);
    }

    fn load(&mut self, expression: &Expression, found: &mut Found) {
        match expression {
            Expression::Constant(_) => {}
            Expression::Name(name) => self.load_name(name, found),
            Expression::List(items) | Expression::Range(items) => self.load_all(items, found),
            Expression::Map(pairs) => {
                for (key, value) in pairs {
                    self.load(key, found);
                    self.load(value, found);
                }
            }
            Expression::Choice { test, then, otherwise } => {
                self.load(test, found);
                self.load(then, found);
                if let Some(otherwise) = otherwise {
                    self.load(otherwise, found);
                }
            }
            Expression::Not(value) | Expression::Negate(value) => self.load(value, found),
            Expression::And(left, right)
            | Expression::Or(left, right)
            | Expression::Concat(left, right)
            | Expression::Member(left, right)
            | Expression::Calculate(left, _, right) => {
                self.load(left, found);
                self.load(right, found);
            }
            Expression::Compare(first, links) => {
                self.load(first, found);
                links.iter().for_each(|(_, value)| self.load(value, found));
            }
            Expression::Slice(value, bounds) => {
                self.load(value, found);
                bounds.iter().flatten().for_each(|bound| self.load(bound, found));
            }
            Expression::Method(value, _, args) => {
                self.load(value, found);
                self.load_all(args, found);
            }
            Expression::LoopCall(_, args) => {
                self.load_name(&"loop".into(), found);
                self.load_all(args, found);
            }
            Expression::Filter(value, _, args) | Expression::Test(value, _, args) => {
                self.load(value, found);
                self.load_arguments(args, found);
            }
        }
    }

    fn load_all(&mut self, expressions: &[Expression], found: &mut Found) {
        expressions.iter().for_each(|each| self.load(each, found));
    }

    fn load_arguments(&mut self, args: &Arguments, found: &mut Found) {
        self.load_all(&args.values, found);
        args.names.iter().for_each(|(_, value)| self.load(value, found));
    }

    fn load_name(&mut self, name: &Rc<str>, found: &mut Found) {
        if !self.knows(name) {
            self.known.insert(name.clone());
            found.insert(name.clone());
        }
    }
}
