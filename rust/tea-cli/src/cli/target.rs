//! The file of `-o`: looked at before the run, written after it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{access, Access, OFlags};
use tea_core::actions::files::Files;

use super::error::Failure;
use crate::files::{self, OsFiles};
use crate::text::reason;

/// Where the final state goes.
pub struct Target {
    name: String,
    place: Place,
}

enum Place {
    /// A regular file, or none yet; free of links.
    Path(PathBuf),
    /// A device or FIFO, opened.
    Open(File),
}

impl Target {
    /// What `-o name` stands for.
    ///
    /// A device or FIFO is opened at once, as a shell does it.
    ///
    /// # Errors
    /// `Usage`: there is no such folder, or the file may not be replaced. `Output`: a device or
    /// FIFO cannot be opened.
    pub fn look_at(given: &OsStr) -> Result<Target, Failure> {
        let name = given.to_string_lossy().into_owned();
        let refused = |why: &str| Failure::usage(format!("-o {name}: {why}"));
        let facts = fs::metadata(given).ok();
        if facts.as_ref().is_some_and(|facts| !facts.is_file() && !facts.is_dir()) {
            let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap_or(0);
            let opened = File::options().write(true).custom_flags(flags).open(given);
            let file = opened.map_err(|error| unwritable(&name, &error))?;
            return Ok(Target { name, place: Place::Open(file) });
        }
        if facts.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(refused("a folder"));
        }
        let path = OsFiles.resolve(Path::new(""), Path::new(given));
        let path = path.map_err(|why| refused(&why))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        if !parent.is_dir() {
            return Err(refused("no such folder"));
        }
        if access(parent, Access::WRITE_OK).is_err() {
            return Err(refused("the folder may not be written to"));
        }
        if let Some(facts) = facts {
            files::check_owner(&facts).map_err(|error| refused(&reason(&error)))?;
        }
        Ok(Target { name, place: Place::Path(path) })
    }

    /// Write `data`, to a regular file whole or not at all.
    ///
    /// # Errors
    /// `Output`: it cannot be written.
    pub fn write(self, data: &[u8]) -> Result<(), Failure> {
        let written = match self.place {
            Place::Path(path) => files::write(&path, data),
            Place::Open(mut file) => file.write_all(data),
        };
        written.map_err(|error| unwritable(&self.name, &error))
    }
}

fn unwritable(name: &str, error: &io::Error) -> Failure {
    Failure::Output(format!("{name} cannot be written: {}", reason(error)))
}
