//! Tools, calls and results in the formats of the models whose templates know them.

#![allow(clippy::unwrap_used)] // a test that cannot read its data fails

use std::fs;
use std::path::{Path, PathBuf};

use chrono::NaiveDateTime;

use tea_core::errors::Error;
use tea_core::llm::backend::{Message, Role, Tool, ToolCall};
use tea_core::llm::chat_template::ChatTemplate;
use tea_core::llm::tool_form::{framed, ToolForm};
use tea_core::value::{Map, Value};
use tea_core::yaml::compose;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tea/llm/chat_templates")
}

fn data() -> Map {
    let text = fs::read_to_string(folder().join("tools.yaml")).unwrap();
    compose::parse(&text, "tools.yaml").unwrap().plain().as_map().unwrap().clone()
}

fn source(family: &str) -> String {
    fs::read_to_string(folder().join(format!("{family}.jinja"))).unwrap()
}

fn text<'m>(map: &'m Map, key: &str) -> Option<&'m str> {
    map.get(key).and_then(Value::as_text)
}

fn message(turn: &Value) -> Message {
    let turn = turn.as_map().unwrap();
    let calls = turn.get("tool_calls").and_then(Value::as_list).unwrap_or_default();
    Message {
        tool_calls: calls.iter().filter_map(ToolCall::from_value).collect(),
        tool_call_id: text(turn, "tool_call_id").map(Into::into),
        name: text(turn, "name").map(Into::into),
        ..Message::new(
            Role::from_word(text(turn, "role").unwrap()).unwrap(),
            text(turn, "content").unwrap(),
        )
    }
}

fn tool(given: &Value) -> Value {
    framed(&Tool::from_value(given).unwrap())
}

fn moment() -> NaiveDateTime {
    NaiveDateTime::default()
}

#[test]
fn tools_calls_and_results_render_to_the_documented_format() {
    let data = data();
    let tools: Vec<Value> = data["tools"].as_list().unwrap().iter().map(tool).collect();
    let conversations = data["conversations"].as_map().unwrap();
    for (family, facts) in data["families"].as_map().unwrap() {
        let template =
            ChatTemplate::new(&source(family), "<|begin_of_text|>", "<|eot_id|>", moment).unwrap();
        let rendered = |conversation: &str| -> Result<String, Error> {
            let turns = conversations[conversation].as_list().unwrap();
            template.render(&turns.iter().map(message).collect::<Vec<_>>(), &tools, None)
        };
        let facts = facts.as_map().unwrap();
        for (conversation, expected) in facts["renders"].as_map().unwrap() {
            assert_eq!(rendered(conversation).unwrap(), expected.as_text().unwrap(), "{family}");
        }
        let errors = facts.get("errors").and_then(Value::as_map).cloned().unwrap_or_default();
        for (conversation, said) in &errors {
            let error = rendered(conversation).unwrap_err();
            assert!(error.message.contains(said.as_text().unwrap()), "{error}");
        }
    }
}

#[test]
fn the_form_of_a_template_is_seen_in_its_text() {
    let data = data();
    for (family, form) in data["forms"].as_map().unwrap() {
        let found = ToolForm::of_template(&source(family));
        assert_eq!(found.word(), form.as_text().unwrap(), "{family}");
    }
    for other in data["other"].as_list().unwrap() {
        assert_eq!(ToolForm::of_template(other.as_text().unwrap()), ToolForm::Json);
    }
}
