//! Whether the bundle's model is what it was when the bundle was made.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};
use tea_core::errors::{Error, Kind};
use tea_core::llm::model_path::Found;

use crate::llama::model_file;
use crate::text::reason;

const CHUNK: usize = 1 << 20;

/// Read the whole model; returns its sha256, which is the bundle's.
///
/// # Errors
/// `ModelError`: it is another, it cannot be read, or it is not the bundle's own model.
pub fn verify(found: &Found) -> Result<String, Error> {
    let path = found.path.display();
    let error = |message: String| Error::new(Kind::Model, message);
    let Some(expected) = &found.sha256 else {
        return Err(error(format!("{path} has no digest to be compared with"))
            .hint("only the model of a bundle has one"));
    };
    let digest = digest(found)
        .map_err(|why| error(format!("model file {path} cannot be read: {}", reason(&why))))?;
    if digest != *expected {
        return Err(error(format!(
            "{path} is damaged: its model's sha256 is {digest}, and was {expected} when the bundle \
             was made"
        ))
        .hint("download it again"));
    }
    Ok(digest)
}

fn digest(found: &Found) -> io::Result<String> {
    let (file, mut position, size) = match found.extent {
        Some(extent) => (model_file::open(extent)?, extent.offset, extent.size),
        None => {
            let file = File::open(&found.path)?;
            let size = file.metadata()?.len();
            (file, 0, size)
        }
    };
    let (end, mut buffer) = (position + size, vec![0; CHUNK]);
    let mut digest = Sha256::new();
    while position < end {
        let room = usize::try_from(end - position).unwrap_or(CHUNK).min(CHUNK);
        let count = file.read_at(&mut buffer[..room], position)?;
        if count == 0 {
            break;
        }
        digest.update(&buffer[..count]);
        position += count as u64;
    }
    let mut text = String::new();
    for byte in digest.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
