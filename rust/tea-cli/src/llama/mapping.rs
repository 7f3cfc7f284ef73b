//! The model's file as it is mapped into memory.
//!
//! llama.cpp maps the whole file and keeps it so. Where it has copied the weights into an order of
//! its own, hardly any of these pages is looked at again: they are given back to the kernel, which
//! has them in its cache still. And where the file is cut or cannot be read while it is mapped, the
//! kernel sends SIGBUS to whoever looks at a page that is gone: that becomes an error line.

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tea_core::llm::model_path::Found;
use tea_core::spec::EXIT_MODEL;

use crate::llm::gguf;

const GONE: &[u8] = b"tea: the model's file cannot be read any more: it was changed while it was \
    in use, or its disk fails\n     nothing may write to it while tea runs; if it is damaged, \
    download it again\n";

/// The pieces that are mapped, for the handler of the signal, which may not ask for memory.
/// Pairs of a first address and the one after the last; 0 where there is none.
static WATCHED: [[AtomicUsize; 2]; 64] = [const { [const { AtomicUsize::new(0) }; 2] }; 64];

/// The mapped pages of a model.
pub struct Mapping {
    inodes: BTreeSet<u64>,
    paths: BTreeSet<PathBuf>,
}

impl Mapping {
    /// Of the file or the files of `found`.
    ///
    /// # Errors
    /// One of them cannot be asked about.
    pub fn new(found: &Found) -> io::Result<Mapping> {
        let files = match found.extent {
            Some(extent) => vec![PathBuf::from(format!("/proc/self/fd/{}", extent.descriptor))],
            None => gguf::parts(&found.path),
        };
        // A file system in layers may say another inode to one than to the other.
        let inodes = files.iter().map(|file| Ok(fs::metadata(file)?.ino()));
        let inodes: io::Result<_> = inodes.collect();
        let paths = files.iter().filter_map(|file| fs::canonicalize(file).ok());
        Ok(Mapping { inodes: inodes?, paths: paths.collect() })
    }

    /// The first address of each piece that is mapped, and the one after its last.
    fn ranges(&self) -> Vec<[usize; 2]> {
        let maps = fs::read("/proc/self/maps").unwrap_or_default();
        String::from_utf8_lossy(&maps).lines().filter_map(|line| self.range(line)).collect()
    }

    fn range(&self, line: &str) -> Option<[usize; 2]> {
        // START-END PERMISSIONS OFFSET DEVICE INODE PATH
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let readable_and_shared = fields.next()? == "r--s";
        let inode: u64 = fields.nth(2)?.parse().ok()?;
        let path = fields.next().unwrap_or_default().trim_start();
        let is_ours = self.inodes.contains(&inode) || self.paths.contains(&PathBuf::from(path));
        let address = |text| usize::from_str_radix(text, 16).ok();
        (readable_and_shared && is_ours).then_some([address(start)?, address(end)?])
    }

    /// Give the pages back to the kernel; those that are looked at again come back.
    pub fn give_back(&self) {
        for [start, end] in self.ranges() {
            // SAFETY: the pages are those of a file that is mapped to be read: none has changes
            // that could be lost.
            unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
        }
    }

    /// Have a page that is gone end the program with an error line and exit code 3. To be called
    /// again when other pieces are mapped.
    pub fn watch(&self) {
        let ranges = self.ranges();
        for (index, slot) in WATCHED.iter().enumerate() {
            let [start, end] = ranges.get(index).copied().unwrap_or_default();
            slot[0].store(start, Ordering::Relaxed);
            slot[1].store(end, Ordering::Relaxed);
        }
        // SAFETY: the structure is plain data, for which zero is valid; the handler calls nothing
        // but what may be called in a handler.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = on_fault as extern "C" fn(_, _, _) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
        }
    }
}

extern "C" fn on_fault(signal: c_int, facts: *mut libc::siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel gives the facts of a SIGBUS; the calls are safe in a handler.
    unsafe {
        let address = (*facts).si_addr() as usize;
        let is_ours = WATCHED.iter().any(|slot| {
            (slot[0].load(Ordering::Relaxed)..slot[1].load(Ordering::Relaxed)).contains(&address)
        });
        if is_ours {
            libc::write(libc::STDERR_FILENO, GONE.as_ptr().cast(), GONE.len());
            libc::_exit(c_int::from(EXIT_MODEL));
        }
        libc::signal(signal, libc::SIG_DFL); // and it faults again
    }
}
