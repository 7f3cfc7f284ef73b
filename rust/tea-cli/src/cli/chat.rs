//! `tea chat`: one answer, or a conversation.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::rc::Rc;

use rustyline::error::ReadlineError;
use rustyline::DefaultEditor;
use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{Backend, ChatRequest, Message, Role, MAX_PROMPT};
use tea_core::llm::parameters;
use tea_core::value::{Map, Value};

use super::arguments::ChatOptions;
use super::error::Failure;
use super::registry::Models;
use super::{block_on, values};
use crate::{stop, streams};

/// What stands before the user's line.
pub const PROMPT: &str = "> ";
const HELP: &str = "/reset begins anew, /quit or Ctrl-D leaves, Ctrl-C stops an answer";

/// Answer once, or hold a conversation when there is a terminal; returns the exit code.
///
/// # Errors
/// Wrong options, no model, or (with one answer) anything that goes wrong.
pub fn chat_command(options: &ChatOptions) -> Result<u8, Failure> {
    let settings = settings(options)?;
    let on_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    let question = match &options.prompt {
        None if on_terminal => None,
        prompt => Some(question(prompt.as_deref())?),
    };
    let models = Models::new(&options.model, Rc::new(values::environment()));
    let backend = models.backends.select(&settings, None)?;
    // The user's, where an empty one means none, else the bundle's.
    let system = options.system.clone().or_else(|| models.chat_system());
    let head = system.filter(|text| !text.is_empty()).map(|text| Message::new(Role::System, text));
    let mut request = parameters::sampling(&Map::new(), &settings);
    if let (None, Some(local)) = (options.max_tokens, models.local()) {
        request.sampling.max_tokens =
            request.sampling.max_tokens.min(u64::from(block_on(local.load())?) / 2);
    }
    let said = Vec::new();
    let mut talk = Conversation { backend, request, head, said, forgets: options.forget };
    match question {
        Some(question) => talk.answer(&question)?,
        None => talk.hold()?,
    }
    Ok(0)
}

/// What to ask: the prompt, a blank line and what is piped in, or either alone.
fn question(prompt: Option<&str>) -> Result<String, Failure> {
    let asked = prompt.filter(|text| *text != values::STDIN);
    let piped = match asked {
        Some(_) if !values::is_piped() => None,
        _ => Some(values::read_start(values::STDIN.as_ref(), Some(MAX_PROMPT))?),
    };
    let parts = asked.into_iter().chain(piped.as_deref());
    let parts: Vec<&str> = parts
        .filter(|part| !part.trim().is_empty())
        .map(|part| part.trim_end_matches('\n'))
        .collect();
    if parts.is_empty() {
        let hint = "try: tea chat \"Why is the sky blue?\"";
        return Err(Failure::Usage("there is no question".into(), hint.into()));
    }
    Ok(parts.join("\n\n"))
}

/// The options as `settings.llm` would have them, checked.
fn settings(options: &ChatOptions) -> Result<Map, Failure> {
    let text = |text: &Option<String>| text.as_ref().map(Value::text);
    let given = [
        ("temperature", options.temperature.map(Value::Float)),
        ("max_tokens", options.max_tokens.map(Value::Int)),
        ("seed", options.seed.map(Value::Int)),
        ("model", text(&options.name)),
        ("api_base", text(&options.api_base)),
    ];
    let given = given.into_iter().filter_map(|(key, value)| Some((key.into(), value?)));
    let settings: Map = given.collect();
    if let Some((key, message)) = parameters::settings_problems(&settings).first() {
        return Err(Failure::usage(format!("--{}: {message}", key.replace('_', "-"))));
    }
    Ok(settings)
}

/// Turns of user and model. The model's cache keeps what was said.
struct Conversation {
    backend: Rc<dyn Backend>,
    request: ChatRequest,
    head: Option<Message>,
    said: Vec<Message>,
    forgets: bool, // the oldest turns are dropped when the context is full
}

