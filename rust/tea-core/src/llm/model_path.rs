//! Where the local model comes from.
//!
//! First what the user names (`--gguf`, TEA_MODEL_PATH, `settings.llm.model_path`), which must
//! exist; then the bundle, the folder of the AppImage file, and the user's cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::errors::{Error, Kind};
use crate::value::json;
use crate::value::{Map, Value};

const MODEL_PATH: &str = "TEA_MODEL_PATH";

/// What the search looks at.
pub trait ModelFiles {
    /// A variable of the environment, which may hold a path that is no UTF-8.
    fn variable(&self, name: &str) -> Option<OsString>;
    /// Whether there is a folder.
    fn is_folder(&self, path: &Path) -> bool;
    /// Whether there is a file.
    fn is_file(&self, path: &Path) -> bool;
    /// What is in a folder; None where it cannot be read.
    fn list(&self, folder: &Path) -> Option<Vec<PathBuf>>;
    /// The text of a file; None where there is none.
    ///
    /// # Errors
    /// The reason why it cannot be read.
    fn read(&self, path: &Path) -> Result<Option<String>, String>;
}

/// `size` bytes from byte `offset` of the open file `descriptor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Extent {
    pub descriptor: i32,
    pub offset: u64,
    pub size: u64,
}

/// A model file (the first part, if it is split) and which rule found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// The model is this part of the file, the AppImage.
    pub extent: Option<Extent>,
    /// The rule, for people.
    pub source: &'static str,
    /// The bundle's default context for its own model, in tokens.
    pub n_ctx: Option<u64>,
    /// The bundle's template for a model file without one.
    pub chat_template: Option<String>,
    /// The digest of the bundle's own model.
    pub sha256: Option<String>,
}

impl Found {
    /// A file of which nothing more is said.
    #[must_use]
    pub fn new(path: PathBuf, source: &'static str) -> Found {
        Found { path, extent: None, source, n_ctx: None, chat_template: None, sha256: None }
    }
}

/// The model to use, None when there is none in any place. `extent` is where the runtime says that
/// the bundle's own model lies.
///
/// # Errors
/// `ModelError`: a named file or folder does not exist, or a folder has not exactly one model.
pub fn find(
    files: &dyn ModelFiles,
    gguf_option: Option<&Path>,
    env: &Map,
    setting: Option<&str>,
    extent: Option<Extent>,
) -> Result<Option<Found>, Error> {
    let setting = setting.map(|text| expand(text, env)).transpose()?;
    let named_by = [
        ("--gguf", gguf_option.map(Path::to_path_buf)),
        (MODEL_PATH, path_in(files, MODEL_PATH)),
        ("settings.llm.model_path", setting.map(PathBuf::from)),
    ];
    for (source, path) in named_by {
        if let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) {
            let path = named(files, &path, source)?;
            return Ok(Some(Found::new(path, source)));
        }
    }
    if let Some(extent) = extent {
        let open = || format!("/proc/self/fd/{}", extent.descriptor).into();
        let path = path_in(files, "APPIMAGE").unwrap_or_else(open);
        let found = Found { extent: Some(extent), ..Found::new(path, "bundle") };
        return bundled(files, found).map(Some);
    }
    for (source, folder) in folders(files) {
        if let Some(path) = only_model(files, &folder, source)? {
            let found = Found::new(path, source);
            return Ok(Some(if source == "bundle" { bundled(files, found)? } else { found }));
        }
    }
    Ok(None)
}

fn variable(env: &Map, name: &str) -> Option<String> {
    env.get(name).and_then(Value::as_text).filter(|text| !text.is_empty()).map(Into::into)
}

