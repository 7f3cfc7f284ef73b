//! The head of a GGUF file: what the model is, and whether the file is whole.
//!
//! Long arrays (the tokenizer's vocabulary above all) are stepped over. Every length is checked
//! against the file before it is used.
//!
//! Source: the GGUF specification, versions 2 and 3.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tea_core::errors::{Error, Kind};
use tea_core::llm::model_path::Extent;

use crate::llama::model_file;
use crate::text::{grouped, reason};

const OLDEST: u32 = 2;
const NEWEST: u32 = 3;
const MAX_DIMENSIONS: u32 = 4;
const DEFAULT_ALIGNMENT: i128 = 32;
/// Elements of an array: one for each layer is kept, one for each token is not.
const KEPT_ELEMENTS: u64 = 1024;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i128),
    /// A number with a fraction.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// A short array of numbers.
    List(Vec<Value>),
}

/// A tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its type, as its number in ggml.h.
    pub kind: u32,
    /// Its dimensions.
    pub shape: Vec<u64>,
    /// Bytes.
    pub size: u64,
}

/// What the head of a file (of all its parts, if it is split) says.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    metadata: HashMap<String, Value>,
    /// Weights.
    pub parameters: i128,
    /// Bytes on disk.
    pub size: u64,
    /// All tensors.
    pub tensors: Vec<Tensor>,
    /// Elements of arrays of texts: tokens and their merges.
    pub texts: u64,
}

impl Tensor {
    /// Whether ggml takes it for a matrix, or for the matrices of several experts.
    #[must_use]
    pub fn is_matrix(&self) -> bool {
        matches!(self.shape.len(), 2 | 3) && block_size(self.kind) != UNKNOWN
    }
}

impl Gguf {
    fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// What the metadata say for the model's architecture.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("{}.{key}", self.architecture()))
    }

    /// The same where it is a whole number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i128> {
        match self.value(key) {
            Some(Value::Int(number)) => Some(*number),
            _ => None,
        }
    }

    /// The family of the model, such as `llama` or `gemma3`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        self.text("general.architecture").unwrap_or("")
    }

    /// The model's own name, else the file's.
    #[must_use]
    pub fn name(&self) -> String {
        match self.text("general.name").filter(|name| !name.is_empty()) {
            Some(name) => name.to_string(),
            None => self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }

    /// The context that the model was trained for, in tokens.
    #[must_use]
    pub fn context_length(&self) -> Option<u32> {
        u32::try_from(self.number("context_length")?).ok()
    }

    /// Whether the model has a way of its own to make one vector of a text.
    #[must_use]
    pub fn pools(&self) -> bool {
        self.number("pooling_type").is_some_and(|kind| kind != 0)
    }

    /// The model's own chat template, in Jinja.
    #[must_use]
    pub fn chat_template(&self) -> Option<&str> {
        self.text("tokenizer.chat_template").filter(|text| !text.trim().is_empty())
    }
}

/// All parts of the split file that `path` is one of, in order; else only `path`.
#[must_use]
pub fn parts(path: &Path) -> Vec<PathBuf> {
    split_name(path).unwrap_or_else(|| vec![path.to_path_buf()])
}

/// STEM-00001-of-00003.gguf
fn split_name(path: &Path) -> Option<Vec<PathBuf>> {
    let name = path.file_name()?.to_str()?;
    let suffix = name.get(name.len().checked_sub(5)?..)?;
    if !suffix.eq_ignore_ascii_case(".gguf") {
        return None;
    }
    let (rest, count) = name[..name.len() - 5].rsplit_once('-')?;
    let (rest, word) = rest.rsplit_once('-')?;
    let (stem, index) = rest.rsplit_once('-')?;
    let number = |text: &str| {
        (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| text.parse::<u32>().ok())?
    };
    number(index)?;
    let count = number(count)?;
    if stem.is_empty() || !word.eq_ignore_ascii_case("of") || count == 0 {
        return None;
    }
    let part = |index| path.with_file_name(format!("{stem}-{index:05}-of-{count:05}{suffix}"));
    Some((1..=count).map(part).collect())
}

