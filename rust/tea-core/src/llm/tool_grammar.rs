//! The grammar that holds an answer to a form of tool calls, in llguidance's notation of Lark.
//!
//! Where the model may answer in words, the text is free until it begins like a call.

use super::backend::{ChatRequest, ToolChoice};
use super::tool_form::{offered, ToolForm};
use crate::schema::held;
use crate::value::{json, Map, Value};

/// `free`: an answer may also be words; `more`: a call after the first; `call` is what goes before
/// and after the arguments.
struct Rules {
    held: &'static str,
    free: &'static str,
    calls: &'static str,
    more: &'static str,
    call: (&'static str, &'static str),
}

const HERMES: Rules = Rules {
    held: r#"start: "<tool_call>" calls"#,
    free: "start: FREE | mark calls\n\
           FREE: /(?s:.*)/ & ~/(?s:.*<tool_call>.*)/\n\
           mark[suffix=\"<tool_call>\"]: /(?s:.*)/",
    calls: "calls: call MORE",
    more: r#"("\n<tool_call>" call)"#,
    call: (r#""\n{\"name\": \"NAME\", \"arguments\": ""#, r#""}\n</tool_call>""#),
};
const LLAMA3: Rules = Rules {
    held: "start: calls",
    free: "start: FREE | calls\nFREE: /(?s:.*)/ & ~/(?s:\\s*\\{\\s*\"name\".*)/",
    calls: "calls: call",
    more: "",
    call: (r#""{\"name\": \"NAME\", \"parameters\": ""#, r#""}""#),
};
const JSON: Rules = Rules {
    held: "start: calls",
    free: "start: FREE | calls\nFREE: /(?s:.*)/ & ~/(?s:\\s*\\{\\s*\"tool_calls\".*)/",
    calls: r#"calls: "{\"tool_calls\": [" call MORE "]}""#,
    more: r#"(", " call)"#,
    call: (r#""{\"name\": \"NAME\", \"arguments\": ""#, r#""}""#),
};
/// Of one answer: small models repeat themselves without end.
const MOST_CALLS: usize = 8;
const OTHER_KEYS: [&str; 3] =
    ["additionalProperties", "patternProperties", "unevaluatedProperties"];

/// What holds the answer to a request; None where no tool may be called.
#[must_use]
pub fn grammar(form: ToolForm, request: &ChatRequest) -> Option<String> {
    if offered(request).is_empty() {
        return None;
    }
    let rules = match form {
        ToolForm::Hermes => HERMES,
        ToolForm::Llama3 => LLAMA3,
        ToolForm::Json => JSON,
    };
    let is_wanted = |name: &str| match &request.tool_choice {
        ToolChoice::Named(wanted) => **wanted == *name,
        _ => true,
    };
    let tools: Vec<_> = request.tools.iter().filter(|tool| is_wanted(&tool.name)).collect();
    let free = request.tool_choice == ToolChoice::Auto;
    let names: Vec<String> = (0..tools.len()).map(|number| format!("call_{number}")).collect();
    let mut lines = vec![if free { rules.free } else { rules.held }.to_string()];
    let more = match request.tool_choice {
        ToolChoice::Named(_) => String::new(),
        _ => format!("{}{{0,{}}}", rules.more, MOST_CALLS - 1),
    };
    lines.push(rules.calls.replace("MORE", &more));
    lines.push(format!("call: {}", names.join(" | ")));
    let (head, tail) = rules.call;
    for (name, tool) in names.iter().zip(tools) {
        lines.push(format!("{name}: {} {name}_arguments {tail}", head.replace("NAME", &tool.name)));
        let schema = json::write(&held(&tool.parameters), None);
        lines.push(format!("{name}_arguments: %json {schema}"));
    }
    Some(lines.join("\n") + "\n")
}

/// The schema in the style of one line; a model adds no arguments that it does not name.
fn held(schema: &Value) -> Value {
    let mut held: Map = held::for_decoding(schema).as_map().cloned().unwrap_or_default();
    if !OTHER_KEYS.iter().any(|key| held.contains_key(*key)) {
        held.insert("additionalProperties".into(), false.into());
    }
    let style = [
        ("whitespace_flexible", false.into()),
        ("item_separator", ", ".into()),
        ("key_separator", ": ".into()),
    ];
    held.insert("x-guidance".into(), Value::record(style));
    Value::map(held)
}
