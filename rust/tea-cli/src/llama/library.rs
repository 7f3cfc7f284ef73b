//! The loaded library.

use std::env;
use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::OnceLock;

use libloading::os::unix::{Library as Opened, RTLD_GLOBAL, RTLD_NOW};
use tea_core::errors::{Error, Kind};

use super::bindings::Functions;
use super::log;

const LIBRARY_PATH: &str = "TEA_LIBRARY_PATH";
// In the order in which they need each other; OpenMP only where it lies beside them.
const LIBRARIES: [&str; 4] = ["libgomp", "libggml-base", "libggml", "libllama"];

/// llama.cpp's functions under their own names.
pub struct Library {
    pub(super) c: Functions,
}

/// The library, loaded at the first call and never closed.
///
/// # Errors
/// `ModelError`: a library is missing or damaged, or does not fit this program or this machine.
pub fn load() -> Result<&'static Library, Error> {
    static LOADED: OnceLock<Result<Library, Error>> = OnceLock::new();
    LOADED.get_or_init(|| Library::open(&library_directory()?)).as_ref().map_err(Clone::clone)
}

/// The folder of llama.cpp's libraries.
///
/// # Errors
/// `ModelError`: nothing names one.
pub fn library_directory() -> Result<PathBuf, Error> {
    match env::var_os(LIBRARY_PATH).filter(|path| !path.is_empty()) {
        Some(named) => Ok(std::path::absolute(&named).unwrap_or_else(|_| PathBuf::from(named))),
        None => Err(Error::new(Kind::Model, "local models need llama.cpp, which is not here")
            .hint(format!(
                "set {LIBRARY_PATH} to the folder of its libraries, or use a bundle of tea"
            ))),
    }
}

impl Library {
    fn open(directory: &Path) -> Result<Library, Error> {
        let mut opened = None;
        for name in LIBRARIES {
            match find(directory, name) {
                // The others find it in memory: no search path is needed then, and none leaks
                // into programs that are started from here.
                Some(path) => opened = Some(open(&path)?),
                None if name == "libgomp" => {}
                None => {
                    let message = format!(
                        "llama.cpp is not complete: {name}.so is not in {}",
                        directory.display()
                    );
                    return Err(Error::new(Kind::Model, message)
                        .hint(format!("set {LIBRARY_PATH} to the folder that has it")));
                }
            }
        }
        let Some(llama) = opened else { return Err(no_fit(&"nothing was opened")) };
        // SAFETY: the signatures are those of the headers that the libraries were built with, see
        // headers.sha256. libllama gives access to the functions of the libraries that it needs.
        let c = unsafe { Functions::from_library(llama) }.map_err(|error| no_fit(&error))?;
        let library = Library { c };
        library.load_cpu_backend(directory)?;
        Ok(library)
    }

    fn load_cpu_backend(&self, directory: &Path) -> Result<(), Error> {
        let path = c_path(directory)?;
        // SAFETY: the callback is a function of this program, the path ends with zero; this runs
        // once, before any other call.
        let devices = unsafe {
            (self.c.llama_log_set)(Some(log::on_log), ptr::null_mut());
            (self.c.ggml_backend_load_all_from_path)(path.as_ptr());
            (self.c.ggml_backend_dev_count)()
        };
        if devices == 0 {
            let message =
                format!("no part of llama.cpp in {} fits this machine's CPU", directory.display());
            return Err(Error::new(Kind::Model, message));
        }
        // SAFETY: as above.
        unsafe { (self.c.llama_backend_init)() };
        Ok(())
    }

    /// Whether there is a GPU that this build of llama.cpp computes on.
    #[must_use]
    pub fn has_gpu(&self) -> bool {
        // SAFETY: the backends are loaded.
        unsafe { (self.c.llama_supports_gpu_offload)() }
    }

    /// The name of the CPU module in use, such as `libggml-cpu-haswell.so`.
    #[must_use]
    pub fn cpu_backend(&self) -> String {
        let maps = fs::read("/proc/self/maps").unwrap_or_default();
        let maps = String::from_utf8_lossy(&maps);
        let found =
            maps.lines().find_map(|line| line.split_once("/libggml-cpu").map(|(_, end)| end));
        found.map_or_else(|| "unknown".into(), |end| format!("libggml-cpu{end}"))
    }
}

/// The path as C takes it.
pub(super) fn c_path(path: &Path) -> Result<CString, Error> {
    CString::new(path.as_os_str().to_os_string().into_vec())
        .map_err(|_| Error::new(Kind::Model, format!("{} is no path", path.display())))
}

/// The first file in `directory` that is called `name`.so, with a version or without.
fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let start = format!("{name}.so");
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .map(OsStr::as_bytes)
                .is_some_and(|file| file.starts_with(start.as_bytes()))
        })
        .collect();
    files.sort();
    files.into_iter().next()
}

fn open(path: &Path) -> Result<Opened, Error> {
    // SAFETY: what llama.cpp's libraries run when they are opened sets up their own tables alone.
    unsafe { Opened::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| Error::new(Kind::Model, format!("llama.cpp cannot be loaded: {error}")))
}

fn no_fit(error: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Model, format!("llama.cpp and this program do not fit each other: {error}"))
}
