//! What the llm actions ask of a model, wherever it runs.
//!
//! The actions check parameters and choose a backend; a backend only answers. Both kinds are made
//! by factories that are handed in, so that a test can put a scripted model in the place of either.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::api_settings::API;
use super::shape::Shape;
use crate::actions::LocalFuture;
use crate::errors::{Error, Kind};
use crate::spec::Sampling;
use crate::value::{Map, Value};

/// What to say where there is no local model.
pub const NO_MODEL: &str = "no model found";
/// What to do about it.
pub const NO_MODEL_HINT: &str = "name a GGUF file with --gguf, TEA_MODEL_PATH or \
                                 settings.llm.model_path, or put one beside the AppImage \
                                 or into ~/.cache/tea/models";
/// Bytes of a prompt that are read, or sent to an API.
pub const MAX_PROMPT: usize = 16_000_000;
const NO_API: &str = "no API is configured";
const NO_API_HINT: &str = "set settings.llm.api_base, or OPENAI_API_KEY in the environment";

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Instructions.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// What a tool gave.
    Tool,
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }

    /// The role that the word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Role> {
        let all = [Role::System, Role::User, Role::Assistant, Role::Tool];
        all.into_iter().find(|role| role.word() == word)
    }
}

/// What a model may call.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Its name.
    pub name: Arc<str>,
    /// What it does; may be empty.
    pub description: Arc<str>,
    /// The JSON Schema of its arguments.
    pub parameters: Value,
}

impl Tool {
    /// The tool that a map of these keys describes.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<Tool> {
        let map = value.as_map()?;
        let text = |key: &str| map.get(key).and_then(Value::as_text).map(Arc::<str>::from);
        let parameters = map.get("parameters")?.clone();
        Some(Tool { name: text("name")?, description: text("description")?, parameters })
    }

    /// As requests have it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::record([
            ("name", Value::Text(self.name.clone())),
            ("description", Value::Text(self.description.clone())),
            ("parameters", self.parameters.clone()),
        ])
    }
}

/// A tool that a model calls.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// Its own in a conversation.
    pub id: Arc<str>,
    /// The tool's.
    pub name: Arc<str>,
    /// By name.
    pub arguments: Map,
}

impl ToolCall {
    /// The call that a map of these keys describes.
    #[must_use]
    pub fn from_value(value: &Value) -> Option<ToolCall> {
        let map = value.as_map()?;
        let text = |key: &str| map.get(key).and_then(Value::as_text).map(Arc::<str>::from);
        let arguments = map.get("arguments")?.as_map()?.clone();
        Some(ToolCall { id: text("id")?, name: text("name")?, arguments })
    }

    /// As results have it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::record([
            ("id", Value::Text(self.id.clone())),
            ("name", Value::Text(self.name.clone())),
            ("arguments", Value::map(self.arguments.clone())),
        ])
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: Arc<str>,
    /// Of an assistant: what it called.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool: whose result this is.
    pub tool_call_id: Option<Arc<str>>,
    /// Of a tool: its name.
    pub name: Option<Arc<str>>,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<Arc<str>>) -> Message {
        let content = content.into();
        Message { role, content, tool_calls: Vec::new(), tool_call_id: None, name: None }
    }

    /// As requests have it: what it lacks is left out.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut fields =
            vec![("role", self.role.word().into()), ("content", Value::Text(self.content.clone()))];
        if !self.tool_calls.is_empty() {
            let calls = self.tool_calls.iter().map(ToolCall::to_value).collect();
            fields.push(("tool_calls", Value::list(calls)));
        }
        let id = self.tool_call_id.clone().map(|id| ("tool_call_id", Value::Text(id)));
        let name = self.name.clone().map(|name| ("name", Value::Text(name)));
        fields.extend(id.into_iter().chain(name));
        Value::map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

/// Whether and what a model is to call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// The model decides.
    #[default]
    Auto,
    /// Nothing.
    None,
    /// One of the tools.
    Required,
    /// The tool of this name.
    Named(Arc<str>),
}

impl ToolChoice {
    /// The choice that the word, or a tool's name, stands for.
    #[must_use]
    pub fn from_word(word: &str) -> ToolChoice {
        match word {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            name => ToolChoice::Named(name.into()),
        }
    }

    /// The word, or the tool's name.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            ToolChoice::Auto => "auto",
            ToolChoice::None => "none",
            ToolChoice::Required => "required",
            ToolChoice::Named(name) => name,
        }
    }
}