fn path_in(files: &dyn ModelFiles, name: &str) -> Option<PathBuf> {
    files.variable(name).filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn folders(files: &dyn ModelFiles) -> Vec<(&'static str, PathBuf)> {
    let mut found = Vec::new();
    if let Some(folder) = path_in(files, "APPDIR") {
        found.push(("bundle", folder.join("usr/share/models")));
    }
    if let Some(file) = path_in(files, "APPIMAGE") {
        let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
        found.push(("folder of the AppImage", folder));
    }
    if let Some(home) = path_in(files, "HOME") {
        found.push(("cache", home.join(".cache/tea/models")));
    }
    found
}

/// Put the home folder for `~` and the environment's values for `$VAR` and `${VAR}`.
fn expand(text: &str, env: &Map) -> Result<String, Error> {
    let home = variable(env, "HOME").filter(|_| text == "~" || text.starts_with("~/"));
    let mut rest = if home.is_some() { &text[1..] } else { text };
    let mut expanded = home.unwrap_or_default();
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, end) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = after.find(|c: char| !is_name(c)).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        if name.is_empty() || !name.chars().all(is_name) {
            expanded.push('$');
            rest = after;
            continue;
        }
        let value = env.get(name).and_then(Value::as_text).ok_or_else(|| {
            Error::new(
                Kind::Model,
                format!(
                    "settings.llm.model_path {text:?} names the variable {name}, \
                     which is not in the environment"
                ),
            )
        })?;
        expanded.push_str(value);
        rest = &after[end..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn named(files: &dyn ModelFiles, path: &Path, source: &'static str) -> Result<PathBuf, Error> {
    let missing = |message| Err(Error::new(Kind::Model, format!("{source}: {message}")));
    if files.is_folder(path) {
        return match only_model(files, path, source)? {
            Some(found) => Ok(found),
            None => missing(format!("there is no GGUF file in {}", path.display())),
        };
    }
    if !files.is_file(path) {
        return missing(format!("model {} does not exist", path.display()));
    }
    Ok(first_part(path))
}

/// The one model in `folder`; None when it has none or cannot be read.
fn only_model(
    files: &dyn ModelFiles,
    folder: &Path,
    source: &'static str,
) -> Result<Option<PathBuf>, Error> {
    let Some(listed) = files.list(folder) else { return Ok(None) };
    let is_gguf = |path: &&PathBuf| {
        path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf")) && files.is_file(path)
    };
    let mut models: Vec<PathBuf> =
        listed.iter().filter(is_gguf).map(|path| first_part(path)).collect();
    models.sort();
    models.dedup();
    if models.len() < 2 {
        return Ok(models.pop());
    }
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let names: Vec<String> = models.iter().filter_map(name).collect();
    let (shown, count, names) = (folder.display(), models.len(), names.join(", "));
    Err(Error::new(Kind::Model, format!("{source}: {shown} has {count} models: {names}"))
        .hint(format!("name one with --gguf or {MODEL_PATH}")))
}

/// The first part of the split file that `path` is one of, in order; else `path`.
fn first_part(path: &Path) -> PathBuf {
    parts(path).into_iter().next().unwrap_or_else(|| path.to_path_buf())
}

/// All parts of the split file that `path` is one of, in order; else only `path`.
#[must_use]
pub fn parts(path: &Path) -> Vec<PathBuf> {
    let is_number = |text: &str| text.len() == 5 && text.bytes().all(|b| b.is_ascii_digit());
    let split = || {
        let name = path.file_name()?.to_str()?;
        let (base, end) = name.rsplit_once('.').filter(|(_, e)| e.eq_ignore_ascii_case("gguf"))?;
        let (rest, count) = base.rsplit_once('-').filter(|(_, count)| is_number(count))?;
        let rest = rest.get(..rest.len().checked_sub(3)?).filter(|_| {
            rest.get(rest.len() - 3..).is_some_and(|word| word.eq_ignore_ascii_case("-of"))
        })?;
        let (stem, _) = rest.rsplit_once('-').filter(|(_, index)| is_number(index))?;
        let total: u32 = count.parse().ok().filter(|_| !stem.is_empty())?;
        let part = |index| path.with_file_name(format!("{stem}-{index:05}-of-{total:05}.{end}"));
        Some((1..=total).map(part).collect())
    };
    split().unwrap_or_else(|| vec![path.to_path_buf()])
}

/// Add what the bundle says about its model, in usr/share/tea/bundle.json: a JSON object with
/// `n_ctx` (default context in tokens), `chat_template` (for a model file without one) and `sha256`
/// (of the model's file).
fn bundled(files: &dyn ModelFiles, found: Found) -> Result<Found, Error> {
    let path = path_in(files, "APPDIR").unwrap_or_default().join("usr/share/tea/bundle.json");
    let unreadable = |reason: String| {
        Error::new(Kind::Model, format!("{} cannot be read: {reason}", path.display()))
    };
    let Some(text) = files.read(&path).map_err(unreadable)? else { return Ok(found) };
    let values = json::read(&text).map_err(|error| unreadable(error.to_string()))?;
    let value = |key: &str| values.as_map().and_then(|map| map.get(key)).cloned();
    Ok(Found {
        n_ctx: value("n_ctx").and_then(|n| n.as_int()).and_then(|n| u64::try_from(n).ok()),
        chat_template: value("chat_template").and_then(|t| t.as_text().map(Into::into)),
        sha256: value("sha256").and_then(|t| t.as_text().map(Into::into)),
        ..found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_model_is_all_of_its_parts() {
        let names: Vec<String> = parts(Path::new("/m/a-00002-of-00003.GGUF"))
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        assert_eq!(
            names,
            ["/m/a-00001-of-00003.GGUF", "/m/a-00002-of-00003.GGUF", "/m/a-00003-of-00003.GGUF"]
        );
        for whole in
            ["/m/a-2-of-3.gguf", "/m/-00001-of-00002.gguf", "/m/é.gguf", "/m/ü-of-00001.gguf"]
        {
            assert_eq!(parts(Path::new(whole)), [Path::new(whole)]);
        }
    }

    #[test]
    fn variables_and_the_home_folder_are_expanded() {
        let env: Map = [("HOME", "/home/a"), ("DIR", "d")]
            .map(|(key, value)| (key.into(), value.into()))
            .into_iter()
            .collect();
        assert_eq!(expand("~/$DIR/${DIR}x$", &env).unwrap(), "/home/a/d/dx$");
        assert_eq!(expand("a~", &env).unwrap(), "a~");
        assert!(expand("$NONE", &env).unwrap_err().message.contains("NONE"));
    }
}
