//! The grammar of the command line. Its help texts and errors are those of the Python program.

use std::ffi::OsString;

use clap::builder::{OsStringValueParser, ValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};
use tea_core::llm::backend::BackendChoice;
use tea_core::nearest::nearest;

use super::error::Failure;
use crate::text::quoted;

const COMMANDS: [&str; 4] = ["run", "validate", "chat", "model"];

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Print this and leave.
    Help(&'static str),
    /// Version, implementation and, if verbose, the CPU backend.
    Facts { version: bool, implementation: bool, verbose: bool },
    /// `tea run`.
    Run(RunOptions),
    /// `tea validate`.
    Validate { files: Vec<OsString>, json: bool, quiet: bool },
    /// `tea chat`.
    Chat(ChatOptions),
    /// `tea model`.
    Model { json: bool, verify: bool, model: ModelOptions },
}

/// Which model, and where.
#[derive(Debug, Default)]
pub struct ModelOptions {
    pub gguf: Option<OsString>,
    pub low_memory: bool,
    pub backend: Option<BackendChoice>,
    pub verbose: bool,
}

/// The options of `tea run`.
#[derive(Debug)]
pub struct RunOptions {
    pub file: OsString,
    pub input: Option<OsString>,
    pub output: Option<OsString>,
    pub stream: bool,
    pub secrets: Option<OsString>,
    pub secrets_env: Option<String>,
    pub fail_on_state: Vec<String>,
    pub allow_path: Vec<OsString>,
    pub quiet: bool,
    pub model: ModelOptions,
}

/// The options of `tea chat`.
#[derive(Debug, Default)]
pub struct ChatOptions {
    pub prompt: Option<String>,
    pub system: Option<String>,
    pub temperature: Option<f64>,
    pub max_tokens: Option<i128>,
    pub seed: Option<i128>,
    pub name: Option<String>,
    pub api_base: Option<String>,
    pub forget: bool,
    pub model: ModelOptions,
}

/// Take the arguments apart.
///
/// # Errors
/// `Usage`: they do not fit the grammar; the nearest word is in the hint.
pub fn parse(arguments: &[OsString]) -> Result<Request, Failure> {
    let words = arguments.iter().map(|word| word.to_string_lossy());
    if let Some(first) = words.into_iter().find(|word| !word.starts_with('-')) {
        if !COMMANDS.contains(&&*first) {
            let message = format!("there is no command {}", quoted(&first));
            return Err(Failure::Usage(message, command_hint(&first)));
        }
    }
    let root = grammar();
    let matches = root.clone().try_get_matches_from(arguments);
    match matches {
        Ok(matches) => read(&matches),
        // Whoever asks for help gets it, whatever else is wrong.
        Err(_) if arguments.iter().any(|word| word == "--help" || word == "-h") => {
            let named = named(arguments).unwrap_or("tea");
            Ok(Request::Help(help(named)))
        }
        Err(error) => Err(explain(&error, &root, arguments)),
    }
}

fn command_hint(word: &str) -> String {
    let lower = word.to_lowercase();
    if lower.ends_with(".yaml") || lower.ends_with(".yml") {
        return format!("did you mean tea run {word}?");
    }
    match nearest(word, COMMANDS) {
        hint if hint.is_empty() => {
            format!("the commands are {}; see tea --help", COMMANDS.join(", "))
        }
        hint => hint,
    }
}

fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn verbose() -> Arg {
    flag("verbose").short('v')
}

fn option(name: &'static str) -> Arg {
    let parser: ValueParser = OsStringValueParser::new().into();
    let arg = Arg::new(name).long(name).action(ArgAction::Set).value_parser(parser);
    arg.allow_negative_numbers(true)
}

fn positional(name: &'static str) -> Arg {
    option(name).long(None::<&str>)
}

fn command(name: &'static str) -> Command {
    let help = flag("help").short('h');
    Command::new(name)
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
        .arg(help)
}