impl Conversation {
    /// Talk on a terminal until the user leaves.
    ///
    /// # Errors
    /// The model cannot chat at all. Later errors are printed, and the talk goes on.
    fn hold(&mut self) -> Result<(), Failure> {
        let mut editor = DefaultEditor::new().map_err(|error| no_terminal(&error))?;
        streams::say(HELP);
        let _guard = stop::cancel_guard(); // from the end of one line to the beginning of the next
        loop {
            let line = match stop::while_prompting(|| editor.readline(PROMPT)) {
                Ok(line) => line.trim().to_string(),
                Err(ReadlineError::Eof) => {
                    streams::answer("\n");
                    return Ok(());
                }
                Err(ReadlineError::Interrupted) => {
                    streams::answer("\n");
                    continue;
                }
                Err(error) => return Err(no_terminal(&error)),
            };
            if line == "/quit" {
                return Ok(());
            }
            if !line.is_empty() {
                let _ = editor.add_history_entry(&line);
                self.take(&line)?;
            }
        }
    }

    fn take(&mut self, line: &str) -> Result<(), Failure> {
        let command = line
            .strip_prefix('/')
            .filter(|word| !word.is_empty() && word.chars().all(char::is_alphabetic));
        match command {
            Some("reset") => {
                self.said.clear();
                streams::say("A new conversation.");
            }
            Some(_) => streams::say(&format!("There is no {line}. {HELP}.")),
            None => match self.answer(line) {
                Err(error) if error.kind == Kind::Interrupted => {
                    if stop::must_leave() {
                        return Err(error.into());
                    }
                    stop::forget_interrupt();
                }
                // It cannot chat at all.
                Err(error) if error.kind == Kind::Model && self.said.is_empty() => {
                    return Err(error.into())
                }
                Err(error) if error.kind == Kind::Limit && !self.said.is_empty() => {
                    let hint = "/reset begins anew; tea chat --forget drops the oldest turns";
                    Failure::Engine(error.hint(hint)).report();
                }
                Err(error) => {
                    Failure::Engine(error).report();
                }
                Ok(()) => {}
            },
        }
        Ok(())
    }

    /// Ask `text` and print the answer as it comes; both become part of the conversation.
    ///
    /// # Errors
    /// There is no answer, or only the beginning of one.
    fn answer(&mut self, text: &str) -> Result<(), Error> {
        let user = Message::new(Role::User, text);
        let pieces = RefCell::new(String::new());
        let on_text = |text: &str| {
            pieces.borrow_mut().push_str(text);
            streams::answer(text);
        };
        let result = loop {
            let messages: Vec<Message> =
                self.head.iter().chain(&self.said).chain([&user]).cloned().collect();
            // A model without a chat template completes a prompt.
            let prompt = (messages.len() == 1).then(|| user.content.clone());
            let request = ChatRequest { messages, prompt, ..self.request.clone() };
            match block_on(self.backend.chat(&request, Some(&on_text))) {
                Err(error)
                    if error.kind == Kind::Limit && self.forgets && !self.said.is_empty() =>
                {
                    self.said.drain(..2);
                    streams::say("(the oldest question and its answer are forgotten)");
                }
                other => break other,
            }
        };
        let said = pieces.into_inner();
        let result = match result {
            Err(error) if stop::is_requested() => Err(Error { kind: Kind::Interrupted, ..error }),
            other => other.map(drop),
        };
        match &result {
            Ok(()) => streams::answer("\n"),
            Err(_) if said.is_empty() => {}
            Err(error) if error.kind == Kind::Interrupted => streams::answer(" …\n"),
            Err(_) => {
                streams::answer("\n");
                return result;
            }
        }
        if !said.is_empty() {
            self.said.extend([user, Message::new(Role::Assistant, said)]);
        }
        result
    }
}

fn no_terminal(error: &ReadlineError) -> Failure {
    Failure::Engine(Error::new(Kind::File, format!("the terminal cannot be read: {error}")))
}
