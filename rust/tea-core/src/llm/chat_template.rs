//! A model's own chat template, rendered the way its publisher's tools render it.
//!
//! Source: Hugging Face's documentation of chat templates (the environment's options and names).

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use chrono::NaiveDateTime;
use indexmap::IndexMap;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{context, AutoEscape, Environment, ErrorKind};

use super::backend::{Message, Role};
use super::tool_form;
use crate::errors::{Error, Kind};
use crate::value::json::{self, Style};
use crate::value::text::strip;
use crate::value::{Map, Value};

/// One model's template with its special tokens.
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    refusal: Arc<Mutex<Option<String>>>,
}

const NAME: &str = "chat template";
/// In place of a text that a template may have taken out.
const OTHER_TEXT: &str = "Be brief.";

impl ChatTemplate {
    /// Compile `source`.
    ///
    /// # Errors
    /// `ModelError`: it is not a template.
    pub fn new(
        source: &str,
        bos_token: &str,
        eos_token: &str,
        now: impl Fn() -> NaiveDateTime + Send + Sync + 'static,
    ) -> Result<ChatTemplate, Error> {
        let damaged = |error: &dyn std::fmt::Display| {
            Error::new(Kind::Model, format!("the model's chat template is damaged: {error}"))
        };
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| damaged(&error))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("strftime_now", move |form: &str| strftime(now(), form));
        let refusal = Arc::new(Mutex::new(None));
        let refused = refusal.clone();
        environment.add_function("raise_exception", move |message: String| {
            if let Ok(mut refused) = refused.lock() {
                *refused = Some(message.clone());
            }
            Err::<String, _>(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment
            .add_template_owned(NAME, without_generation_marks(source))
            .map_err(|error| damaged(&error))?;
        let (bos_token, eos_token) = (bos_token.into(), eos_token.into());
        Ok(ChatTemplate { environment, bos_token, eos_token, refusal })
    }

    /// The text that the model is to go on with.
    ///
    /// A template that refuses or ignores the system text gets it at the head of the first user
    /// turn, which is what templates of such models do when they do anything. `tools` are what
    /// the model may call, each in OpenAI's frame, for a template that knows tools. `thinking`
    /// is its switch, where it has one; None leaves it alone.
    ///
    /// # Errors
    /// `ModelError`: the template refuses the order of roles, fails, or leaves out a text.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &[Value],
        thinking: Option<bool>,
    ) -> Result<String, Error> {
        let folded = fold_system(messages);
        let error = match self.render_whole(messages, tools, thinking) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        match folded {
            Some(folded) => self.render_whole(&folded, tools, thinking),
            None => Err(error),
        }
    }

    fn render_whole(
        &self,
        messages: &[Message],
        tools: &[Value],
        thinking: Option<bool>,
    ) -> Result<String, Error> {
        let text = self.render_once(messages, tools, thinking)?;
        match self.ignored(messages, tools, thinking, &text) {
            Some(message) => Err(left_out(message)),
            None => Ok(text),
        }
    }

    /// A message that makes no difference to `text`, which they were rendered to.
    ///
    /// A template may take words out on purpose, such as `/no_think`: then another text in the
    /// message's place gives another result. Answers are not looked at: templates take the
    /// reasoning out of earlier ones.
    fn ignored<'m>(
        &self,
        messages: &'m [Message],
        tools: &[Value],
        thinking: Option<bool>,
        text: &str,
    ) -> Option<&'m Message> {
        let is_ignored = |number: usize, message: &Message| {
            if message.role == Role::Assistant || text.contains(strip(&message.content)) {
                return false;
            }
            let mut others = messages.to_vec();
            others[number].content = OTHER_TEXT.into();
            self.render_once(&others, tools, thinking).map_or(true, |other| other == text)
        };
        let mut numbered = messages.iter().enumerate();
        numbered.find(|(number, message)| is_ignored(*number, message)).map(|(_, message)| message)
    }

    fn render_once(
        &self,
        messages: &[Message],
        tools: &[Value],
        thinking: Option<bool>,
    ) -> Result<String, Error> {
        let messages: Vec<_> = messages.iter().map(|each| given(&message_data(each))).collect();
        let none = minijinja::Value::from(());
        let tools = match tools {
            [] => none.clone(),
            tools => tools.iter().map(given).collect(),
        };
        let given = context! {
            messages, add_generation_prompt => true, tools, documents => none,
            bos_token => self.bos_token.as_str(), eos_token => self.eos_token.as_str(),
        };
        let given = match thinking {
            Some(enable_thinking) => context! { enable_thinking, ..given },
            None => given,
        };
        if let Ok(mut refusal) = self.refusal.lock() {
            *refusal = None;
        }
        let template = self.environment.get_template(NAME);
        template.and_then(|template| template.render(given)).map_err(|error| {
            let refusal = self.refusal.lock().ok().and_then(|mut refusal| refusal.take());
            match refusal {
                Some(message) => Error::new(
                    Kind::Model,
                    format!("the model's chat template refuses these messages: {message}"),
                )
                .hint("most models want one system text, then user and assistant in turns"),
                None => {
                    Error::new(Kind::Model, format!("the model's chat template failed: {error}"))
                }
            }
        })
    }
}

