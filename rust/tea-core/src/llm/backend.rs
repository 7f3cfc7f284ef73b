//! What the llm actions ask of a model, wherever it runs.
//!
//! The actions check parameters and choose a backend; a backend only answers. Both kinds are made
//! by factories that are handed in, so that a test can put a scripted model in the place of either.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::actions::LocalFuture;
use crate::errors::{Error, Kind};
use crate::spec::Sampling;
use crate::value::Map;

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
}

impl Role {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }

    /// The role that the word names.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Role> {
        [Role::System, Role::User, Role::Assistant].into_iter().find(|role| role.word() == word)
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who said it.
    pub role: Role,
    /// What was said.
    pub content: Arc<str>,
}

impl Message {
    /// A message.
    pub fn new(role: Role, content: impl Into<Arc<str>>) -> Message {
        Message { role, content: content.into() }
    }
}

/// A conversation to go on with, and how to sample the answer.
#[derive(Debug, Clone, PartialEq)]
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
            FinishReason::Other(word) => word,
        }
    }
}

/// An answer. Token counts are of the model's own tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    made: [RefCell<Option<Made>>; 2],
}

impl Backends {
    /// `choice` is the command line's, which goes before the file's.
    #[must_use]
    pub fn new(
        local: BackendFactory,
        api: BackendFactory,
        choice: Option<BackendChoice>,
    ) -> Backends {
        Backends { local, api, choice, made: [RefCell::new(None), RefCell::new(None)] }
    }

    /// The backend for one call, never the other one when the chosen one fails.
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
        let (index, factory) = match name {
            BackendName::Local => (0, &self.local),
            BackendName::Api => (1, &self.api),
        };
        if let Some(made) = &*self.made[index].borrow() {
            return Ok(made.clone());
        }
        let made = factory(settings)?;
        *self.made[index].borrow_mut() = Some(made.clone());
        Ok(made)
    }
}
