//! The command line, as clap reads it.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, Parser, Subcommand};
use tea_core::llm::backend::BackendChoice;

use crate::streams;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the workflow failed
  2    wrong usage or an invalid file
  3    no model, or one that cannot be used
  74   the output cannot be written
  130  interrupted";

/// Run workflows written in YAML, and chat, with a language model at hand.
///
/// Without a command, on a terminal: chat.
#[derive(Debug, Parser)]
#[command(name = "tea", bin_name = "tea", no_binary_name = true, disable_help_subcommand = true)]
#[command(after_help = EXIT_CODES, args_override_self = true)]
pub struct Arguments {
    /// Print the version
    #[arg(long)]
    pub version: bool,
    /// Print the implementation: python or rust
    #[arg(long = "impl")]
    pub implementation: bool,
    /// With --version: the CPU backend too
    #[arg(short, long)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a workflow and print its final state
    #[command(args_override_self = true)]
    Run(RunOptions),
    /// Check workflows and print everything that is wrong
    #[command(args_override_self = true)]
    Validate(ValidateOptions),
    /// Ask one question, or have a conversation
    #[command(args_override_self = true)]
    Chat(ChatOptions),
    /// Say which model would be used, and what it is
    #[command(args_override_self = true)]
    Model(FactsOptions),
}

/// Which model, and where.
#[derive(Debug, Default, Args)]
pub struct ModelOptions {
    /// A model file, or a folder with one
    #[arg(long, value_name = "PATH")]
    pub gguf: Option<OsString>,
    /// Compute with the weights as they lie in the file: slower, and half the memory
    #[arg(long)]
    pub low_memory: bool,
    /// Where models run, whatever the workflow says
    #[arg(long, value_parser = backend())]
    pub backend: Option<BackendChoice>,
    /// Progress and llama.cpp's log on stderr
    #[arg(short, long)]
    pub verbose: bool,
}

/// The options of `tea run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// The workflow; - for standard input
    #[arg(value_name = "FILE")]
    pub file: OsString,
    /// A JSON map, laid over initial_state
    #[arg(short, long, value_name = "JSON|@FILE")]
    pub input: Option<OsString>,
    /// Write the final state there, not to stdout
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<OsString>,
    /// Print one JSON event a line as it happens
    #[arg(long)]
    pub stream: bool,
    /// A JSON map, seen as secrets.…
    #[arg(long, value_name = "JSON|@FILE")]
    pub secrets: Option<OsString>,
    /// Every environment variable that begins with PREFIX, as secrets.… without it
    #[arg(long, value_name = "PREFIX", value_parser = text())]
    pub secrets_env: Option<String>,
    /// Warnings about the file are errors
    #[arg(long)]
    pub strict: bool,
    /// Exit with 1 when the final state has this value; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = text())]
    pub fail_on_state: Vec<String>,
    /// Let file.read and file.write reach below DIR too; may be repeated
    #[arg(long, value_name = "DIR")]
    pub allow_path: Vec<OsString>,
    /// No warnings
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// The options of `tea validate`.
#[derive(Debug, Args)]
pub struct ValidateOptions {
    /// A workflow, or a folder for all in it; - for standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<OsString>,
    /// Print one JSON list of all files
    #[arg(long)]
    pub json: bool,
    /// Warnings about the file are errors
    #[arg(long)]
    pub strict: bool,
    /// No warnings
    #[arg(short, long)]
    pub quiet: bool,
}

/// The options of `tea chat`.
#[derive(Debug, Default, Args)]
pub struct ChatOptions {
    /// Ask this and leave; - for piped input
    #[arg(value_name = "PROMPT", value_parser = text(), allow_negative_numbers = true)]
    pub prompt: Option<String>,
    /// What the model is told beforehand
    #[arg(long, value_name = "TEXT", value_parser = text(), allow_negative_numbers = true)]
    pub system: Option<String>,
    /// 0 to 2; default 0.7
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    /// Longest answer, in tokens; default 512, at most half the context
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_tokens: Option<i128>,
    /// Same seed, same answer
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<i128>,
    /// Drop the oldest turns of a conversation that has filled the context
    #[arg(long)]
    pub forget: bool,
    /// The model to ask an API for
    #[arg(long = "model", value_name = "NAME", value_parser = text())]
    pub name: Option<String>,
    /// Address of an OpenAI-compatible API
    #[arg(long, value_name = "URL", value_parser = text())]
    pub api_base: Option<String>,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// The options of `tea model`.
#[derive(Debug, Args)]
pub struct FactsOptions {
    /// Print a JSON map
    #[arg(long)]
    pub json: bool,
    /// Compare the bundle's model with its digest
    #[arg(long)]
    pub verify: bool,
    /// A model file, or a folder with one
    #[arg(long, value_name = "PATH")]
    pub gguf: Option<OsString>,
    /// Compute with the weights as they lie in the file: slower, and half the memory
    #[arg(long)]
    pub low_memory: bool,
    /// Progress and llama.cpp's log on stderr
    #[arg(short, long)]
    pub verbose: bool,
}

/// Text, with marks for what is not UTF-8.
fn text() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned())
}

fn backend() -> impl TypedValueParser<Value = BackendChoice> {
    PossibleValuesParser::new(["local", "api", "auto"])
        .try_map(|word| BackendChoice::from_word(&word).ok_or("not one of these"))
}

/// Print the help that was asked for, or what is wrong with `words`; returns the exit code.
pub fn report(error: &clap::Error, words: &[OsString]) -> u8 {
    let mut message = error.render().to_string();
    if !error.use_stderr() {
        streams::answer(&message);
        return 0;
    }
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) {
        let lower = word.to_lowercase();
        message.push_str(&match lower.ends_with(".yaml") || lower.ends_with(".yml") {
            true => format!("\n  tip: to run a workflow: tea run {word}\n"),
            false => format!("\n  tip: the commands are {}\n", commands()),
        });
    }
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidArg) {
        if word.starts_with('-')
            && words.iter().skip_while(|each| *each != "--").any(|each| each == word.as_str())
        {
            message.push_str("\n  tip: nothing after -- is an option\n");
        }
    }
    streams::say(message.trim_end());
    super::error::EXIT_USAGE
}

fn commands() -> String {
    let tea = Arguments::command();
    tea.get_subcommands().map(|each| each.get_name()).collect::<Vec<_>>().join(", ")
}