/// Read the head of `path`, and of its other parts if it is split. `extent`: of the model that is
/// this part of a file that is open, and called `path`.
///
/// # Errors
/// `ModelError`: not a GGUF file, of a version or byte order that is not read here, cut off or
/// damaged, a part is missing, or the file cannot be read.
pub fn read(path: &Path, extent: Option<Extent>) -> Result<Gguf, Error> {
    if let Some(extent) = extent {
        return read_extent(path, extent);
    }
    let mut heads = parts(path).into_iter().map(|part| read_one(&part));
    let mut whole = heads.next().unwrap_or_else(|| Err(not_gguf(path, &[])))?;
    for head in heads {
        let head = head?;
        whole.parameters += head.parameters;
        whole.size += head.size;
        whole.tensors.extend(head.tensors);
    }
    Ok(whole)
}

fn read_one(path: &Path) -> Result<Gguf, Error> {
    let cannot = |error: io::Error| cannot_read(path, &error);
    let file = File::open(path).map_err(cannot)?;
    let size = file.metadata().map_err(cannot)?.len();
    Head::new(path, file, size).read()
}

fn read_extent(path: &Path, extent: Extent) -> Result<Gguf, Error> {
    let opened = model_file::open(extent).and_then(|mut file| {
        file.seek(SeekFrom::Start(extent.offset))?;
        Ok(file)
    });
    let file = opened.map_err(|error| cannot_read(path, &error))?;
    Head::new(path, file, extent.size).read()
}

fn cannot_read(path: &Path, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        let hint = match split_name(path) {
            Some(_) => "all parts of a split model must be in one folder",
            None => "",
        };
        return model_error(format!("model file {} does not exist", path.display())).hint(hint);
    }
    model_error(format!("model file {} cannot be read: {}", path.display(), reason(error)))
}

fn model_error(message: String) -> Error {
    Error::new(Kind::Model, message)
}

/// Name what a file is that begins with `head` and not like a model.
fn not_gguf(path: &Path, head: &[u8]) -> Error {
    let path = path.display();
    match other_file(head) {
        Some((kind, hint)) => {
            model_error(format!("{path} is not a GGUF file but {kind}")).hint(hint)
        }
        None => model_error(format!("{path} is not a GGUF file"))
            .hint("models of another format must be converted to GGUF"),
    }
}

/// What lies in place of a model when a download went wrong, and what to do.
fn other_file(head: &[u8]) -> Option<(&'static str, &'static str)> {
    const PAGE: &str =
        "the address gave it in place of the model: is a login, or another address, needed?";
    let small = head.trim_ascii_start().to_ascii_lowercase();
    let starts = |word: &str| small.starts_with(word.as_bytes());
    Some(if head.is_empty() {
        ("an empty file", "download the model again")
    } else if head.starts_with(b"version https://git-lfs.github.com/") {
        ("a pointer of Git LFS", "get the file that it stands for: git lfs pull")
    } else if ["<!doctype html", "<html", "<head"].into_iter().any(starts) {
        ("an HTML page", PAGE)
    } else if starts("<?xml") {
        ("an XML text", PAGE)
    } else if starts("{") {
        ("a JSON text", PAGE)
    } else if head.starts_with(b"PK\x03\x04") {
        ("a ZIP archive", "unpack it, and name the file ending in .gguf")
    } else {
        return None;
    })
}

/// Say what llama.cpp would not take of a tensor that begins at `offset` of the data.
fn fault(shape: &[u64], per_block: u128, offset: u128, alignment: u128) -> Option<String> {
    let row = u128::from(shape.first().copied().unwrap_or(1));
    if shape.contains(&0) {
        Some("has no elements".to_string())
    } else if row % per_block != 0 {
        let row = grouped(row);
        Some(format!("has rows of {row} elements, which are no whole blocks of {per_block}"))
    } else if !offset.is_multiple_of(alignment) {
        let offset = grouped(offset);
        Some(format!("begins at byte {offset} of the data, no multiple of {alignment}"))
    } else {
        None
    }
}

/// One pass over the head of a file: header, metadata, tensor table.
struct Head<'a> {
    path: &'a Path,
    file: BufReader<File>,
    size: u64,
    position: u64,
    texts: u64,
}

