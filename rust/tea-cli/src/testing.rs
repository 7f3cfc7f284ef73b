//! What the tests of several modules need.

use std::future::Future;
use std::sync::Arc;

use tea_core::llm::model_path::Found;

use crate::llama::{self, Loading, Model};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A new folder that goes with the value.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tea-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Write a file and the folders that it lies in; returns its path.
    pub fn write(&self, name: &str, data: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, data).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The model that `TEA_MODEL_PATH` names. Tests with it are ignored unless asked for: they need
/// llama.cpp's libraries too, see `TEA_LIBRARY_PATH`.
pub fn model() -> Arc<Model> {
    let path = std::env::var_os("TEA_MODEL_PATH").unwrap();
    let loading = Loading { n_gpu_layers: 0, repack: true };
    let found = Found::new(path.into(), "TEA_MODEL_PATH");
    Arc::new(Model::load(llama::load().unwrap(), &found, loading, "").unwrap())
}

/// The result of `work`, which another thread does.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    crate::cli::block_on(work)
}
