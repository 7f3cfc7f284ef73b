//! What a run tells as it happens.

use crate::value::{Map, Value};

/// Something that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run began; the workflow's name.
    Start(Option<String>),
    /// A piece of an answer.
    Token {
        /// The node that runs.
        node: String,
        /// The piece.
        text: String,
    },
    /// A node is done.
    NodeComplete {
        /// Its name.
        node: String,
        /// What it wrote into the state.
        update: Map,
    },
    /// The run has failed, in a node or before the first one.
    Error {
        /// The node.
        node: Option<String>,
        /// What `state.__error__` would be.
        error: Map,
    },
    /// What happened in a branch; its number.
    Branch(usize, Box<Event>),
    /// The run is done; the final state.
    Complete(Map),
}

impl Event {
    /// It as one map, with its `type` first.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let text = |text: &String| Value::text(text);
        let map = |map: &Map| Value::map(map.clone());
        match self {
            Event::Start(name) => Value::record([
                ("type", "start".into()),
                ("workflow", name.as_ref().map_or(Value::Null, text)),
            ]),
            Event::Token { node, text: piece } => Value::record([
                ("type", "token".into()),
                ("node", text(node)),
                ("text", text(piece)),
            ]),
            Event::NodeComplete { node, update } => Value::record([
                ("type", "node_complete".into()),
                ("node", text(node)),
                ("update", map(update)),
            ]),
            Event::Error { node: Some(node), error } => Value::record([
                ("type", "error".into()),
                ("node", text(node)),
                ("error", map(error)),
            ]),
            Event::Error { node: None, error } => {
                Value::record([("type", "error".into()), ("error", map(error))])
            }
            Event::Branch(index, event) => {
                let mut fields = event.to_value().as_map().cloned().unwrap_or_default();
                fields.insert("index".into(), Value::Int(*index as i128));
                Value::map(fields)
            }
            Event::Complete(state) => {
                Value::record([("type", "complete".into()), ("state", map(state))])
            }
        }
    }
}
