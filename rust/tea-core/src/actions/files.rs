//! The actions on files below the folders that are allowed: UTF-8 text, CSV and JSON Lines.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{rows, Call, Registry};
use crate::errors::{Error, Kind};
use crate::limits::Budget;
use crate::schema::check::Problem;
use crate::value::{Map, Value};

/// The files of a host. Errors are reasons such as "No such file or directory".
pub trait Files {
    /// The absolute path of `path`, taken from `base`, with links followed; a part that does not
    /// exist stays as it is.
    ///
    /// # Errors
    /// A link that leads to itself, or a folder that cannot be looked into.
    fn resolve(&self, base: &Path, path: &Path) -> Result<PathBuf, String>;

    /// All bytes of a regular file; `path` is what `resolve` gave, and no link is followed.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String>;

    /// Write a whole file, or leave what was there; into a device or FIFO as it is.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self, path: &Path, data: &[u8]) -> Result<(), String>;

    /// Add a line to a file, or leave what was there; a last line without an end gets one before.
    ///
    /// # Errors
    /// It cannot be written.
    fn append(&self, path: &Path, data: &[u8]) -> Result<(), String>;
}

/// Add the actions on files below `roots`; a relative path is taken from the first of them.
pub fn add_actions(registry: &mut Registry, files: Rc<dyn Files>, roots: Vec<PathBuf>) {
    let folders = Rc::new(Folders { files, roots });
    let delimiter = rows::delimiter_problems as fn(&Map) -> Vec<Problem>;
    for (name, run, more) in [
        ("file.read", read as Run, None),
        ("file.write", write, None),
        ("csv.read", read_csv, Some(delimiter)),
        ("csv.write", write_csv, Some(delimiter)),
        ("jsonl.read", read_jsonl, None),
        ("jsonl.append", append_jsonl, None),
    ] {
        let folders = folders.clone();
        registry.add_checked(name, move |call| run(&folders, call), more);
    }
}

type Run = fn(&Folders, &Call<'_>) -> Result<Value, Error>;

struct Folders {
    files: Rc<dyn Files>,
    roots: Vec<PathBuf>,
}

fn failed(message: String) -> Error {
    Error::new(Kind::File, message)
}

fn read(folders: &Folders, call: &Call<'_>) -> Result<Value, Error> {
    let text = folders.text(&folders.allowed(call)?)?;
    Ok(Value::record([("content", text.into())]))
}

fn write(folders: &Folders, call: &Call<'_>) -> Result<Value, Error> {
    let text = call.text("content")?;
    let path = folders.allowed(call)?;
    written(&path, text, folders.files.write(&path, text.as_bytes()))
}

fn read_csv(folders: &Folders, call: &Call<'_>) -> Result<Value, Error> {
    let path = folders.allowed(call)?;
    let read = rows::read_csv(&folders.text(&path)?, has_header(call), delimiter(call));
    read.map_err(|reason| in_file(call, &path, &reason))
}

fn write_csv(folders: &Folders, call: &Call<'_>) -> Result<Value, Error> {
    let data = call.param("data").as_list().unwrap_or_default();
    let columns = call.param("columns").as_list();
    let text = rows::csv_text(data, columns, has_header(call), delimiter(call))
        .map_err(|reason| Error::action(format!("{}: {reason}", call.action)))?;
    let path = folders.allowed(call)?;
    written(&path, &text, folders.files.write(&path, text.as_bytes()))
}

fn has_header(call: &Call<'_>) -> bool {
    call.param("header").as_bool() != Some(false)
}

fn delimiter(call: &Call<'_>) -> u8 {
    call.param("delimiter").as_text().and_then(|text| text.bytes().next()).unwrap_or(b',')
}

fn read_jsonl(folders: &Folders, call: &Call<'_>) -> Result<Value, Error> {
    let path = folders.allowed(call)?;
    let rows = rows::read_jsonl(&folders.text(&path)?);
    Ok(Value::record([("rows", rows.map_err(|reason| in_file(call, &path, &reason))?)]))
}

fn append_jsonl(folders: &Folders, call: &Call<'_>) -> Result<Value, Error> {
    let path = folders.allowed(call)?;
    let line = call.param("data").json_text(None, &Budget::unlimited())? + "\n";
    written(&path, &line, folders.files.append(&path, line.as_bytes()))
}

fn in_file(call: &Call<'_>, path: &Path, reason: &str) -> Error {
    Error::action(format!("{}: {}: {reason}", call.action, path.display()))
}

fn written(path: &Path, text: &str, done: Result<(), String>) -> Result<Value, Error> {
    let shown = path.display().to_string();
    done.map_err(|reason| failed(format!("cannot write {shown}: {reason}")))?;
    let bytes = Value::Int(text.len() as i128);
    Ok(Value::record([("path", shown.into()), ("bytes", bytes)]))
}

impl Folders {
    fn text(&self, path: &Path) -> Result<String, Error> {
        let shown = path.display();
        let bytes = self
            .files
            .read(path)
            .map_err(|reason| failed(format!("cannot read {shown}: {reason}")))?;
        String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to() + 1;
            failed(format!("{shown} is not UTF-8 text: byte {byte} is wrong"))
        })
    }

    /// The path of the call with links followed.
    fn allowed(&self, call: &Call<'_>) -> Result<PathBuf, Error> {
        let given = call.param("path").as_text().unwrap_or_default();
        if given.is_empty() || given.contains('\0') {
            return Err(Error::action(format!("{}: path must be text, not empty", call.action)));
        }
        let Some(first) = self.roots.first() else {
            return Err(failed("no folder is allowed for files".into())
                .hint("allow one with --allow-path DIR"));
        };
        let not_found = |reason| failed(format!("cannot find {given}: {reason}"));
        let path = self.files.resolve(first, Path::new(given)).map_err(not_found)?;
        for root in &self.roots {
            // One that was deleted holds nothing.
            let folder = self.files.resolve(root, Path::new(""));
            if folder.is_ok_and(|folder| path.starts_with(folder)) {
                return Ok(path);
            }
        }
        Err(failed(format!("{given} is outside the folders that the workflow may use"))
            .hint("allow its folder with --allow-path DIR"))
    }
}