fn grammar() -> Command {
    let run = command("run")
        .arg(positional("FILE"))
        .arg(option("input").short('i'))
        .arg(option("output").short('o'))
        .arg(flag("stream"))
        .arg(option("secrets"))
        .arg(option("secrets-env"))
        .arg(option("fail-on-state").action(ArgAction::Append))
        .arg(option("allow-path").action(ArgAction::Append))
        .args([option("gguf"), flag("low-memory"), option("backend"), verbose()])
        .arg(flag("quiet").short('q'));
    let validate = command("validate")
        .arg(positional("FILE").action(ArgAction::Append))
        .args([flag("json"), flag("quiet").short('q')]);
    let chat = command("chat")
        .arg(positional("PROMPT"))
        .args(["system", "temperature", "max-tokens", "seed", "model", "api-base"].map(option))
        .args([flag("forget"), option("gguf"), flag("low-memory"), option("backend"), verbose()]);
    let model = command("model").args([
        flag("json"),
        flag("verify"),
        option("gguf"),
        flag("low-memory"),
        verbose(),
    ]);
    command("tea")
        .no_binary_name(true)
        .args([flag("version"), flag("impl"), verbose()])
        .subcommands([run, validate, chat, model])
}

/// The command that the arguments name.
fn named(arguments: &[OsString]) -> Option<&'static str> {
    let word = arguments.iter().filter_map(|word| word.to_str()).find(|w| COMMANDS.contains(w))?;
    COMMANDS.into_iter().find(|name| *name == word)
}

/// What `--help` prints.
fn help(name: &str) -> &'static str {
    match name {
        "run" => include_str!("help/run.txt"),
        "validate" => include_str!("help/validate.txt"),
        "chat" => include_str!("help/chat.txt"),
        "model" => include_str!("help/model.txt"),
        _ => include_str!("help/tea.txt"),
    }
}

/// The text of an error of the grammar.
fn explain(error: &clap::Error, root: &Command, arguments: &[OsString]) -> Failure {
    let named = named(arguments);
    let known = named.and_then(|name| root.find_subcommand(name)).unwrap_or(root);
    let see = match named {
        Some(name) => format!("see tea {name} --help"),
        None => "see tea --help".to_string(),
    };
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let word = context(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues => {
            Failure::Usage(format!("argument {}: expected one argument", names(&word, known)), see)
        }
        ErrorKind::TooManyValues => {
            let value = quoted(&context(ContextKind::InvalidValue));
            let names = names(&word, known);
            Failure::Usage(format!("argument {names}: ignored explicit argument {value}"), see)
        }
        _ => {
            let word = if word.is_empty() { context(ContextKind::InvalidSubcommand) } else { word };
            let start = word.split('=').next().unwrap_or_default();
            let options_end = arguments.iter().position(|given| given == "--");
            if options_end.is_some_and(|end| arguments[end..].iter().any(|given| *given == *word)) {
                let hint = "nothing after -- is an option; options go before it";
                return Failure::Usage(format!("unknown argument {word}"), hint.into());
            }
            let hint = match nearest(start, options_of(known).iter().map(String::as_str)) {
                hint if hint.is_empty() => see,
                hint => hint,
            };
            Failure::Usage(format!("unknown argument {word}"), hint)
        }
    }
}

fn options_of(command: &Command) -> Vec<String> {
    let short = command.get_arguments().filter_map(Arg::get_short).map(|name| format!("-{name}"));
    let long = command.get_arguments().filter_map(Arg::get_long).map(|name| format!("--{name}"));
    short.chain(long).collect()
}

/// All names of the option that clap shows as `--input <input>`.
fn names(shown: &str, command: &Command) -> String {
    let name = shown.split([' ', '=']).next().unwrap_or_default();
    let same = |arg: &&Arg| {
        let long = arg.get_long().is_some_and(|long| name == format!("--{long}"));
        long || arg.get_short().is_some_and(|short| name == format!("-{short}"))
    };
    let Some(arg) = command.get_arguments().find(same) else { return name.to_string() };
    let short = arg.get_short().map(|name| format!("-{name}"));
    let long = arg.get_long().map(|name| format!("--{name}"));
    short.into_iter().chain(long).collect::<Vec<_>>().join("/")
}

