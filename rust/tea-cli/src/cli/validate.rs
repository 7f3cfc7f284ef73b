//! `tea validate`: everything that is wrong with workflow files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{fs, io};

use tea_core::actions::Registry;
use tea_core::errors::Problem;
use tea_core::spec::EXIT_USAGE;
use tea_core::value::json;
use tea_core::value::Value;
use tea_core::workflow::load;
use tea_core::workflow::subgraphs::Source;

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
/// {file, valid, problems: [{line, column, severity, message, hint}]}.
///
/// # Errors
/// `Usage`: a file cannot be read, or a folder has no workflows.
pub fn validate_command(options: &ValidateOptions) -> Result<u8, Failure> {
    let mut files = Vec::new();
    for given in &options.files {
        add_workflows(given, &mut files)?;
    }
    let actions = registry_to_check();
    let checked = files.iter().map(|file| check(file, &actions, options.strict));
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

fn check(file: &OsString, actions: &Registry, strict: bool) -> Result<Checked, Failure> {
    let text = values::read_text(file)?;
    let name = file.to_string_lossy().into_owned();
    let source = Source::new(Rc::new(OsFiles), Path::new(file));
    Ok(match load::load_from(&text, &name, actions, ENGINE, Some(&source)) {
        Ok(workflow) if strict => Checked { name, errors: workflow.warnings, warnings: Vec::new() },
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
        for Problem { place, message, hint } in &self.warnings {
            let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
            streams::answer(&format!("{place}: warning: {message}{hint}\n"));
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

fn problem_value(problem: &Problem, severity: &str) -> Value {
    Value::record([
        ("line", Value::Int(problem.place.line as i128)),
        ("column", Value::Int(problem.place.column as i128)),
        ("severity", severity.into()),
        ("message", Value::text(&problem.message)),
        ("hint", Value::text(&problem.hint)),
    ])
}