/// A message as templates take it: what it lacks is left out.
fn message_data(message: &Message) -> Value {
    let mut data = message.to_value().as_map().cloned().unwrap_or_default();
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter().map(tool_form::framed_call).collect();
        data.insert("tool_calls".into(), Value::list(calls));
    }
    Value::map(data)
}

/// JSON data as the template language has it.
fn given(value: &Value) -> minijinja::Value {
    match value {
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => (**text).into(),
        Value::List(items) => items.iter().map(given).collect(),
        Value::Map(map) => {
            let items = map.iter().map(|(key, item)| (minijinja::Value::from(&**key), given(item)));
            minijinja::Value::from_object(items.collect::<IndexMap<_, _>>())
        }
        _ => ().into(),
    }
}

/// The messages with the system text at the head of the first user turn.
fn fold_system(messages: &[Message]) -> Option<Vec<Message>> {
    let [first, second, rest @ ..] = messages else { return None };
    if first.role != Role::System || second.role != Role::User {
        return None;
    }
    let (system, user) = (strip(&first.content), &second.content);
    let content = if system.is_empty() { user.to_string() } else { format!("{system}\n\n{user}") };
    let mut folded = vec![Message::new(Role::User, content)];
    folded.extend_from_slice(rest);
    Some(folded)
}

fn left_out(message: &Message) -> Error {
    let role = message.role.word();
    Error::new(Kind::Model, format!("the model's chat template leaves out a {role} text"))
        .hint("put the text into a user message")
}

/// `source` without `{% generation %}`, which marks the model's own words for training and has no
/// effect here. A comment with the same white space control takes its place.
fn without_generation_marks(source: &str) -> String {
    let mut result = String::new();
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        result.push_str(&rest[..start]);
        rest = &rest[start..];
        match generation_mark(rest) {
            Some((comment, length)) => {
                result.push_str(&comment);
                rest = &rest[length..];
            }
            None => {
                result.push_str("{%");
                rest = &rest[2..];
            }
        }
    }
    result + rest
}

/// The comment for a mark at the head of `text`, and the mark's length in bytes.
fn generation_mark(text: &str) -> Option<(String, usize)> {
    let signs = ['-', '+'];
    let inner = &text[2..text.find("%}")?];
    let before = inner.strip_prefix(signs).map_or("", |rest| &inner[..inner.len() - rest.len()]);
    let inner_rest = &inner[before.len()..];
    let after = inner_rest.strip_suffix(signs).map_or("", |rest| &inner_rest[rest.len()..]);
    let word = inner_rest[..inner_rest.len() - after.len()].trim();
    matches!(word, "generation" | "endgeneration")
        .then(|| (format!("{{#{before} {after}#}}"), inner.len() + 4))
}

fn tojson(
    value: minijinja::Value,
    indent: Option<usize>,
    options: Kwargs,
) -> Result<String, minijinja::Error> {
    let indent = match options.get::<Option<usize>>("indent")? {
        Some(indent) => Some(indent),
        None => indent,
    };
    let ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sorted = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let mut style = Style { ascii, ..Style::new(indent) };
    if let Some([comma, colon]) = separators.as_deref() {
        (style.comma, style.colon) = (comma, colon);
    }
    Ok(json::write_styled(&data(&value, sorted)?, &style))
}

fn data(value: &minijinja::Value, sorted: bool) -> Result<Value, minijinja::Error> {
    Ok(match value.kind() {
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number if value.is_integer() => Value::Int(i128::try_from(value.clone())?),
        ValueKind::Number => Value::Float(f64::try_from(value.clone())?),
        ValueKind::String => Value::text(value.as_str().unwrap_or_default()),
        ValueKind::Map => {
            let mut map = Map::new();
            for key in value.try_iter()? {
                let item = data(&value.get_item(&key)?, sorted)?;
                map.insert(key.to_string().into(), item);
            }
            if sorted {
                map.sort_keys();
            }
            Value::map(map)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Result<_, _> = value.try_iter()?.map(|item| data(&item, sorted)).collect();
            Value::list(items?)
        }
        kind => {
            let message = format!("{kind} is not JSON data");
            return Err(minijinja::Error::new(ErrorKind::InvalidOperation, message));
        }
    })
}

/// Write a moment the way `form` says, in English.
fn strftime(time: NaiveDateTime, form: &str) -> Result<String, minijinja::Error> {
    let mut shown = String::new();
    write!(shown, "{}", time.format(form)).map_err(|_| {
        let message = format!("{form:?} is no form of a date");
        minijinja::Error::new(ErrorKind::InvalidOperation, message)
    })?;
    Ok(shown)
}