fn read(matches: &ArgMatches) -> Result<Request, Failure> {
    let Some((name, given)) = matches.subcommand() else {
        if matches.get_flag("help") {
            return Ok(Request::Help(help("tea")));
        }
        return Ok(Request::Facts {
            version: matches.get_flag("version"),
            implementation: matches.get_flag("impl"),
            verbose: matches.get_flag("verbose"),
        });
    };
    if matches.get_flag("help") {
        return Ok(Request::Help(help("tea")));
    }
    if given.get_flag("help") {
        return Ok(Request::Help(help(name)));
    }
    let given = Given { name, matches: given };
    match name {
        "run" => given.run().map(Request::Run),
        "validate" => Ok(Request::Validate {
            files: given.files()?,
            json: given.flag("json"),
            quiet: given.flag("quiet"),
        }),
        "chat" => given.chat().map(Request::Chat),
        _ => Ok(Request::Model {
            json: given.flag("json"),
            verify: given.flag("verify"),
            model: ModelOptions {
                gguf: given.value("gguf"),
                low_memory: given.flag("low-memory"),
                backend: None,
                verbose: given.flag("verbose"),
            },
        }),
    }
}

/// What is given to one command.
struct Given<'a> {
    name: &'a str,
    matches: &'a ArgMatches,
}

impl Given<'_> {
    fn flag(&self, name: &str) -> bool {
        self.matches.get_flag(name)
    }

    fn values(&self, name: &str) -> Vec<OsString> {
        self.matches.get_many(name).into_iter().flatten().cloned().collect()
    }

    fn value(&self, name: &str) -> Option<OsString> {
        self.matches.get_one::<OsString>(name).cloned()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.value(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn wrong(&self, message: String) -> Failure {
        Failure::Usage(message, format!("see tea {} --help", self.name))
    }

    fn files(&self) -> Result<Vec<OsString>, Failure> {
        let files = self.values("FILE");
        if files.is_empty() {
            return Err(self.wrong("the following arguments are required: FILE".into()));
        }
        Ok(files)
    }

    fn number<T: std::str::FromStr>(&self, name: &str, kind: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| {
            self.wrong(format!("argument --{name}: invalid {kind} value: {}", quoted(&text)))
        })
    }

    fn model_options(&self) -> Result<ModelOptions, Failure> {
        let backend = self.text("backend");
        let choice = backend.as_deref().map(BackendChoice::from_word);
        if let (Some(text), Some(None)) = (&backend, choice) {
            let choices = "(choose from local, api, auto)";
            let text = quoted(text);
            return Err(self.wrong(format!("argument --backend: invalid choice: {text} {choices}")));
        }
        Ok(ModelOptions {
            gguf: self.value("gguf"),
            low_memory: self.flag("low-memory"),
            backend: choice.flatten(),
            verbose: self.flag("verbose"),
        })
    }

    fn run(&self) -> Result<RunOptions, Failure> {
        let model = self.model_options()?;
        let lossy = |value: OsString| value.to_string_lossy().into_owned();
        Ok(RunOptions {
            file: self.files()?.swap_remove(0),
            input: self.value("input"),
            output: self.value("output"),
            stream: self.flag("stream"),
            secrets: self.value("secrets"),
            secrets_env: self.text("secrets-env"),
            fail_on_state: self.values("fail-on-state").into_iter().map(lossy).collect(),
            allow_path: self.values("allow-path"),
            quiet: self.flag("quiet"),
            model,
        })
    }

    fn chat(&self) -> Result<ChatOptions, Failure> {
        Ok(ChatOptions {
            prompt: self.text("PROMPT"),
            system: self.text("system"),
            temperature: self.number("temperature", "float")?,
            max_tokens: self.number("max-tokens", "int")?,
            seed: self.number("seed", "int")?,
            name: self.text("model"),
            api_base: self.text("api-base"),
            forget: self.flag("forget"),
            model: self.model_options()?,
        })
    }
}
