//! The bundle's model where it lies inside the AppImage: an open file, an offset and a size.
//!
//! The AppImage's runtime opens the AppImage and hands its descriptor over in `TEA_MODEL_FD`, as
//! `DESCRIPTOR:OFFSET:SIZE` in decimal numbers. A path could be that of another file by now.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::ptr::NonNull;
use std::sync::OnceLock;

use rustix::io::{fcntl_setfd, FdFlags};
use tea_core::errors::{Error, Kind};
use tea_core::llm::model_path::Extent;

use super::bindings::FILE;
use crate::text::reason;

const MODEL_FD: &str = "TEA_MODEL_FD";

static GIVEN: OnceLock<String> = OnceLock::new();

/// Take the descriptor over from the environment: programs started from here inherit neither.
pub fn take() {
    let Some(given) = env::var_os(MODEL_FD) else { return };
    env::remove_var(MODEL_FD);
    let given = GIVEN.get_or_init(|| given.to_string_lossy().into_owned());
    if let Some(extent) = parse(given) {
        // It may not be open: said when a model is looked for.
        let _ = fcntl_setfd(descriptor(extent), FdFlags::CLOEXEC);
    }
}

/// Where the bundle's model lies, None when no descriptor was handed over.
///
/// # Errors
/// `ModelError`: what was handed over is no such extent.
pub fn extent() -> Result<Option<Extent>, Error> {
    GIVEN.get().map(|given| checked(given)).transpose()
}

fn checked(given: &str) -> Result<Extent, Error> {
    let useless = |why| {
        let message = format!("the AppImage's model cannot be read: {MODEL_FD}={given} {why}");
        Error::new(Kind::Model, message)
            .hint("start the AppImage itself; if it was started, download it again")
    };
    let extent = parse(given).ok_or_else(|| useless("is not DESCRIPTOR:OFFSET:SIZE"))?;
    let facts = open(extent)
        .and_then(|file| file.metadata())
        .map_err(|_| useless("names a descriptor that is not open"))?;
    if !facts.is_file() || extent.offset + extent.size > facts.len() {
        return Err(useless("goes beyond the end of the file"));
    }
    Ok(extent)
}

fn parse(given: &str) -> Option<Extent> {
    let mut numbers = given.split(':').map(|text| {
        let digits = text.len() <= 18 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits)
    });
    let mut next = || numbers.next().flatten();
    let descriptor = i32::try_from(next()?).ok()?;
    let extent = Extent { descriptor, offset: next()?, size: next()? };
    numbers.next().is_none().then_some(extent)
}

fn descriptor(extent: Extent) -> BorrowedFd<'static> {
    // SAFETY: what is handed over stays open, because nothing here knows it by another name. The
    // number is never -1, and one that is not open makes the system's calls fail.
    unsafe { BorrowedFd::borrow_raw(extent.descriptor) }
}

/// The whole file that the extent is in; where it stands is shared by all that open it so.
///
/// # Errors
/// The descriptor is not open.
pub fn open(extent: Extent) -> io::Result<File> {
    descriptor(extent).as_fd().try_clone_to_owned().map(File::from)
}

/// A C stream that stands where the model begins; closed in the end.
pub struct Stream(NonNull<libc::FILE>);

impl Stream {
    /// # Errors
    /// `ModelError`: there is no memory or no descriptor left.
    pub fn open(extent: Extent) -> Result<Stream, Error> {
        let cannot = |error: &io::Error| {
            let message = format!("the AppImage's model cannot be opened: {}", reason(error));
            Error::new(Kind::Model, message)
        };
        let file = open(extent).map_err(|error| cannot(&error))?;
        // SAFETY: the descriptor is open, and belongs to the stream from now on.
        let stream = unsafe { libc::fdopen(file.into_raw_fd(), c"rb".as_ptr()) };
        let stream = NonNull::new(stream).ok_or_else(|| cannot(&io::Error::last_os_error()))?;
        let stream = Stream(stream);
        let offset = libc::off_t::try_from(extent.offset).unwrap_or(libc::off_t::MAX);
        // SAFETY: the stream is open.
        if unsafe { libc::fseeko(stream.0.as_ptr(), offset, libc::SEEK_SET) } != 0 {
            return Err(cannot(&io::Error::last_os_error()));
        }
        Ok(stream)
    }

    /// As llama.cpp's functions take it; valid as long as the value.
    pub(super) fn handle(&self) -> *mut FILE {
        self.0.as_ptr().cast()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: the stream is open, and not used after this.
        unsafe { libc::fclose(self.0.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::testing::Folder;

    #[test]
    fn a_place_is_three_decimal_numbers() {
        let extent = Extent { descriptor: 9, offset: 4096, size: 5 };
        assert_eq!(parse("9:4096:5"), Some(extent));
        for wrong in
            ["", "9", "9:4096", "9:-1:5", "9:4096:5:6", "9:+1:5", "9:٤:5", "9:: 5", "-1:0:5"]
        {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_place_of_a_model_is_said() {
        let folder = Folder::new();
        let file = File::open(folder.write("tea.AppImage", [b'x'; 100])).unwrap();
        let number = file.as_raw_fd();
        let extent = checked(&format!("{number}:90:10")).unwrap();
        assert_eq!((extent.offset, extent.size), (90, 10));
        for (given, why) in [
            (format!("{number}:90:11"), "beyond the end"),
            ("999999:0:5".to_string(), "not open"),
            ("x".to_string(), "is not DESCRIPTOR:OFFSET:SIZE"),
        ] {
            let error = checked(&given).unwrap_err();
            assert!(error.message.contains(why), "{}", error.message);
        }
    }

    #[test]
    fn a_stream_stands_where_the_model_begins() {
        let folder = Folder::new();
        let file = File::open(folder.write("tea.AppImage", b"xxxxGGUF")).unwrap();
        let extent = Extent { descriptor: file.as_raw_fd(), offset: 4, size: 4 };
        let stream = Stream::open(extent).unwrap();
        let read: Vec<u8> = (0..4)
            // SAFETY: the stream is open.
            .map(|_| u8::try_from(unsafe { libc::fgetc(stream.0.as_ptr()) }).unwrap())
            .collect();
        assert_eq!(read, b"GGUF");
    }
}
