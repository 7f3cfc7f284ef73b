//! `tea run`: run a workflow and print its final state.

use std::env;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use tea_core::actions::LocalFuture;
use tea_core::errors::{InvalidFile, Kind, RunError};
use tea_core::run::events::Event;
use tea_core::run::{run_on, Host, RunInput};
use tea_core::value::json;
use tea_core::value::{Map, Value};
use tea_core::workflow::load;
use tea_core::workflow::subgraphs::Source;

use super::arguments::RunOptions;
use super::error::Failure;
use super::registry::{registry, Models, ENGINE};
use super::target::Target;
use super::{block_on, values};
use crate::files::OsFiles;
use crate::llm::http;
use crate::random;
use crate::streams;

const EXIT_FAILED: u8 = 1;

/// Run the workflow of `options.file`; returns the exit code.
///
/// # Errors
/// Anything that is wrong. Of a run that fails `-o` gets the state it has reached.
pub fn run_command(options: &RunOptions) -> Result<u8, Failure> {
    let env = Rc::new(values::environment());
    let mut input = values::json_map("--input", options.input.as_deref())?;
    let prefix = options.secrets_env.as_deref();
    let secrets = values::secrets(options.secrets.as_deref(), prefix, &env)?;
    let conditions: Result<Vec<_>, _> =
        options.fail_on_state.iter().map(|text| condition(text)).collect();
    let conditions = conditions?;
    let target = options.output.as_deref().map(Target::look_at).transpose()?;
    let written = values::read_workflow(&options.file, &options.overlay)?;

    let source = Source::new(Rc::new(OsFiles), Path::new(&options.file));
    let models = Models::new(&options.model, env.clone());
    let actions = registry(&models.backends, roots(options));
    let name = options.file.to_string_lossy();
    let workflow = load::load_document(&written, &name, &actions, ENGINE, Some(&source))?;
    if options.strict && !workflow.warnings.is_empty() {
        return Err(InvalidFile { problems: workflow.warnings }.into());
    }
    if !options.quiet {
        for warning in &workflow.warnings {
            streams::say(&format!("{}: warning: {}", warning.place, warning.message));
        }
    }
    if options.dump_merged {
        streams::answer(&(json::write(&written.plain(), Some(2)) + "\n"));
        return Ok(0);
    }
    let heartbeat = options.heartbeat.then(Instant::now);
    let host = Terminal { stream: options.stream, verbose: options.model.verbose, heartbeat };
    if let Some(key) = workflow.stdin_key.as_ref().filter(|key| !input.contains_key(&***key)) {
        if options.file != values::STDIN && values::is_piped() {
            let text = values::read_text(values::STDIN.as_ref())?;
            input.insert(key.clone(), text.into());
        }
    }
    let given = RunInput { input, env: (*env).clone(), secrets: Value::map(secrets) };
    let mut state = Map::new();
    let ended = block_on(run_on(&workflow, given, &actions, &host, &mut state));
    let document = json::write(&Value::map(state.clone()), Some(2)) + "\n";
    if let Err(error) = ended {
        let has_failed =
            matches!(&error, RunError::Node(failure) if failure.cause.kind != Kind::Interrupted);
        if let Some(target) = target.filter(|_| has_failed) {
            target.write(document.as_bytes())?;
        }
        return Err(error.into());
    }
    match target {
        Some(target) => target.write(document.as_bytes())?,
        None if !options.stream => streams::answer(&document),
        None => {}
    }
    Ok(judge(&state, &conditions))
}

/// The folders that file actions reach; a relative path is taken from the first.
fn roots(options: &RunOptions) -> Vec<PathBuf> {
    let mut roots = vec![env::current_dir().unwrap_or_else(|_| PathBuf::from("."))];
    if options.file != values::STDIN {
        roots.extend(Path::new(&options.file).parent().map(Path::to_path_buf));
    }
    roots.extend(options.allow_path.iter().map(PathBuf::from));
    roots
}

/// The world of a run on a terminal.
struct Terminal {
    stream: bool,
    verbose: bool,
    /// When the run began, where each node is to be told of.
    heartbeat: Option<Instant>,
}

impl Terminal {
    fn beat(&self, event: &Event) {
        let (branch, event) = match event {
            Event::Branch(index, event) => (format!(" [{index}]"), &**event),
            event => (String::new(), event),
        };
        if let (Some(start), Event::NodeComplete { node, .. }) = (self.heartbeat, event) {
            let seconds = start.elapsed().as_secs_f64();
            streams::say(&format!("{seconds:.1} s: node {node}{branch} done"));
        }
    }
}

impl Host for Terminal {
    fn emit(&self, event: &Event) {
        if self.stream {
            streams::answer(&(json::write(&event.to_value(), None) + "\n"));
        } else if let (true, Event::NodeComplete { node, .. }) = (self.verbose, event) {
            streams::say(&format!("node {node} done"));
        }
        self.beat(event);
    }

    fn sleep(&self, seconds: f64) -> LocalFuture<'_, ()> {
        Box::pin(http::sleep(seconds))
    }

    fn random(&self) -> f64 {
        random::fraction()
    }
}

fn condition(text: &str) -> Result<(&str, &str), Failure> {
    text.split_once('=')
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| Failure::usage(format!("--fail-on-state {text:?} is not KEY=VALUE")))
}

/// 1 when a value of `state`, in its text form, is one that was named, else 0.
fn judge(state: &Map, conditions: &[(&str, &str)]) -> u8 {
    for (key, value) in conditions {
        let text = state.get(*key).map(|found| match found {
            Value::Text(text) => text.to_string(),
            other => json::write(other, None),
        });
        if text.as_deref() == Some(*value) {
            streams::say(&format!("tea: the final state has {key}={value}"));
            return EXIT_FAILED;
        }
    }
    0
}
