//! Plays a case on the engine in a page: another process that holds the WebAssembly module and
//! what the page gives it.
//!
//! Both sides write one JSON map a line. The process gets `run` with what is given, and asks for
//! what a host gives by `event`, `sleep`, `chat`, `embed`, `post`; its last line of a run is
//! `ended`. Texts of the engine cross as they are, since JavaScript knows no whole numbers.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use tea_core::errors::{Error, Failure, InvalidFile, Kind, Place, Problem, RunError};
use tea_core::json;
use tea_core::llm::api::{Http, HttpError, HttpRequest};
use tea_core::llm::backend::{Backend, ChatRequest, EmbedRequest, Message, Role};
use tea_core::value::{Map, Value};

use crate::case::{list, map, text, texts};
use crate::engine::block_on;
use crate::scripted::{Notes, Script, ScriptedApi, ScriptedModel};
use crate::stage::{Ended, Outcome, Stage};

/// The process with the engine.
pub struct Player {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What answers the questions of a run.
struct Answers {
    model: Option<ScriptedModel>,
    api: ScriptedApi,
    notes: Rc<RefCell<Notes>>,
}

impl Player {
    /// Start `command`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &[String]) -> Result<Player, String> {
        let [program, words @ ..] = command else { return Err("no command is given".into()) };
        let started =
            Command::new(program).args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.map_err(|error| format!("{program}: {error}"))?;
        match (process.stdin.take(), process.stdout.take()) {
            (Some(input), Some(output)) => {
                Ok(Player { process, input, output: BufReader::new(output) })
            }
            _ => Err(format!("{program}: it has no input or output")),
        }
    }

    /// What came of the case, once for each time that it runs.
    ///
    /// # Errors
    /// The process ended, or said what it must not say.
    pub fn play(&mut self, stage: &Stage) -> Result<Vec<Outcome>, String> {
        let models = map(&stage.data, "models");
        let notes = Rc::new(RefCell::new(Notes::default()));
        let script = |name| Script::new(map(models, name), notes.clone());
        let answers = Answers {
            model: models.contains_key("local").then(|| ScriptedModel(Rc::new(script("local")))),
            api: ScriptedApi(script("api")),
            notes: notes.clone(),
        };
        let times = stage.data.get("repeat").and_then(Value::as_int).unwrap_or(1);
        let mut outcomes = Vec::new();
        for _ in 0..times {
            outcomes.push(self.run(stage, &answers)?);
        }
        // Requests are shared by all runs of a case, and judged with the first.
        let mut notes = notes.borrow_mut();
        if let Some(first) = outcomes.first_mut() {
            first.requests = std::mem::take(&mut notes.requests);
            first.sleeps = std::mem::take(&mut notes.sleeps);
            first.faults = std::mem::take(&mut notes.faults);
        }
        Ok(outcomes)
    }

    fn run(&mut self, stage: &Stage, answers: &Answers) -> Result<Outcome, String> {
        let data = &stage.data;
        let mut given: Vec<(&str, Value)> = ["input", "env", "secrets"]
            .into_iter()
            .filter_map(|key| Some((key, data.get(key)?.clone())))
            .collect();
        given.extend(text(map(data, "options"), "backend").map(|word| ("backend", word.into())));
        let given = given.into_iter().map(|(key, value)| (key.into(), value)).collect();
        let run = Value::record([
            ("source", text(data, "workflow").unwrap_or_default().into()),
            ("name", stage.workflow_name().into()),
            ("given", json::write(&Value::map(given), None).into()),
            ("hasModel", answers.model.is_some().into()),
        ]);
        self.say(&Value::record([("run", run)]))?;
        let mut outcome = Outcome::default();
        loop {
            let line = self.hear()?;
            let Some((what, asked)) = line.first() else { return Err("an empty line".into()) };
            match &**what {
                "event" => outcome.events.push(parsed(asked)?),
                "ended" => {
                    end(&mut outcome, &map_of(&parsed(asked)?));
                    return Ok(outcome);
                }
                what => self.say(&answers.answer(what, asked)?)?,
            }
        }
    }

    fn say(&mut self, value: &Value) -> Result<(), String> {
        writeln!(self.input, "{}", json::write(value, None)).map_err(|error| error.to_string())
    }

