//! Values of a file whose strings are templates.

use std::sync::Arc;

use super::compiled::{is_template, Template};
use super::scope::Scope;
use crate::errors::Error;
use crate::value::{Map, Value};
use crate::yaml::document::{Node, NodeKind};

/// Takes what is wrong with a template: the value that holds it, and the error.
pub type Report<'a> = dyn FnMut(&Node, Error) + 'a;

/// A value with compiled templates in it.
#[derive(Debug)]
pub enum ValueTree {
    /// A value without templates.
    Fixed(Value),
    /// A string that is one.
    Template(Box<Template>),
    /// A list.
    List(Vec<ValueTree>),
    /// A map; its keys are no templates.
    Map(Vec<(Arc<str>, ValueTree)>),
}

impl ValueTree {
    /// Compile every string in `node`, at any depth; what is wrong goes to `report`.
    pub fn compile(node: &Node, scopes: &[&str], report: &mut Report<'_>) -> ValueTree {
        match &node.kind {
            NodeKind::Sequence(items) => ValueTree::List(
                items.iter().map(|item| ValueTree::compile(item, scopes, report)).collect(),
            ),
            NodeKind::Mapping(table) => {
                ValueTree::Map(ValueTree::compile_entries(table, scopes, report))
            }
            NodeKind::Scalar { value: Value::Text(text), .. } if is_template(text) => {
                match Template::compile_text(text, scopes) {
                    Ok(template) => ValueTree::Template(Box::new(template)),
                    Err(error) => {
                        report(node, error);
                        ValueTree::Fixed(Value::Text(text.clone()))
                    }
                }
            }
            NodeKind::Scalar { value, .. } => ValueTree::Fixed(value.clone()),
        }
    }

    /// Compile the values of a table.
    pub fn compile_entries(
        table: &crate::yaml::document::Mapping,
        scopes: &[&str],
        report: &mut Report<'_>,
    ) -> Vec<(Arc<str>, ValueTree)> {
        table
            .iter()
            .map(|entry| (entry.key.clone(), ValueTree::compile(&entry.value, scopes, report)))
            .collect()
    }

    /// Render every template. Errors as for `Template::render`.
    pub fn render(&self, scope: &Scope) -> Result<Value, Error> {
        match self {
            ValueTree::Fixed(value) => Ok(value.clone()),
            ValueTree::Template(template) => template.render(scope),
            ValueTree::List(items) => {
                let items: Result<_, _> = items.iter().map(|item| item.render(scope)).collect();
                items.map(Value::list)
            }
            ValueTree::Map(entries) => ValueTree::render_entries(entries, scope).map(Value::map),
        }
    }

    /// Render a map; the message of an error begins with the key that it is in.
    pub fn render_entries<'t>(
        entries: impl IntoIterator<Item = &'t (Arc<str>, ValueTree)>,
        scope: &Scope,
    ) -> Result<Map, Error> {
        let mut map = Map::new();
        for (key, item) in entries {
            let value = item.render(scope).map_err(|error| error.within(key))?;
            map.insert(key.clone(), value);
        }
        Ok(map)
    }

    /// Whether there is a template anywhere.
    #[must_use]
    pub fn has_template(&self) -> bool {
        match self {
            ValueTree::Fixed(_) => false,
            ValueTree::Template(_) => true,
            ValueTree::List(items) => items.iter().any(ValueTree::has_template),
            ValueTree::Map(entries) => entries.iter().any(|(_, item)| item.has_template()),
        }
    }

    /// Whether a template in it reads the name.
    #[must_use]
    pub fn reads(&self, name: &str) -> bool {
        match self {
            ValueTree::Fixed(_) => false,
            ValueTree::Template(template) => template.reads(name),
            ValueTree::List(items) => items.iter().any(|item| item.reads(name)),
            ValueTree::Map(entries) => entries.iter().any(|(_, item)| item.reads(name)),
        }
    }

    /// The value, where there is no template in it.
    #[must_use]
    pub fn fixed(&self) -> Option<Value> {
        if self.has_template() {
            return None;
        }
        self.render(&Scope::default()).ok()
    }
}
