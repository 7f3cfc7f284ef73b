//! The actions and backends of this program, put together.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tea_core::actions::{data, files, llm, Registry};
use tea_core::errors::Error;
use tea_core::llm::api::ApiBackend;
use tea_core::llm::backend::{Backend, BackendFactory, Backends};
use tea_core::llm::endpoint::Endpoint;
use tea_core::llm::model_path::{self, Found};
use tea_core::value::json;
use tea_core::value::{Map, Value};

use super::arguments::ModelOptions;
use crate::files::OsFiles;
use crate::llama::model_file;
use crate::llm::http::{Stoppable, UreqHttp};
use crate::llm::local::{LocalBackend, LocalOptions};
use crate::streams;

/// The name of this engine in messages.
pub const ENGINE: &str = "rust";

/// The ways to a model that the command line and the environment leave open.
pub struct Models {
    /// What the llm actions ask.
    pub backends: Rc<Backends>,
    local: Rc<RefCell<Option<Rc<LocalBackend>>>>,
    env: Rc<Map>,
}

impl Models {
    /// Nothing is looked for before a backend is asked for.
    #[must_use]
    pub fn new(options: &ModelOptions, env: Rc<Map>) -> Models {
        let local = Rc::new(RefCell::new(None));
        let backends =
            Backends::new(local_factory(options, &env, &local), api_factory(&env), options.backend);
        Models { backends: Rc::new(backends), local, env }
    }

    /// The local backend, once it was asked for.
    #[must_use]
    pub fn local(&self) -> Option<Rc<LocalBackend>> {
        self.local.borrow().clone()
    }

    /// The system text that the bundle wants for a conversation with its own model.
    #[must_use]
    pub fn chat_system(&self) -> Option<String> {
        let local = self.local()?;
        if local.found().source != "bundle" {
            return None;
        }
        let folder = self.env.get("APPDIR").and_then(Value::as_text)?;
        let text = std::fs::read_to_string(Path::new(folder).join("usr/share/tea/bundle.json"));
        let values = json::read(&text.ok()?).ok()?;
        values.as_map()?.get("chat_system")?.as_text().map(str::to_string)
    }
}

/// The model that would be used.
///
/// # Errors
/// `ModelError`: what is named does not exist, a folder has not exactly one model, or what the
/// runtime handed over is no model.
pub fn find(
    gguf: Option<&OsStr>,
    env: &Map,
    setting: Option<&str>,
) -> Result<Option<Found>, Error> {
    model_path::find(&OsFiles, gguf.map(Path::new), env, setting, model_file::extent()?)
}

fn local_factory(
    options: &ModelOptions,
    env: &Rc<Map>,
    made: &Rc<RefCell<Option<Rc<LocalBackend>>>>,
) -> BackendFactory {
    let (gguf, verbose, low_memory) = (options.gguf.clone(), options.verbose, options.low_memory);
    let choice = options.backend;
    let (env, made) = (env.clone(), made.clone());
    Box::new(move |settings| {
        let setting = settings.get("model_path").and_then(Value::as_text);
        let Some(found) = find(gguf.as_deref(), &env, setting)? else { return Ok(None) };
        let options = LocalOptions::from_settings(settings, low_memory);
        let backend = Rc::new(LocalBackend::new(found, options, verbose));
        *made.borrow_mut() = Some(backend.clone());
        let asked =
            ["provider", "api_base"].into_iter().find_map(|key| settings.get(key)?.as_text());
        if let Some(asked) = asked.filter(|_| verbose && choice.is_none()) {
            streams::say(&format!("the file names an API ({asked}); the local model answers"));
        }
        Ok(Some(backend as Rc<dyn Backend>))
    })
}

fn api_factory(env: &Rc<Map>) -> BackendFactory {
    let env = env.clone();
    Box::new(move |settings| {
        let endpoint = Endpoint::new(settings, &env)?;
        Ok(endpoint.map(|found| Rc::new(Stoppable(ApiBackend::new(found, Rc::new(UreqHttp)))) as _))
    })
}

/// Every action of this program; files are in reach below `roots`.
#[must_use]
pub fn registry(backends: &Rc<Backends>, roots: Vec<PathBuf>) -> Registry {
    let mut registry = Registry::default();
    data::add_actions(&mut registry);
    files::add_actions(&mut registry, Rc::new(OsFiles), roots);
    llm::add_actions(&mut registry, backends);
    registry
}

/// The same actions for checking files; none of them is ever run.
#[must_use]
pub fn registry_to_check() -> Registry {
    let none: fn() -> BackendFactory = || Box::new(|_| Ok(None));
    registry(&Rc::new(Backends::new(none(), none(), None)), Vec::new())
}