/// A conversation to go on with, and how to sample the answer.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    /// Never empty.
    pub messages: Vec<Message>,
    /// Given only when the call had a prompt and no system text: a model without a chat template
    /// then completes it as plain text.
    pub prompt: Option<Arc<str>>,
    /// How to choose the tokens.
    pub sampling: Sampling,
    /// None means a new one each time.
    pub seed: Option<u32>,
    /// Texts that end an answer.
    pub stop: Vec<Arc<str>>,
    /// API only.
    pub model: Option<Arc<str>>,
    /// API only: seconds for the whole call.
    pub timeout: f64,
    /// API only.
    pub max_retries: u64,
    /// The fields that an API is to choose itself.
    pub unsent: Vec<&'static str>,
    /// What an API is sent `max_tokens` as.
    pub limit_name: &'static str,
    /// What the answer is held to; None: free text.
    pub shape: Option<Shape>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether and what it is to call.
    pub tool_choice: ToolChoice,
    /// Whether the model is to think first; None: as the chat template has it.
    pub thinking: Option<bool>,
    /// What a `response_format` has beside the schema, API only: name, strict, description.
    pub schema_options: Map,
}

impl ChatRequest {
    /// What a host must know to answer, as data.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let stop = self.stop.iter().cloned().map(Value::Text).collect();
        let own = [
            ("messages", Value::list(self.messages.iter().map(Message::to_value).collect())),
            ("prompt", self.prompt.clone().map_or(Value::Null, Value::Text)),
            ("seed", self.seed.map_or(Value::Null, |seed| Value::Int(seed.into()))),
            ("stop", Value::list(stop)),
            ("thinking", self.thinking.map_or(Value::Null, Value::Bool)),
            ("shape", self.shape.as_ref().map_or(Value::Null, Shape::to_value)),
            ("tools", Value::list(self.tools.iter().map(Tool::to_value).collect())),
            ("tool_choice", self.tool_choice.word().into()),
        ];
        let sampling = self.sampling.fields().map(|(key, number)| (key, number.into()));
        let all = own.into_iter().chain(sampling);
        Value::map(all.map(|(key, value)| (key.into(), value)).collect())
    }
}

/// Texts to turn into vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedRequest {
    /// Never empty.
    pub texts: Vec<Arc<str>>,
    /// API only.
    pub model: Option<Arc<str>>,
    /// API only: seconds for the whole call.
    pub timeout: f64,
    /// API only.
    pub max_retries: u64,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// The model or a stop text ended it.
    Stop,
    /// It reached `max_tokens`.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// What else an API says.
    Other(String),
}

impl FinishReason {
    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::ToolCalls => "tool_calls",
            FinishReason::Other(word) => word,
        }
    }
}

/// An answer. Token counts are of the model's own tokenizer.
#[derive(Debug, Clone)]
pub struct ChatReply {
    /// The answer.
    pub content: String,
    /// The model's name.
    pub model: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// What the answer means, of one that was held to a shape.
    pub data: Option<Value>,
    /// What the model thought before it.
    pub reasoning: Option<String>,
    /// What the model calls.
    pub tool_calls: Vec<ToolCall>,
}

impl ChatReply {
    /// The reply with its `data`, once it is known to have the shape. One that calls tools has
    /// none.
    ///
    /// # Errors
    /// `LimitError`: `max_tokens` cut the answer; `failure`: it has another shape.
    pub fn held_to(mut self, shape: Option<&Shape>, failure: Kind) -> Result<ChatReply, Error> {
        let Some(shape) = shape.filter(|_| self.tool_calls.is_empty()) else { return Ok(self) };
        if self.finish_reason == FinishReason::Length {
            let tokens = self.completion_tokens;
            let message =
                format!("max_tokens cut the answer after {tokens} tokens, before it had its shape");
            let hint = "raise max_tokens, or bound what the shape lets grow: maxLength, maxItems";
            return Err(Error::limit(message).hint(hint));
        }
        let wrong = |what| Error::new(failure, format!("the model answered with {what}"));
        self.data = Some(shape.data(&self.content).map_err(wrong)?);
        Ok(self)
    }
}

/// One vector for each text, in the order of the texts.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedReply {
    /// The vectors.
    pub embeddings: Vec<Vec<f64>>,
    /// The model's name.
    pub model: String,
    /// Tokens of all texts.
    pub tokens: u64,
}

/// What the likelihood of a choice is divided by before they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Normalize {
    /// Nothing.
    #[default]
    None,
    /// Its length in bytes.
    PerByte,
}

/// A conversation, and the texts that it may go on with.
#[derive(Debug, Clone)]
pub struct DecideRequest {
    /// Never empty.
    pub messages: Vec<Message>,
    /// As in a `ChatRequest`.
    pub prompt: Option<Arc<str>>,
    /// Never empty; none is empty or there twice.
    pub choices: Vec<Arc<str>>,
    /// What their likelihoods are divided by.
    pub normalize: Normalize,
    /// As in a `ChatRequest`.
    pub thinking: Option<bool>,
}

/// How likely each choice is.
#[derive(Debug, Clone, PartialEq)]
pub struct DecideReply {
    /// In the order of the choices; their sum is 1.
    pub probabilities: Vec<f64>,
}

