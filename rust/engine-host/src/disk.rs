//! The files of this machine, as the engine asks for them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use tea_core::actions::files::Files;
use tea_core::llm::model_path::ModelFiles;
use tea_core::value::{Map, Value};

/// The files of this machine; relative paths of models are taken from `directory`.
pub struct Disk {
    /// The working directory.
    pub directory: PathBuf,
    /// The case's environment.
    pub env: Map,
}

/// Links that may lead to each other.
const MAX_LINKS: usize = 40;

impl Files for Disk {
    fn resolve(&self, base: &Path, path: &Path) -> Result<PathBuf, String> {
        let mut left: Vec<PathBuf> = parts(&base.join(path));
        let mut found = PathBuf::from("/");
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == Path::new("..") {
                found.pop();
                continue;
            }
            let next = found.join(&part);
            match fs::read_link(&next) {
                Ok(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err("too many levels of symbolic links".into());
                    }
                    if target.is_absolute() {
                        found = PathBuf::from("/");
                    }
                    left.extend(parts(&target));
                }
                Err(_) => found = next,
            }
        }
        Ok(found)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        fs::read(path).map_err(|error| reason(&error))
    }

    fn write(&self, path: &Path, data: &[u8]) -> Result<(), String> {
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder.map_err(|error| reason(&error))?;
        let temporary = path.with_extension("tea-part");
        let written = fs::write(&temporary, data).and_then(|()| fs::rename(&temporary, path));
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            reason(&error)
        })
    }

    fn append(&self, path: &Path, data: &[u8]) -> Result<(), String> {
        let mut whole = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| reason(&error))?,
        };
        if !whole.is_empty() && !whole.ends_with(b"\n") {
            whole.push(b'\n');
        }
        whole.extend(data);
        Files::write(self, path, &whole)
    }
}

/// The parts of a path, the last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    });
    let mut parts: Vec<PathBuf> = parts.collect();
    parts.reverse();
    parts
}

fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).into()
}

impl ModelFiles for Disk {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.env.get(name).and_then(Value::as_text).map(OsString::from)
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.directory.join(path).is_dir()
    }

    fn is_file(&self, path: &Path) -> bool {
        self.directory.join(path).is_file()
    }

    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>> {
        let entries = fs::read_dir(self.directory.join(folder)).ok()?;
        Some(entries.flatten().map(|entry| folder.join(entry.file_name())).collect())
    }

    fn read(&self, path: &Path) -> Result<Option<String>, String> {
        match fs::read_to_string(self.directory.join(path)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(reason(&error)),
        }
    }
}
