//! Overlays: files that are laid over a workflow file, key by key.

use std::rc::Rc;
use std::sync::Arc;

use crate::errors::{InvalidFile, Location, Problem};
use crate::value::Value;
use crate::yaml::compose::parse;
use crate::yaml::document::{Entry, Mapping, Node, NodeKind};

const DELETE: &str = "__delete__";

/// The lists whose items are known by some of their keys; * is an item of a list.
const IDENTITIES: [(&[&str], &[&str]); 3] =
    [(&["nodes"], &["name"]), (&["nodes", "*", "goto"], &["to"]), (&["edges"], &["from", "to"])];

/// What a file says with `overlays`, texts and their names, laid over it in turn.
///
/// # Errors
/// One of them is no YAML, is no map, or deletes what is not there.
pub fn merged(
    text: &str,
    file: &str,
    overlays: &[(String, String)],
) -> Result<Rc<Node>, InvalidFile> {
    let mut value = parse(text, file)?;
    for (text, name) in overlays {
        let over = parse(text, name)?;
        let mut merge = Merge::default();
        if !matches!(over.kind, NodeKind::Mapping(_)) {
            merge.problem(&over.place, "an overlay is a map, as a workflow is".into());
        } else if matches!(value.kind, NodeKind::Mapping(_)) {
            // Else loading says what is wrong.
            value = merge.value(Some(&value), &over, &mut Vec::new());
        }
        if !merge.problems.is_empty() {
            return Err(InvalidFile { problems: merge.problems });
        }
    }
    Ok(value)
}

#[derive(Default)]
struct Merge {
    problems: Vec<Problem>,
}

type Path = Vec<Arc<str>>;

impl Merge {
    fn problem(&mut self, place: &Location, message: String) {
        self.problems.push(Problem { place: place.clone(), message, hint: String::new() });
    }

    fn value(&mut self, base: Option<&Rc<Node>>, over: &Rc<Node>, path: &mut Path) -> Rc<Node> {
        let keys =
            IDENTITIES.iter().find(|(at, _)| at.iter().copied().eq(path.iter().map(|key| &**key)));
        let base_kind = base.map(|base| &base.kind);
        let (base, kind) = match (base_kind, &over.kind, keys) {
            (Some(NodeKind::Mapping(old)), NodeKind::Mapping(new), _) => {
                (base, NodeKind::Mapping(self.maps(Some(old), new, path)))
            }
            (_, NodeKind::Mapping(new), _) => (None, NodeKind::Mapping(self.maps(None, new, path))),
            (Some(NodeKind::Sequence(old)), NodeKind::Sequence(new), Some((_, keys))) => {
                (base, NodeKind::Sequence(self.lists(old, new, keys, path)))
            }
            _ => return over.clone(),
        };
        let from = base.unwrap_or(over);
        Rc::new(Node { place: from.place.clone(), kind, size: from.size })
    }

    fn maps(&mut self, base: Option<&Mapping>, over: &Mapping, path: &mut Path) -> Mapping {
        let mut entries = base.map(|base| base.0.clone()).unwrap_or_default();
        for Entry { key, place, value } in over.iter() {
            let old = entries.get(key).cloned();
            if !self.deletes(value) {
                path.push(key.clone());
                let value = self.value(old.as_ref().map(|old| &old.value), value, path);
                path.pop();
                let merged = old.filter(|old| old.value.place == value.place);
                let place = merged.map_or_else(|| place.clone(), |old| old.place);
                entries.insert(key.clone(), Entry { key: key.clone(), place, value });
            } else if entries.shift_remove(key).is_none() {
                self.problem(place, format!("there is no \"{key}\" to delete"));
            }
        }
        Mapping(entries)
    }

    fn lists(
        &mut self,
        base: &[Rc<Node>],
        over: &[Rc<Node>],
        keys: &[&str],
        path: &mut Path,
    ) -> Vec<Rc<Node>> {
        let mut items = base.to_vec();
        for item in over {
            let wanted = identity(item, keys);
            let is_same = |old: &Rc<Node>| wanted.is_some() && identity(old, keys) == wanted;
            let first = items.iter().position(is_same);
            if !self.deletes(item) {
                path.push("*".into());
                let merged = self.value(first.map(|at| &items[at]), item, path);
                path.pop();
                match first {
                    Some(at) => items[at] = merged,
                    None => items.push(merged),
                }
            } else if first.is_some() {
                items.retain(|old| !is_same(old));
            } else {
                let wanted = keys.join("\" and \"");
                self.problem(&item.place, format!("no item to delete has this \"{wanted}\""));
            }
        }
        items
    }

    fn deletes(&mut self, node: &Node) -> bool {
        let NodeKind::Mapping(table) = &node.kind else { return false };
        let Some(mark) = table.get(DELETE) else { return false };
        if mark.scalar().and_then(Value::as_bool) != Some(true) {
            self.problem(&mark.place, format!("{DELETE} must be true"));
        }
        true
    }
}

/// What an item is known by; None: it is like no other.
fn identity(item: &Node, keys: &[&str]) -> Option<Vec<String>> {
    let NodeKind::Mapping(table) = &item.kind else { return None };
    keys.iter().any(|key| table.contains(key)).then(|| {
        let shown = |key: &&str| table.get(key).map(|node| node.shown()).unwrap_or_default();
        keys.iter().map(shown).collect()
    })
}