    fn hear(&mut self) -> Result<Map, String> {
        let mut line = String::new();
        let count = self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        if count == 0 {
            return Err("the process with the engine ended".into());
        }
        let value = json::read(&line).map_err(|error| format!("{error}: {line}"))?;
        Ok(map_of(&value))
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answers {
    fn answer(&self, what: &str, asked: &Value) -> Result<Value, String> {
        Ok(match what {
            "sleep" => {
                self.notes.borrow_mut().sleeps.extend(asked.as_number());
                Value::record([])
            }
            "chat" => self.chat(&map_of(&parsed(asked)?)),
            "embed" => self.embed(&map_of(&parsed(asked)?)),
            "post" => self.post(&map_of(asked))?,
            other => return Err(format!("the engine asks for {other}")),
        })
    }

    fn chat(&self, asked: &Map) -> Value {
        let Some(model) = &self.model else { return failed(&no_model()) };
        let pieces = RefCell::new(Vec::new());
        let on_text = |piece: &str| pieces.borrow_mut().push(piece.into());
        // A script gives pieces whether they are shown or not.
        let ended = block_on(model.chat(&request(asked), Some(&on_text)));
        let pieces = ("pieces", Value::list(pieces.into_inner()));
        match ended {
            Err(error) => Value::record([pieces, ("error", thrown(&error))]),
            Ok(reply) => {
                let reply = Value::record([
                    ("content", Value::text(&reply.content)),
                    ("model", Value::text(&reply.model)),
                    ("finish_reason", reply.finish_reason.word().into()),
                    ("prompt_tokens", Value::Int(reply.prompt_tokens.into())),
                    ("completion_tokens", Value::Int(reply.completion_tokens.into())),
                ]);
                Value::record([pieces, ("reply", json::write(&reply, None).into())])
            }
        }
    }

    fn embed(&self, asked: &Map) -> Value {
        let Some(model) = &self.model else { return failed(&no_model()) };
        let given = texts(asked, "texts").into_iter().map(Arc::from).collect();
        let request = EmbedRequest { texts: given, model: None, timeout: 0.0, max_retries: 0 };
        match block_on(model.embed(&request)) {
            Err(error) => failed(&error),
            Ok(reply) => {
                let row = |row: Vec<f64>| Value::list(row.into_iter().map(Value::Float).collect());
                let reply = Value::record([
                    ("embeddings", Value::list(reply.embeddings.into_iter().map(row).collect())),
                    ("model", Value::text(&reply.model)),
                    ("tokens", Value::Int(reply.tokens.into())),
                ]);
                Value::record([("reply", json::write(&reply, None).into())])
            }
        }
    }

    /// The whole response; the process hands it on chunk by chunk.
    fn post(&self, asked: &Map) -> Result<Value, String> {
        let headers = asked.get("headers").map(parsed).transpose()?.unwrap_or(Value::Null);
        let pair = |pair: &Value| match pair.as_list() {
            Some([Value::Text(name), Value::Text(value)]) => {
                Some((name.to_string(), value.to_string()))
            }
            _ => None,
        };
        let request = HttpRequest {
            url: text(asked, "url").unwrap_or_default().into(),
            headers: headers.as_list().unwrap_or_default().iter().filter_map(pair).collect(),
            body: text(asked, "body").unwrap_or_default().into(),
        };
        let mut response = match block_on(self.api.post(request, 0.0)) {
            Ok(response) => response,
            Err(error) => return Ok(Value::record([("error", broken(error))])),
        };
        let mut chunks = Vec::new();
        loop {
            match block_on(response.chunk()) {
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    chunks.push(Value::list(
                        bytes.into_iter().map(|b| Value::Int(b.into())).collect(),
                    ));
                }
                Err(error) => {
                    chunks.push(Value::record([("error", broken(error))]));
                    break;
                }
            }
        }
        let header = |name: &str| response.header(name).map_or(Value::Null, Value::text);
        Ok(Value::record([
            ("status", Value::Int(response.status().into())),
            ("reason", Value::text(response.reason())),
            (
                "headers",
                Value::record([
                    ("content-type", header("content-type")),
                    ("retry-after", header("retry-after")),
                ]),
            ),
            ("chunks", Value::list(chunks)),
        ]))
    }
}

fn no_model() -> Error {
    Error::new(Kind::Model, "the case has no model")
}

fn failed(error: &Error) -> Value {
    Value::record([("error", thrown(error))])
}

fn thrown(error: &Error) -> Value {
    Value::record([
        ("kind", error.kind.word().into()),
        ("message", Value::text(&error.message)),
        ("hint", Value::text(&error.hint)),
    ])
}

fn broken(error: HttpError) -> Value {
    let (kind, message) = match error {
        HttpError::TimedOut => ("timeout", String::new()),
        HttpError::Connection(message) => ("connection", message),
        HttpError::Invalid(message) => ("invalid", message),
    };
    Value::record([("kind", kind.into()), ("message", message.into()), ("hint", "".into())])
}

/// The JSON in a text.
fn parsed(value: &Value) -> Result<Value, String> {
    let text = value.as_text().unwrap_or_default();
    json::read(text).map_err(|error| format!("{error}: {text}"))
}

fn map_of(value: &Value) -> Map {
    value.as_map().cloned().unwrap_or_default()
}

fn request(asked: &Map) -> ChatRequest {
    let number = |key: &str| asked.get(key).and_then(Value::as_number).unwrap_or(f64::NAN);
    let whole =
        |key: &str| asked.get(key).and_then(Value::as_int).and_then(|n| u64::try_from(n).ok());
    let message = |value: &Value| {
        let message = map_of(value);
        let role = Role::from_word(text(&message, "role")?)?;
        Some(Message::new(role, text(&message, "content")?))
    };
    ChatRequest {
        messages: list(asked, "messages").iter().filter_map(message).collect(),
        prompt: text(asked, "prompt").map(Into::into),
        temperature: number("temperature"),
        max_tokens: whole("max_tokens").unwrap_or(u64::MAX),
        top_p: number("top_p"),
        top_k: whole("top_k").unwrap_or(u64::MAX),
        min_p: number("min_p"),
        seed: whole("seed").and_then(|seed| u32::try_from(seed).ok()),
        stop: texts(asked, "stop").into_iter().map(Arc::from).collect(),
        model: None,
        timeout: 0.0,
        max_retries: 0,
    }
}

/// What the engine said at the end of a run.
fn end(outcome: &mut Outcome, ended: &Map) {
    outcome.warnings = problems(ended, "warnings");
    outcome.state = ended.get("state").map(map_of);
    if ended.contains_key("problems") {
        outcome.error = Some(Ended::Load(InvalidFile { problems: problems(ended, "problems") }));
    }
    if let Some(failure) = ended.get("failure").map(map_of) {
        let word = |key: &str| text(&failure, key).unwrap_or_default().to_string();
        let kind = [
            Kind::Model,
            Kind::Api,
            Kind::Timeout,
            Kind::Template,
            Kind::File,
            Kind::Limit,
            Kind::Action,
            Kind::Interrupted,
        ];
        // A word that is none is told apart by the judge, which looks at the message too.
        let kind = kind.into_iter().find(|kind| kind.word() == word("kind"));
        let cause =
            Error::new(kind.unwrap_or(Kind::Interrupted), word("message")).hint(word("hint"));
        let retries = failure.get("retry_count").and_then(Value::as_int).unwrap_or(0);
        outcome.error = Some(Ended::Run(if failure.contains_key("node") {
            RunError::Node(Failure {
                node: word("node"),
                action: word("action"),
                cause,
                retry_count: u64::try_from(retries).unwrap_or(0),
            })
        } else {
            RunError::Setup(cause)
        }));
    }
}

fn problems(ended: &Map, key: &str) -> Vec<Problem> {
    let problem = |value: &Value| {
        let map = map_of(value);
        let word = |key: &str| text(&map, key).unwrap_or_default().to_string();
        let count = |key: &str| {
            map.get(key).and_then(Value::as_int).and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
        };
        Problem {
            place: Place {
                file: word("file").into(),
                line: count("line"),
                column: count("column"),
            },
            message: word("message"),
            hint: word("hint"),
        }
    };
    list(ended, key).iter().map(problem).collect()
}