impl Head<'_> {
    /// Of `size` bytes of `file` from where it stands.
    fn new(path: &Path, file: File, size: u64) -> Head<'_> {
        Head { path, file: BufReader::with_capacity(1 << 16, file), size, position: 0, texts: 0 }
    }

    fn read(mut self) -> Result<Gguf, Error> {
        self.check_version()?;
        let (tensors, entries) = (self.count()?, self.count()?);
        let mut metadata = HashMap::new();
        for _ in 0..entries {
            let key = self.string()?;
            let kind = self.u32()?;
            if let Some(value) = self.value(kind)? {
                metadata.insert(key, value);
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Int(number)) if *number > 0 && number & (number - 1) == 0 => *number,
            Some(_) => return Err(self.damaged("its alignment is not a power of two")),
        };
        let (tensors, parameters) = self.tensors(tensors, alignment.unsigned_abs())?;
        let (path, size, texts) = (self.path.to_path_buf(), self.size, self.texts);
        Ok(Gguf { path, metadata, parameters, size, tensors, texts })
    }

    fn check_version(&mut self) -> Result<(), Error> {
        let head = self.file.fill_buf().map_err(|error| cannot_read(self.path, &error))?;
        if !head.starts_with(b"GGUF") {
            return Err(not_gguf(self.path, head));
        }
        self.skip(4)?;
        let (version, path) = (self.u32()?, self.path.display());
        if version & 0xffff == 0 {
            return Err(model_error(format!("{path} is a big-endian GGUF file"))
                .hint("use the little-endian one"));
        }
        if (OLDEST..=NEWEST).contains(&version) {
            return Ok(());
        }
        let age =
            if version > NEWEST { "newer than this program" } else { "of a version long gone" };
        Err(model_error(format!(
            "{path} is a GGUF file of version {version}, {age} (read here: {OLDEST} to {NEWEST})"
        ))
        .hint("get a file of a version that is read here, or another release of tea"))
    }

    /// The table of tensors, and the number of weights; the data of each is in the file.
    fn tensors(&mut self, count: u64, alignment: u128) -> Result<(Vec<Tensor>, i128), Error> {
        let mut parameters: u128 = 0;
        let mut found = Vec::new();
        let mut names = HashSet::new();
        for _ in 0..count {
            let name = self.string()?;
            let dimensions = self.u32()?;
            if dimensions > MAX_DIMENSIONS {
                let what = format!("tensor {name:?} has {dimensions} dimensions");
                return Err(self.damaged(&what));
            }
            let mut shape = Vec::new();
            for _ in 0..dimensions {
                shape.push(self.u64()?);
            }
            let elements = shape.iter().fold(1u128, |all, n| all.saturating_mul((*n).into()));
            let kind = self.u32()?;
            let (per_block, block) = block_size(kind);
            let size = (elements / per_block).saturating_mul(block);
            let offset = u128::from(self.u64()?);
            let fault = if names.insert(name.clone()) {
                fault(&shape, per_block, offset, alignment)
            } else {
                Some("is there twice".to_string())
            };
            if let Some(fault) = fault {
                return Err(self.damaged(&format!("tensor {name:?} {fault}")));
            }
            found.push((name, kind, shape, size, offset));
            parameters = parameters.saturating_add(elements);
        }
        let start = u128::from(self.position).div_ceil(alignment).saturating_mul(alignment);
        let mut tensors = Vec::new();
        for (name, kind, shape, size, offset) in found {
            let end = start.saturating_add(offset).saturating_add(size);
            if end > u128::from(self.size) {
                return Err(model_error(format!(
                    "{} is cut off: tensor {:?} ends at byte {}, the file at {}",
                    self.path.display(),
                    name,
                    grouped(end),
                    grouped(u128::from(self.size))
                ))
                .hint("download it again"));
            }
            let size = u64::try_from(size).unwrap_or(self.size);
            tensors.push(Tensor { name, kind, shape, size });
        }
        Ok((tensors, i128::try_from(parameters).unwrap_or(i128::MAX)))
    }

    fn value(&mut self, kind: u32) -> Result<Option<Value>, Error> {
        Ok(Some(match kind {
            0 => Value::Int(u8::from_le_bytes(self.bytes()?).into()),
            1 => Value::Int(i8::from_le_bytes(self.bytes()?).into()),
            2 => Value::Int(u16::from_le_bytes(self.bytes()?).into()),
            3 => Value::Int(i16::from_le_bytes(self.bytes()?).into()),
            4 => Value::Int(self.u32()?.into()),
            5 => Value::Int(i32::from_le_bytes(self.bytes()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.bytes()?).into()),
            7 => Value::Bool(self.bytes::<1>()? != [0]),
            8 => Value::Text(self.string()?),
            9 => {
                let (kind, count) = (self.u32()?, self.count()?);
                return self.array(kind, count);
            }
            10 => Value::Int(self.u64()?.into()),
            11 => Value::Int(i64::from_le_bytes(self.bytes()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.bytes()?)),
            _ => return Err(self.damaged(&format!("a value has the unknown type {kind}"))),
        }))
    }

    /// Step over an array; returns the numbers of a short one.
    fn array(&mut self, kind: u32, count: u64) -> Result<Option<Value>, Error> {
        let scalar = kind <= 12 && kind != 8 && kind != 9;
        if scalar && count <= KEPT_ELEMENTS {
            let values: Result<Vec<_>, _> = (0..count).map(|_| self.value(kind)).collect();
            return Ok(Some(Value::List(values?.into_iter().flatten().collect())));
        }
        let size = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..count {
                    let length = self.u64()?;
                    self.skip(length)?;
                }
                self.texts += count;
                return Ok(None);
            }
            _ => return Err(self.damaged(&format!("an array has elements of the type {kind}"))),
        };
        self.skip(count.saturating_mul(size)).map(|()| None)
    }

    /// Read a number of things, each of at least one byte.
    fn count(&mut self) -> Result<u64, Error> {
        let count = self.u64()?;
        if count > self.size {
            return Err(self.cut_off());
        }
        Ok(count)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.bytes().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.bytes().map(u64::from_le_bytes)
    }

    fn string(&mut self) -> Result<String, Error> {
        let length = self.u64()?;
        self.advance(length)?;
        let mut data = vec![0; usize::try_from(length).map_err(|_| self.cut_off())?];
        self.file.read_exact(&mut data).map_err(|error| cannot_read(self.path, &error))?;
        Ok(String::from_utf8_lossy(&data).into_owned())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.advance(N as u64)?;
        let mut data = [0; N];
        self.file.read_exact(&mut data).map_err(|error| cannot_read(self.path, &error))?;
        Ok(data)
    }

    fn skip(&mut self, length: u64) -> Result<(), Error> {
        self.advance(length)?;
        let offset = i64::try_from(length).map_err(|_| self.cut_off())?;
        self.file.seek_relative(offset).map_err(|error| cannot_read(self.path, &error))
    }

    fn advance(&mut self, length: u64) -> Result<(), Error> {
        if length > self.size - self.position {
            return Err(self.cut_off());
        }
        self.position += length;
        Ok(())
    }

    fn cut_off(&self) -> Error {
        model_error(format!(
            "{} is cut off or damaged: its head goes on past the end of the file ({} bytes)",
            self.path.display(),
            grouped(u128::from(self.size))
        ))
        .hint("download it again")
    }

    fn damaged(&self, what: &str) -> Error {
        model_error(format!("{} is damaged: {what}", self.path.display())).hint("download it again")
    }
}

const UNKNOWN: (u128, u128) = (1, 0);

/// Elements and bytes of one block of a tensor type; numbers as in ggml.h.
fn block_size(kind: u32) -> (u128, u128) {
    match kind {
        0 | 26 => (1, 4),
        1 | 25 | 30 => (1, 2),
        2 | 20 => (32, 18),
        3 => (32, 20),
        6 => (32, 22),
        7 => (32, 24),
        8 => (32, 34),
        9 => (32, 36),
        10 => (256, 84),
        11 | 21 => (256, 110),
        12 => (256, 144),
        13 => (256, 176),
        14 => (256, 210),
        15 => (256, 292),
        16 | 35 => (256, 66),
        17 => (256, 74),
        18 => (256, 98),
        19 => (256, 50),
        22 => (256, 82),
        23 => (256, 136),
        24 => (1, 1),
        27 | 28 => (1, 8),
        29 => (256, 56),
        34 => (256, 54),
        39 => (32, 17),
        40 => (64, 36),
        41 => (128, 18),
        42 => (64, 18),
        _ => UNKNOWN,
    }
}
