//! Files of the machine: paths with links followed, and whole writes.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use tea_core::actions::files::Files;
use tea_core::llm::model_path::ModelFiles;

use crate::random;
use crate::stop;
use crate::text::reason;

const MAX_LINKS: usize = 40; // as Linux

/// The files of this machine.
pub struct Machine;

impl Files for Machine {
    fn resolve(&self, base: &Path, path: &Path) -> Result<PathBuf, String> {
        let here = std::env::current_dir().map_err(|error| reason(&error))?;
        let whole = here.join(base).join(path);
        follow(&whole)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        fs::read(path).map_err(|error| reason(&error))
    }

    fn replace(&self, path: &Path, data: &[u8]) -> Result<(), String> {
        let mode = fs::metadata(path).ok().map(|facts| facts.permissions());
        replace(path, data, mode).map_err(|error| reason(&error))
    }
}

impl ModelFiles for Machine {
    fn is_folder(&self, path: &Path) -> bool {
        path.is_dir()
    }

    fn is_file(&self, path: &Path) -> bool {
        path.exists() && !path.is_dir()
    }

    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>> {
        Some(fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect())
    }

    fn read(&self, path: &Path) -> Result<Option<String>, String> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(reason(&error)),
        }
    }
}

/// Follow the links in `path`; what does not exist stays as it is.
fn follow(path: &Path) -> Result<PathBuf, String> {
    let mut left: Vec<PathBuf> = parts(path);
    let (mut done, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = left.pop() {
        if part.as_os_str() == ".." {
            done.pop();
            continue;
        }
        done.push(&part);
        if let Ok(target) = fs::read_link(&done) {
            links += 1;
            if links > MAX_LINKS {
                return Err("Too many levels of symbolic links".into());
            }
            if target.is_absolute() {
                done = PathBuf::from("/");
            } else {
                done.pop();
            }
            left.extend(parts(&target));
        }
    }
    Ok(done)
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<PathBuf> {
    let counts = |part: &Component| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(counts).map(|part| PathBuf::from(part.as_os_str())).rev().collect()
}

/// Write a whole file or none: to a temporary one beside it, which then takes its name.
///
/// # Errors
/// It cannot be written; what was there is still there.
pub fn replace(path: &Path, data: &[u8], mode: Option<Permissions>) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let start: String = name.chars().take(50).collect();
    let number = random::bytes().map(u64::from_le_bytes).map_err(io::Error::other)?;
    let temporary = path.with_file_name(format!(".{start}.{number:016x}"));
    stop::while_asking(|| {
        let written = write_new(&temporary, data, mode).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    })
}

fn write_new(path: &Path, data: &[u8], mode: Option<Permissions>) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).open(path)?;
    file.write_all(data)?;
    if let Some(mode) = mode {
        file.set_permissions(mode)?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{symlink, PermissionsExt};

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn links_and_dots_are_followed_and_missing_parts_stay() {
        let folder = Folder::new();
        let root = fs::canonicalize(folder.path()).unwrap();
        folder.write("real/a.txt", "");
        symlink("real", folder.path().join("link")).unwrap();
        let resolve = |path: &str| Machine.resolve(&root, Path::new(path)).unwrap();
        assert_eq!(resolve("link/a.txt"), root.join("real/a.txt"));
        assert_eq!(resolve("link/../new/./b"), root.join("new/b"));
        assert_eq!(resolve("/etc"), Path::new("/etc"));
    }

    #[test]
    fn an_empty_folder_is_the_working_directory() {
        let here = fs::canonicalize(std::env::current_dir().unwrap()).unwrap();
        assert_eq!(Machine.resolve(Path::new(""), Path::new("")).unwrap(), here);
    }

    #[test]
    fn a_link_that_leads_to_itself_is_an_error() {
        let folder = Folder::new();
        symlink("loop", folder.path().join("loop")).unwrap();
        assert!(Machine.resolve(folder.path(), Path::new("loop")).is_err());
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing() {
        let folder = Folder::new();
        let path = folder.write("a.txt", "old");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        Machine.replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_says_why() {
        let folder = Folder::new();
        let error = Machine.replace(&folder.path().join("no/a.txt"), b"x").unwrap_err();
        assert_eq!(error, "No such file or directory");
    }
}
