//! `tea chat`: one answer, or a conversation.

use std::io::{self, IsTerminal};
use std::rc::Rc;

use rustyline::error::ReadlineError;
use rustyline::DefaultEditor;
use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{Backend, ChatRequest, Message, Role};
use tea_core::llm::parameters;
use tea_core::value::{Map, Value};

use super::arguments::ChatOptions;
use super::error::Failure;
use super::registry::Models;
use super::{block_on, output, values};
use crate::stop;

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
        Some(prompt) => Some(prompt.clone()),
        None if on_terminal => None,
        None => Some(values::read_text(values::STDIN.as_ref())?),
    };
    if question.as_ref().is_some_and(|text| text.trim().is_empty()) {
        let hint = "try: tea chat \"Why is the sky blue?\"";
        return Err(Failure::Usage("there is no question".into(), hint.into()));
    }
    let models = Models::new(&options.model, Rc::new(values::environment()));
    let backend = models.backends.select(&settings, None)?;
    // The user's, where an empty one means none, else the bundle's.
    let system = options.system.clone().or_else(|| models.chat_system());
    let head = system.filter(|text| !text.is_empty()).map(|text| Message::new(Role::System, text));
    let request = parameters::sampling(&Map::new(), &settings);
    let Some(question) = question else {
        if let Some(local) = models.local() {
            local.load()?;
        }
        Conversation { backend, request, head, said: Vec::new() }.hold()?;
        return Ok(0);
    };
    let user = Message::new(Role::User, question.trim_end_matches('\n'));
    let prompt = head.is_none().then(|| user.content.clone());
    let request =
        ChatRequest { messages: head.into_iter().chain([user]).collect(), prompt, ..request };
    block_on(backend.chat(&request, Some(&output::answer)))?;
    output::answer("\n");
    Ok(0)
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

/// Turns of user and model on a terminal. The model's cache keeps what was said.
struct Conversation {
    backend: Rc<dyn Backend>,
    request: ChatRequest,
    head: Option<Message>,
    said: Vec<Message>,
}

impl Conversation {
    /// Talk until the user leaves.
    ///
    /// # Errors
    /// The model cannot chat at all. Later errors are printed, and the talk goes on.
    fn hold(&mut self) -> Result<(), Failure> {
        let mut editor = DefaultEditor::new().map_err(|error| no_terminal(&error))?;
        output::say(HELP);
        let _asking = stop::asking(); // from the end of one line to the beginning of the next
        loop {
            let line = match stop::while_prompting(|| editor.readline(PROMPT)) {
                Ok(line) => line.trim().to_string(),
                Err(ReadlineError::Eof) => {
                    output::answer("\n");
                    return Ok(());
                }
                Err(ReadlineError::Interrupted) => {
                    output::answer("\n");
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
                output::say("A new conversation.");
                Ok(())
            }
            Some(_) => {
                output::say(&format!("There is no {line}. {HELP}."));
                Ok(())
            }
            None => self.answer(line),
        }
    }

    fn answer(&mut self, line: &str) -> Result<(), Failure> {
        let pieces = std::cell::RefCell::new(String::new());
        let on_text = |text: &str| {
            pieces.borrow_mut().push_str(text);
            output::answer(text);
        };
        let user = Message::new(Role::User, line);
        let messages = self.head.iter().chain(&self.said).chain([&user]).cloned().collect();
        let request = ChatRequest { messages, ..self.request.clone() };
        match block_on(self.backend.chat(&request, Some(&on_text))) {
            Ok(_) => output::answer("\n"),
            Err(error) if stop::is_requested() => {
                if stop::must_leave() {
                    return Err(Failure::Engine(Error { kind: Kind::Interrupted, ..error }));
                }
                stop::forget_interrupt();
                output::answer(" …\n"); // what was said stays part of the conversation
            }
            // It cannot chat at all.
            Err(error) if error.kind == Kind::Model && self.said.is_empty() => {
                return Err(error.into())
            }
            Err(error) => {
                Failure::Engine(error).report();
                return Ok(());
            }
        }
        let said = pieces.into_inner();
        if !said.is_empty() {
            self.said.extend([user, Message::new(Role::Assistant, said)]);
        }
        Ok(())
    }
}

fn no_terminal(error: &ReadlineError) -> Failure {
    Failure::Engine(Error::new(Kind::File, format!("the terminal cannot be read: {error}")))
}
