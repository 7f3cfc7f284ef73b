//! The actions file.read and file.write: UTF-8 text below the folders that are allowed.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Call, Registry};
use crate::errors::{Error, Kind};
use crate::value::Value;

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
}

/// Add the actions on files below `roots`; a relative path is taken from the first of them.
pub fn add_actions(registry: &mut Registry, files: Rc<dyn Files>, roots: Vec<PathBuf>) {
    let folders = Rc::new(Folders { files, roots });
    for (name, run) in [("file.read", read as Run), ("file.write", write)] {
        let folders = folders.clone();
        registry.add_checked(name, move |call| run(&folders, call), None);
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
    let path = folders.allowed(call)?;
    let shown = path.display();
    let bytes = folders
        .files
        .read(&path)
        .map_err(|reason| failed(format!("cannot read {shown}: {reason}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let byte = error.utf8_error().valid_up_to() + 1;
        failed(format!("{shown} is not UTF-8 text: byte {byte} is wrong"))
    })?;
    Ok(Value::record([("content", text.into())]))
}

fn write(folders: &Folders, call: &Call<'_>) -> Result<Value, Error> {
    let text = call.text("content")?;
    let path = folders.allowed(call)?;
    let shown = path.display().to_string();
    folders
        .files
        .write(&path, text.as_bytes())
        .map_err(|reason| failed(format!("cannot write {shown}: {reason}")))?;
    let bytes = Value::Int(text.len() as i128);
    Ok(Value::record([("path", shown.into()), ("bytes", bytes)]))
}

impl Folders {
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
