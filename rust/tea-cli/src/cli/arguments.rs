//! The command line, as clap reads it.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tea_core::llm::backend::BackendChoice;
use tea_core::spec::{self, COMMANDS, EXITS, EXIT_USAGE};

use crate::streams;

/// The whole command line; what the table says of it comes in `command`.
#[derive(Debug, Parser)]
#[command(name = "tea", bin_name = "tea", no_binary_name = true, disable_help_subcommand = true)]
#[command(args_override_self = true)]
pub struct Arguments {
    #[arg(long)]
    pub version: bool,
    #[arg(long = "impl")]
    pub implementation: bool,
    #[arg(short, long)]
    pub verbose: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(args_override_self = true)]
    Run(RunOptions),
    #[command(args_override_self = true)]
    Validate(ValidateOptions),
    #[command(args_override_self = true)]
    Chat(ChatOptions),
    #[command(args_override_self = true)]
    Model(FactsOptions),
}

/// Which model, and where.
#[derive(Debug, Default, Args)]
pub struct ModelOptions {
    #[arg(long)]
    pub gguf: Option<OsString>,
    #[arg(long)]
    pub low_memory: bool,
    #[arg(long, value_parser = backend())]
    pub backend: Option<BackendChoice>,
    #[arg(short, long)]
    pub verbose: bool,
}

/// The options of `tea run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    pub file: OsString,
    #[arg(short = 'f', long)]
    pub overlay: Vec<OsString>,
    #[arg(long)]
    pub dump_merged: bool,
    #[arg(short, long)]
    pub input: Option<OsString>,
    #[arg(short, long)]
    pub output: Option<OsString>,
    #[arg(long)]
    pub stream: bool,
    #[arg(long)]
    pub secrets: Option<OsString>,
    #[arg(long, value_parser = text())]
    pub secrets_env: Option<String>,
    #[arg(long)]
    pub strict: bool,
    #[arg(long)]
    pub heartbeat: bool,
    #[arg(long, value_parser = text())]
    pub fail_on_state: Vec<String>,
    #[arg(long)]
    pub allow_path: Vec<OsString>,
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// The options of `tea validate`.
#[derive(Debug, Args)]
pub struct ValidateOptions {
    #[arg(required = true)]
    pub files: Vec<OsString>,
    #[arg(short = 'f', long)]
    pub overlay: Vec<OsString>,
    #[arg(long)]
    pub dump_merged: bool,
    #[arg(long)]
    pub json: bool,
    #[arg(long)]
    pub strict: bool,
    #[arg(short, long)]
    pub quiet: bool,
}

/// The options of `tea chat`.
#[derive(Debug, Default, Args)]
pub struct ChatOptions {
    #[arg(value_parser = text(), allow_negative_numbers = true)]
    pub prompt: Option<String>,
    #[arg(long, value_parser = text(), allow_negative_numbers = true)]
    pub system: Option<String>,
    #[arg(long, allow_negative_numbers = true)]
    pub temperature: Option<f64>,
    #[arg(long, allow_negative_numbers = true)]
    pub max_tokens: Option<i128>,
    #[arg(long, allow_negative_numbers = true)]
    pub seed: Option<i128>,
    #[arg(long)]
    pub forget: bool,
    #[arg(long = "model", value_parser = text())]
    pub name: Option<String>,
    #[arg(long, value_parser = text())]
    pub api_base: Option<String>,
    #[command(flatten)]
    pub model: ModelOptions,
}

/// The options of `tea model`.
#[derive(Debug, Args)]
pub struct FactsOptions {
    #[arg(long)]
    pub json: bool,
    #[arg(long)]
    pub verify: bool,
    #[arg(long)]
    pub gguf: Option<OsString>,
    #[arg(long)]
    pub low_memory: bool,
    #[arg(short, long)]
    pub verbose: bool,
}

/// Text, with marks for what is not UTF-8.
fn text() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(|text| text.to_string_lossy().into_owned())
}

fn backend() -> impl TypedValueParser<Value = BackendChoice> {
    PossibleValuesParser::new(option("run", "backend").map_or(&[][..], |each| each.words))
        .try_map(|word| BackendChoice::from_word(&word).ok_or("not one of these"))
}

/// The options that `words` give.
///
/// # Errors
/// Help was asked for, or the words are no command line.
pub fn read(words: &[OsString]) -> Result<Arguments, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(words)?;
    Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The command line with the words of the table.
fn command() -> clap::Command {
    let mut tea = Arguments::command();
    let exits = EXITS.iter().map(|(code, help)| format!("  {code:<5}{}", help.replace('`', "")));
    tea = tea.after_help(format!("Exit codes:\n{}", exits.collect::<Vec<_>>().join("\n")));
    for row in COMMANDS {
        tea = match row.name {
            "tea" => described(tea, row),
            name => tea.mut_subcommand(name, |command| described(command, row)),
        };
    }
    tea
}

/// The command with the help and the values of its row.
fn described(command: clap::Command, row: &'static spec::Command) -> clap::Command {
    command.about(sentence(row.help)).mut_args(|arg| {
        let name = arg.get_long().unwrap_or_else(|| arg.get_id().as_str());
        let Some(option) = row.options.iter().find(|each| each.name == name) else { return arg };
        let arg = arg.help(sentence(option.help));
        if option.value.is_empty() {
            arg
        } else {
            arg.value_name(option.value)
        }
    })
}

fn sentence(help: &str) -> String {
    let mut letters = help.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn option(command: &str, name: &str) -> Option<&'static spec::CommandOption> {
    let row = COMMANDS.iter().find(|each| each.name == command)?;
    row.options.iter().find(|each| each.name == name)
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
    EXIT_USAGE
}

fn commands() -> String {
    let tea = Arguments::command();
    tea.get_subcommands().map(|each| each.get_name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_row_and_every_row_an_option() {
        let tea = command();
        for row in COMMANDS {
            let of = if row.name == "tea" { Some(&tea) } else { tea.find_subcommand(row.name) };
            let own: Vec<_> = of.unwrap().get_arguments().collect();
            for arg in &own {
                assert!(arg.get_help().is_some(), "{}: {}", row.name, arg.get_id());
            }
            assert_eq!(own.len(), row.options.len(), "{}", row.name);
        }
    }
}
