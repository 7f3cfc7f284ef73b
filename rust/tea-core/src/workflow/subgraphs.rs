//! The files of subgraphs: below the folder of the workflow that is run, and none inside itself.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::actions::files::Files;
use crate::errors::{Error, InvalidFile, Kind};
use crate::workflow::model::Workflow;

/// A file that is read, and the files that led to it, itself the last. All free of links.
pub struct Source {
    files: Rc<dyn Files>,
    root: PathBuf,
    chain: Vec<PathBuf>,
}

/// Why there is no subgraph.
pub(crate) enum Unloadable {
    File(Error),
    Invalid(InvalidFile),
}

/// Loads the subgraph of this path.
pub(crate) type Load<'a> = dyn Fn(&str) -> Result<Workflow, Unloadable> + 'a;

impl Source {
    /// The source of a workflow's own file; - is standard input.
    #[must_use]
    pub fn new(files: Rc<dyn Files>, file: &Path) -> Source {
        let resolved = |path: &Path| files.resolve(Path::new(""), path).unwrap_or(path.into());
        if file == Path::new("-") {
            let root = resolved(Path::new("."));
            return Source { files, root, chain: Vec::new() };
        }
        let path = resolved(file);
        let root = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Source { files, root, chain: vec![path] }
    }

    /// The source of a subgraph that this file names.
    ///
    /// # Errors
    /// `FileError`: it is outside the root, or one of the files that led to it.
    pub(crate) fn subgraph(&self, given: &str) -> Result<Source, Error> {
        let wrong = |message: String| Error::new(Kind::File, message);
        let base = self.chain.last().and_then(|path| path.parent()).unwrap_or(&self.root);
        let path = self.files.resolve(base, Path::new(given)).map_err(wrong)?;
        if !path.starts_with(&self.root) {
            return Err(wrong(format!("{given} is outside the workflow's folder")));
        }
        let mut chain = self.chain.clone();
        if let Some(at) = chain.iter().position(|each| *each == path) {
            let name =
                |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into();
            let names: Vec<String> = chain[at..].iter().chain([&path]).map(name).collect();
            return Err(wrong(format!("a subgraph cannot run itself: {}", names.join(" → "))));
        }
        chain.push(path);
        Ok(Source { files: self.files.clone(), root: self.root.clone(), chain })
    }

    /// The file's text.
    ///
    /// # Errors
    /// `FileError`: it cannot be read.
    pub(crate) fn read(&self) -> Result<String, Error> {
        let path = self.chain.last().unwrap_or(&self.root);
        let wrong = |why: String| Error::new(Kind::File, format!("{} {why}", path.display()));
        let bytes = self.files.read(path);
        let bytes = bytes.map_err(|reason| wrong(format!("cannot be read: {reason}")))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let byte = error.utf8_error().valid_up_to();
            wrong(format!("is not UTF-8: byte {byte} does not fit"))
        })?;
        Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text))
    }
}
