//! Files of the machine, read and written so that no link leads elsewhere than was looked at.
//!
//! Paths that are read and written are absolute and free of links, as `resolve` gives them: a link
//! that takes the place of a part of one afterwards is not followed.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    fchown, mkdirat, openat, renameat, statat, unlinkat, AtFlags, FileType, Mode, OFlags, CWD,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use tea_core::actions::files::Files;
use tea_core::llm::model_path::ModelFiles;

use crate::random;
use crate::stop;
use crate::text::reason;

const MAX_LINKS: usize = 40; // as Linux
const FOLDER: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The files of this machine.
pub struct OsFiles;

impl Files for OsFiles {
    fn resolve(&self, base: &Path, path: &Path) -> Result<PathBuf, String> {
        let mut whole = base.join(path);
        if whole.is_relative() {
            let here = std::env::current_dir().map_err(|error| reason(&error))?;
            whole = here.join(whole);
        }
        follow(&whole)
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        read(path).map_err(|error| reason(&error))
    }

    fn write(&self, path: &Path, data: &[u8]) -> Result<(), String> {
        put(path, data, true).map_err(|error| reason(&error))
    }

    fn append(&self, path: &Path, data: &[u8]) -> Result<(), String> {
        append(path, data).map_err(|error| reason(&error))
    }
}

impl ModelFiles for OsFiles {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

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

/// The bytes of a regular file; a FIFO or a device may have no end.
///
/// # Errors
/// It cannot be read.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (folder, name) = place(path, false)?;
    // NONBLOCK: a FIFO without a writer opens at once, to be refused.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | FILE;
    let mut file = File::from(openat(&folder, name, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut data = Vec::new();
    file.read_to_end(&mut data)?;
    Ok(data)
}

/// Write a regular file whole or not at all; into a device or FIFO as it is.
///
/// # Errors
/// It cannot be written, or see `check_owner`; what was there is still there.
pub fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    put(path, data, false)
}

/// The same; `make_folders`: those that its path needs.
fn put(path: &Path, data: &[u8], make_folders: bool) -> io::Result<()> {
    let (folder, name) = place(path, make_folders)?;
    match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => replace(&folder, name, data, None),
        Err(error) => Err(error.into()),
        Ok(facts) if FileType::from_raw_mode(facts.st_mode) == FileType::RegularFile => {
            let old = fs::symlink_metadata(path)?;
            check_owner(&old)?;
            replace(&folder, name, data, Some(&old))
        }
        Ok(_) => {
            let flags = OFlags::WRONLY | FILE;
            File::from(openat(&folder, name, flags, Mode::empty())?).write_all(data)
        }
    }
}

/// Add a line to a regular file whole or not at all; into a device or FIFO as it is. A last line
/// without an end gets one before. Folders that the path needs are made.
fn append(path: &Path, data: &[u8]) -> io::Result<()> {
    let (folder, name) = place(path, true)?;
    let is_regular = match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => true,
        facts => FileType::from_raw_mode(facts?.st_mode) == FileType::RegularFile,
    };
    let access = if is_regular { OFlags::RDWR | OFlags::CREATE } else { OFlags::WRONLY };
    let flags = access | OFlags::APPEND | FILE;
    let mut file = File::from(openat(&folder, name, flags, Mode::from_raw_mode(0o666))?);
    if !is_regular {
        return file.write_all(data);
    }
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if size > 0 {
        file.read_exact_at(&mut last, size - 1)?;
    }
    let line = if last == *b"\n" { data.to_vec() } else { [b"\n", data].concat() };
    stop::cancellable(|| {
        let written = file.write_all(&line).and_then(|()| file.sync_all());
        if written.is_err() {
            file.set_len(size)?;
        }
        written
    })
}

/// Refuse to replace a file that others have a part in, except for root.
///
/// # Errors
/// It is another user's, has further names, or is not to be written.
pub fn check_owner(facts: &Metadata) -> io::Result<()> {
    let user = geteuid();
    if user.is_root() {
        return Ok(());
    }
    if facts.uid() != user.as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if facts.nlink() > 1 {
        return Err(io::Error::other("it has hard links, which would keep the old content"));
    }
    if facts.mode() & 0o200 == 0 {
        return Err(Errno::ACCESS.into());
    }
    Ok(())
}

/// Write to a temporary file beside `name`, which then takes its name, owner and mode.
fn replace(folder: &OwnedFd, name: &OsStr, data: &[u8], old: Option<&Metadata>) -> io::Result<()> {
    let number = random::bytes().map(u64::from_le_bytes).map_err(io::Error::other)?;
    let temporary = format!(".tea-{number:016x}"); // as short for the longest name
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | FILE;
    let mode = Mode::from_raw_mode(if old.is_some() { 0o600 } else { 0o666 });
    stop::cancellable(|| {
        let mut file = File::from(openat(folder, &temporary, flags, mode)?);
        let written = file
            .write_all(data)
            .and_then(|()| old.map_or(Ok(()), |old| take_over(&file, old)))
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(folder, &temporary, folder, name)?));
        if written.is_err() {
            let _ = unlinkat(folder, &temporary, AtFlags::empty());
        }
        written
    })
}

