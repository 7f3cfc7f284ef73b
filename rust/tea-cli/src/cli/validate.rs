//! `tea validate`: everything that is wrong with workflow files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{fs, io};

use tea_core::actions::Registry;
use tea_core::errors::{InvalidFile, Problem};
use tea_core::spec::EXIT_USAGE;
use tea_core::value::json;
use tea_core::value::Value;
use tea_core::workflow::load::load_document;
use tea_core::workflow::model::Workflow;
use tea_core::workflow::subgraphs::Source;
use tea_core::yaml::document::Node;

use super::arguments::ValidateOptions;
use super::error::Failure;
use super::registry::{registry_to_check, ENGINE};
use super::values;
use crate::files::OsFiles;
use crate::streams;
use crate::text::reason;

/// What is wrong with one file, and what is only doubtful.
struct Checked {
    name: String,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// Check the files and print every problem; returns 0 when all are valid, else 2.
///
/// Problems are the result, so they go to stdout: one a line, or as JSON one list of
/// {file, valid, problems: [{file, line, column, severity, message, hint}]}.
///
/// # Errors
/// `Usage`: a file cannot be read, or a folder has no workflows.
pub fn validate_command(options: &ValidateOptions) -> Result<u8, Failure> {
    let mut files = Vec::new();
    for given in &options.files {
        add_workflows(given, &mut files)?;
    }
    let actions = registry_to_check();
    if options.dump_merged {
        let ([file], false) = (files.as_slice(), options.json) else {
            return Err(Failure::usage("--dump-merged takes one file, and no --json"));
        };
        return dump(file, options, &actions);
    }
    let checked = files.iter().map(|file| check(file, options, &actions));
    let results: Result<Vec<_>, _> = checked.collect();
    let results = results?;
    if options.json {
        let list = Value::list(results.iter().map(Checked::to_value).collect());
        streams::answer(&(json::write(&list, Some(2)) + "\n"));
    } else {
        for result in &results {
            result.print(options.quiet);
        }
    }
    let wrong = results.iter().any(|result| !result.errors.is_empty());
    Ok(if wrong { EXIT_USAGE } else { 0 })
}

/// Add the file, or all YAML files below the folder, in order.
fn add_workflows(given: &OsString, files: &mut Vec<OsString>) -> Result<(), Failure> {
    let folder = Path::new(given);
    if given == values::STDIN || !folder.is_dir() {
        files.push(given.clone());
        return Ok(());
    }
    let mut found = Vec::new();
    walk(folder, &mut found).map_err(|error| {
        Failure::usage(format!("{} cannot be read: {}", folder.display(), reason(&error)))
    })?;
    if found.is_empty() {
        let message = format!("{}: there is no YAML file in this folder", folder.display());
        return Err(Failure::usage(message));
    }
    found.sort();
    files.extend(found.into_iter().map(Into::into));
    Ok(())
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml")
            && path.is_file()
        {
            found.push(path);
        }
    }
    Ok(())
}

/// Print the file with its overlays, if it is valid. Problems go to stderr.
fn dump(file: &OsString, options: &ValidateOptions, actions: &Registry) -> Result<u8, Failure> {
    let written = values::read_workflow(file, &options.overlay)?;
    let workflow = load(file, &written, actions)?;
    if options.strict && !workflow.warnings.is_empty() {
        return Err(InvalidFile { problems: workflow.warnings }.into());
    }
    if !options.quiet {
        for problem in &workflow.warnings {
            streams::say(&warning(problem));
        }
    }
    streams::answer(&(json::write(&written.plain(), Some(2)) + "\n"));
    Ok(0)
}

fn load(file: &OsString, written: &Node, actions: &Registry) -> Result<Workflow, InvalidFile> {
    let source = Source::new(Rc::new(OsFiles), Path::new(file));
    load_document(written, &file.to_string_lossy(), actions, ENGINE, Some(&source))
}

fn check(
    file: &OsString,
    options: &ValidateOptions,
    actions: &Registry,
) -> Result<Checked, Failure> {
    let name = file.to_string_lossy().into_owned();
    let loaded = match values::read_workflow(file, &options.overlay) {
        Ok(written) => load(file, &written, actions),
        Err(Failure::Invalid(invalid)) => Err(invalid),
        Err(failure) => return Err(failure),
    };
    Ok(match loaded {
        Ok(workflow) if options.strict => {
            Checked { name, errors: workflow.warnings, warnings: Vec::new() }
        }
        Ok(workflow) => Checked { name, errors: Vec::new(), warnings: workflow.warnings },
        Err(invalid) => Checked { name, errors: invalid.problems, warnings: Vec::new() },
    })
}

impl Checked {
    fn print(&self, quiet: bool) {
        for problem in &self.errors {
            streams::answer(&format!("{problem}\n"));
        }
        if quiet {
            return;
        }
        for problem in &self.warnings {
            streams::answer(&(warning(problem) + "\n"));
        }
        if self.errors.is_empty() {
            streams::say(&format!("{}: valid", self.name));
        }
    }

    fn to_value(&self) -> Value {
        let errors = self.errors.iter().map(|problem| problem_value(problem, "error"));
        let warnings = self.warnings.iter().map(|problem| problem_value(problem, "warning"));
        Value::record([
            ("file", Value::text(&self.name)),
            ("valid", self.errors.is_empty().into()),
            ("problems", Value::list(errors.chain(warnings).collect())),
        ])
    }
}

fn warning(Problem { place, message, hint }: &Problem) -> String {
    let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
    format!("{place}: warning: {message}{hint}")
}

fn problem_value(problem: &Problem, severity: &str) -> Value {
    Value::record([
        ("file", Value::text(&problem.place.file)),
        ("line", Value::Int(problem.place.line as i128)),
        ("column", Value::Int(problem.place.column as i128)),
        ("severity", severity.into()),
        ("message", Value::text(&problem.message)),
        ("hint", Value::text(&problem.hint)),
    ])
}
