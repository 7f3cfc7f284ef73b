//! Where a case plays: its files in a folder of their own, and what came of it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tea_core::errors::{InvalidFile, Problem, RunError};
use tea_core::value::{Map, Value};

use crate::case::{map, text, texts, Case};

const HERE: &str = "%DIR%";
const DEFAULT_FILE: &str = "workflow.yaml";

/// What ended a case without a final state.
#[derive(Debug)]
pub enum Ended {
    /// The file was refused.
    Load(InvalidFile),
    /// The run failed.
    Run(RunError),
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ended::Load(error) => error.fmt(f),
            Ended::Run(error) => error.fmt(f),
        }
    }
}

/// What came of a case.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The final state.
    pub state: Option<Map>,
    /// What ended it.
    pub error: Option<Ended>,
    /// What is doubtful in the file.
    pub warnings: Vec<Problem>,
    /// All events.
    pub events: Vec<Value>,
    /// All requests to models.
    pub requests: Vec<Map>,
    /// Waits in seconds.
    pub sleeps: Vec<f64>,
    /// The model file that was chosen, below the stage.
    pub model: Option<String>,
    /// What must not happen, such as a request that the case has no reply for.
    pub faults: Vec<String>,
    /// What a command gave: exit code, standard output, standard error.
    pub command: Option<(i32, String, String)>,
}

/// A case laid out below `root`; `%DIR%` in its texts stands for that folder.
pub struct Stage {
    /// Its own folder, removed in the end.
    pub root: PathBuf,
    /// The case without `about` and `expect`.
    pub data: Map,
    /// What must come of it.
    pub expect: Map,
    /// The folder from where it runs.
    pub directory: PathBuf,
    workflow: PathBuf,
}

impl Stage {
    /// Lay a case out in a new folder.
    ///
    /// # Errors
    /// A file cannot be made.
    pub fn new(case: &Case) -> io::Result<Stage> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tea-conformance-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir_all(&root)?;
        let root = root.canonicalize()?;
        let here = root.display().to_string();
        let data: Map = case
            .data
            .iter()
            .filter(|(key, _)| !matches!(&***key, "about" | "expect"))
            .map(|(key, value)| (key.clone(), filled(value, &here)))
            .collect();
        let directory = clean(&root.join(text(&data, "working_directory").unwrap_or(".")));
        let workflow = clean(&root.join(text(&data, "workflow_file").unwrap_or(DEFAULT_FILE)));
        let expect = case.expect().clone();
        let stage = Stage { root, data, expect, directory, workflow };
        fs::create_dir_all(&stage.directory)?;
        for (name, content) in map(&stage.data, "files") {
            make(&stage.root.join(&**name), content)?;
        }
        if let Some(content) = stage.data.get("workflow") {
            make(&stage.workflow, content)?;
        }
        Ok(stage)
    }

    /// The workflow's file as the working directory sees it; places begin with it.
    #[must_use]
    pub fn workflow_name(&self) -> String {
        relative(&self.workflow, &self.directory)
    }

    /// The folders that file actions may reach, besides those of the command line.
    #[must_use]
    pub fn roots(&self) -> Vec<PathBuf> {
        let own = self.workflow.parent().unwrap_or(&self.root).to_path_buf();
        let allowed = texts(map(&self.data, "options"), "allow_paths");
        let mut roots = vec![self.directory.clone(), own];
        roots.extend(allowed.into_iter().map(|folder| self.directory.join(folder)));
        roots
    }

    /// The files that are there now, but for the workflow.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.root, &mut found);
        found.retain(|path| *path != self.workflow);
        let mut names: Vec<String> = found.iter().map(|path| relative(path, &self.root)).collect();
        names.sort();
        names
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_link = path.symlink_metadata().is_ok_and(|data| data.is_symlink());
        if path.is_dir() && !is_link {
            collect(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// `path` as it is seen from `folder`; both are absolute.
#[must_use]
pub fn relative(path: &Path, folder: &Path) -> String {
    let shared = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let relative: PathBuf = up.chain(path.components().skip(shared)).collect();
    relative.display().to_string()
}

/// `path` without `.` and `..`.
#[must_use]
pub fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

fn make(path: &Path, content: &Value) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match content {
        Value::Text(content) => fs::write(path, &**content),
        other => {
            let data = other.as_map().cloned().unwrap_or_default();
            match text(&data, "link") {
                Some(target) => symlink(target, path),
                None => fs::write(path, decoded(text(&data, "base64").unwrap_or_default())),
            }
        }
    }
}

/// The bytes that a text in base64 stands for.
fn decoded(text: &str) -> Vec<u8> {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for value in text.chars().filter_map(|letter| LETTERS.find(letter)) {
        bits = ((bits << 6) | value as u32) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(((bits >> count) & 0xff) as u8);
        }
    }
    bytes
}

fn filled(value: &Value, here: &str) -> Value {
    match value {
        Value::Text(text) => Value::text(text.replace(HERE, here)),
        Value::List(items) => Value::list(items.iter().map(|item| filled(item, here)).collect()),
        Value::Map(map) => {
            Value::map(map.iter().map(|(key, item)| (key.clone(), filled(item, here))).collect())
        }
        other => other.clone(),
    }
}