fn take_over(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        let owner = rustix::fs::Uid::from_raw(old.uid());
        let group = rustix::fs::Gid::from_raw(old.gid());
        match fchown(file, Some(owner), Some(group)) {
            // A group that the user is not in is lost.
            Err(Errno::PERM) if new.uid() == old.uid() => {}
            changed => changed?,
        }
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o777))
}

/// The folder that `path` lies in, opened part by part, and the name there; `make` those that are
/// not there.
fn place(path: &Path, make: bool) -> io::Result<(OwnedFd, &OsStr)> {
    let name = path.file_name().ok_or(Errno::NOENT)?;
    let mut folder = openat(CWD, "/", FOLDER, Mode::empty())?;
    for part in path.parent().into_iter().flat_map(Path::components) {
        if let Component::Normal(part) = part {
            let open = || openat(&folder, part, FOLDER, Mode::empty());
            folder = match open() {
                Err(Errno::NOENT) if make => {
                    match mkdirat(&folder, part, Mode::from_raw_mode(0o777)) {
                        Ok(()) | Err(Errno::EXIST) => open()?, // another may have made it
                        Err(error) => return Err(error.into()),
                    }
                }
                opened => opened?,
            };
        }
    }
    Ok((folder, name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn links_and_dots_are_followed_and_missing_parts_stay() {
        let folder = Folder::new();
        let root = fs::canonicalize(folder.path()).unwrap();
        folder.write("real/a.txt", "");
        symlink("real", folder.path().join("link")).unwrap();
        let resolve = |path: &str| OsFiles.resolve(&root, Path::new(path)).unwrap();
        assert_eq!(resolve("link/a.txt"), root.join("real/a.txt"));
        assert_eq!(resolve("link/../new/./b"), root.join("new/b"));
        assert_eq!(resolve("/etc"), Path::new("/etc"));
    }

    #[test]
    fn an_empty_folder_is_the_working_directory() {
        let here = fs::canonicalize(std::env::current_dir().unwrap()).unwrap();
        assert_eq!(OsFiles.resolve(Path::new(""), Path::new("")).unwrap(), here);
    }

    #[test]
    fn a_link_that_leads_to_itself_is_an_error() {
        let folder = Folder::new();
        symlink("loop", folder.path().join("loop")).unwrap();
        assert!(OsFiles.resolve(folder.path(), Path::new("loop")).is_err());
    }

    #[test]
    fn a_link_put_in_after_the_check_is_not_followed() {
        let folder = Folder::new();
        let secret = folder.write("outside/a.txt", "secret");
        symlink("outside", folder.path().join("folder")).unwrap();
        symlink("outside/a.txt", folder.path().join("a.txt")).unwrap();
        assert!(read(&folder.path().join("folder/a.txt")).is_err());
        assert!(read(&folder.path().join("a.txt")).is_err());
        assert!(put(&folder.path().join("folder/a.txt"), b"mine", false).is_err());
        assert_eq!(fs::read(secret).unwrap(), b"secret");
    }

    #[test]
    fn a_replaced_file_keeps_its_mode_and_leaves_nothing() {
        let folder = Folder::new();
        let path = folder.write("a.txt", "old");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        OsFiles.write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_line_is_added_after_a_whole_one() {
        let folder = Folder::new();
        let path = folder.path().join("new/a.jsonl");
        OsFiles.append(&path, b"1\n").unwrap();
        OsFiles.append(&path, b"2\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"1\n2\n");
        let path = folder.write("cut.jsonl", "[1");
        OsFiles.append(&path, b"2\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"[1\n2\n");
    }

    #[test]
    fn no_line_is_added_behind_a_link_or_where_there_is_no_room() {
        let folder = Folder::new();
        let secret = folder.write("a", "secret");
        symlink("a", folder.path().join("link")).unwrap();
        assert!(OsFiles.append(&folder.path().join("link"), b"1\n").is_err());
        assert_eq!(fs::read(secret).unwrap(), b"secret");
        let error = OsFiles.append(Path::new("/dev/full"), b"1\n").unwrap_err();
        assert_eq!(error, "No space left on device");
    }

    #[test]
    fn what_cannot_be_written_says_why() {
        let folder = Folder::new();
        folder.write("no", "");
        let error = OsFiles.write(&folder.path().join("no/a.txt"), b"x").unwrap_err();
        assert_eq!(error, "Not a directory");
    }
}