/// Which of the two ways to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendName {
    /// A model in this process.
    Local,
    /// A model behind an address.
    Api,
}

impl BackendName {
    /// The word for it, as results have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            BackendName::Local => "local",
            BackendName::Api => "api",
        }
    }
}

/// Which way was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendChoice {
    /// Never the network.
    Local,
    /// The API.
    Api,
    /// Local when a model is found, else the API if one is configured.
    Auto,
}

impl BackendChoice {
    /// The choice that the word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<BackendChoice> {
        match word {
            "local" => Some(BackendChoice::Local),
            "api" => Some(BackendChoice::Api),
            "auto" => Some(BackendChoice::Auto),
            _ => None,
        }
    }
}

/// Takes each new piece of an answer, never half a character.
pub type OnText<'a> = &'a dyn Fn(&str);

/// A model that answers.
pub trait Backend {
    /// What becomes the `backend` of a result.
    fn name(&self) -> BackendName;

    /// Answer. With `on_text` the pieces are given as they come.
    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: Option<OnText<'a>>,
    ) -> LocalFuture<'a, Result<ChatReply, Error>>;

    /// Turn texts into vectors.
    fn embed<'a>(&'a self, request: &'a EmbedRequest)
        -> LocalFuture<'a, Result<EmbedReply, Error>>;

    /// Say how likely each of several texts is as the answer.
    fn decide<'a>(
        &'a self,
        request: &'a DecideRequest,
    ) -> LocalFuture<'a, Result<DecideReply, Error>>;
}

/// Makes a backend from the file's rendered `settings.llm`; None when there is nothing to make one
/// of (no model found, no API configured). Loads and connects to nothing yet.
pub type BackendFactory = Box<dyn Fn(&Map) -> Result<Option<Rc<dyn Backend>>, Error>>;

/// What a factory gave.
type Made = Option<Rc<dyn Backend>>;

/// The two ways to a model, each made at its first use and kept.
pub struct Backends {
    local: BackendFactory,
    api: BackendFactory,
    choice: Option<BackendChoice>,
    made_local: RefCell<Option<Made>>,
    made_apis: RefCell<HashMap<Vec<Option<String>>, Made>>,
}

impl Backends {
    /// `choice` is the command line's, which goes before the file's.
    #[must_use]
    pub fn new(
        local: BackendFactory,
        api: BackendFactory,
        choice: Option<BackendChoice>,
    ) -> Backends {
        Backends {
            local,
            api,
            choice,
            made_local: RefCell::default(),
            made_apis: RefCell::default(),
        }
    }

    /// The backend for one call, never the other one when the chosen one fails. `settings` are
    /// those of `api_settings`.
    ///
    /// # Errors
    /// `ModelError`: the local model is wanted, or nothing is said, and there is none; `ApiError`:
    /// the API is wanted and none is configured; what a factory gives.
    pub fn select(
        &self,
        settings: &Map,
        node_choice: Option<BackendChoice>,
    ) -> Result<Rc<dyn Backend>, Error> {
        let word = settings.get("backend").and_then(|value| value.as_text());
        let in_file = node_choice.or(word.and_then(BackendChoice::from_word));
        let choice = self.choice.or(in_file).unwrap_or(BackendChoice::Auto);
        if choice == BackendChoice::Api {
            let api = self.get(BackendName::Api, settings)?;
            return api.ok_or_else(|| Error::new(Kind::Api, NO_API).hint(NO_API_HINT));
        }
        if let Some(local) = self.get(BackendName::Local, settings)? {
            return Ok(local);
        }
        if choice == BackendChoice::Local {
            return Err(Error::new(Kind::Model, NO_MODEL).hint(NO_MODEL_HINT));
        }
        self.get(BackendName::Api, settings)?.ok_or_else(|| {
            Error::new(Kind::Model, format!("{NO_MODEL} and {NO_API}"))
                .hint(format!("{NO_MODEL_HINT}; or {NO_API_HINT}"))
        })
    }

    fn get(&self, name: BackendName, settings: &Map) -> Result<Option<Rc<dyn Backend>>, Error> {
        if name == BackendName::Local {
            if let Some(made) = &*self.made_local.borrow() {
                return Ok(made.clone());
            }
            let made = (self.local)(settings)?;
            *self.made_local.borrow_mut() = Some(made.clone());
            return Ok(made);
        }
        let text = |key: &&str| settings.get(*key).and_then(|value| value.as_text());
        let key: Vec<_> = API.iter().map(|key| text(key).map(String::from)).collect();
        if let Some(made) = self.made_apis.borrow().get(&key) {
            return Ok(made.clone());
        }
        let made = (self.api)(settings)?;
        self.made_apis.borrow_mut().insert(key, made.clone());
        Ok(made)
    }
}
