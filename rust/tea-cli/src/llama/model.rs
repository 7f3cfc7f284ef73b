//! A model in memory: its vocabulary.

use std::ffi::{c_char, c_void, CStr};
use std::ptr::{self, NonNull};

use tea_core::errors::{Error, Kind};
use tea_core::llm::model_path::Found;

use super::bindings::{llama_model, llama_vocab};
use super::library::{c_path, Library};
use super::mapping::Mapping;
use super::{log, model_file};
use crate::stop;
use crate::text::reason;

/// A token of a model's vocabulary.
pub type Token = i32;

/// What to do with special tokens when a text is tokenized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// The names of control tokens in the text become these tokens.
    Parsed,
    /// What the model wants at the head and the end of a text is added; names in it are text.
    Added,
    /// Names of control tokens are text.
    None,
}

const PIECE_BYTES: usize = 256;

// SAFETY: what `Model` calls reads the weights' head and the vocabulary, which nothing changes once
// they are loaded.
unsafe impl Send for Model {}
// SAFETY: as above.
unsafe impl Sync for Model {}

/// A model in memory.
pub struct Model {
    pub(super) library: &'static Library,
    pub(super) handle: NonNull<llama_model>,
    vocab: *const llama_vocab,
}

/// How to load a model.
#[derive(Debug, Clone, Copy)]
pub struct Loading {
    /// Layers to compute on a GPU; -1: all.
    pub n_gpu_layers: i32,
    /// Whether the weights may be copied into an order that is faster to compute with.
    pub repack: bool,
}

/// Of a model, whose pages are given back together.
const STEP: f32 = 0.05;

struct Progress<'a> {
    /// Pages that are not needed again once they were copied.
    mapping: Option<&'a Mapping>,
    next: f32,
}

/// What llama.cpp asks while it loads a model: whether to go on.
extern "C" fn goes_on(progress: f32, data: *mut c_void) -> bool {
    // SAFETY: `Model::load` gives the address of such a value, which outlives the call.
    let state = unsafe { &mut *data.cast::<Progress<'_>>() };
    if let Some(mapping) = state.mapping {
        if progress >= state.next {
            mapping.give_back();
            mapping.watch();
            state.next = progress + STEP;
        }
    }
    !stop::is_requested()
}

impl Model {
    /// Map the model `found` into memory. `architecture` is what its head says, for messages.
    ///
    /// # Errors
    /// `ModelError`: the file is damaged, or llama.cpp does not know its kind. `Interrupted`: a
    /// stop was asked for.
    pub fn load(
        library: &'static Library,
        found: &Found,
        loading: Loading,
        architecture: &str,
    ) -> Result<Model, Error> {
        let mapping = Mapping::new(found).map_err(|error| {
            let (path, reason) = (found.path.display(), reason(&error));
            Error::new(Kind::Model, format!("model file {path} cannot be read: {reason}"))
        })?;
        log::clear_errors();
        let mut progress = Progress { mapping: loading.repack.then_some(&mapping), next: 0.0 };
        // SAFETY: the parameters are llama.cpp's own but for numbers and a callback of this program.
        let mut params = unsafe { (library.c.llama_model_default_params)() };
        params.n_gpu_layers = loading.n_gpu_layers;
        params.use_extra_bufts = loading.repack;
        params.progress_callback = Some(goes_on);
        params.progress_callback_user_data = ptr::from_mut(&mut progress).cast();
        let handle = match found.extent {
            Some(extent) => {
                let stream = model_file::Stream::open(extent)?;
                // SAFETY: as above; the stream is open until the call is over.
                unsafe { (library.c.llama_model_load_from_file_ptr)(stream.handle(), params) }
            }
            None => {
                let name = c_path(&found.path)?;
                // SAFETY: as above; the path ends with zero.
                unsafe { (library.c.llama_model_load_from_file)(name.as_ptr(), params) }
            }
        };
        let Some(handle) = NonNull::new(handle) else {
            stop::check()?;
            let architecture = if architecture.is_empty() { "unknown" } else { architecture };
            return Err(Error::new(
                Kind::Model,
                format!(
                    "llama.cpp cannot load {} (architecture {architecture}): {}",
                    found.path.display(),
                    log::reason()
                ),
            ));
        };
        mapping.watch();
        if loading.repack {
            mapping.give_back();
        }
        // SAFETY: the handle is a loaded model; its vocabulary lives as long as it does.
        let vocab = unsafe { (library.c.llama_model_get_vocab)(handle.as_ptr()) };
        Ok(Model { library, handle, vocab })
    }

    /// The numbers in a vector that the model makes of a text.
    #[must_use]
    pub fn vector_size(&self) -> usize {
        // SAFETY: the handle is a loaded model.
        let size = unsafe { (self.library.c.llama_model_n_embd_out)(self.handle.as_ptr()) };
        usize::try_from(size).unwrap_or(0)
    }

    /// The token that begins a text, if there is one.
    #[must_use]
    pub fn bos(&self) -> Option<Token> {
        // SAFETY: the vocabulary lives as long as the model.
        Some(unsafe { (self.library.c.llama_vocab_bos)(self.vocab) }).filter(|token| *token >= 0)
    }

    /// The token that ends a text, if there is one.
    #[must_use]
    pub fn eos(&self) -> Option<Token> {
        // SAFETY: the vocabulary lives as long as the model.
        Some(unsafe { (self.library.c.llama_vocab_eos)(self.vocab) }).filter(|token| *token >= 0)
    }

    /// Whether the model wants texts to begin with its first token.
    #[must_use]
    pub fn adds_bos(&self) -> bool {
        // SAFETY: the vocabulary lives as long as the model.
        unsafe { (self.library.c.llama_vocab_get_add_bos)(self.vocab) }
    }

    /// Whether `token` ends an answer.
    #[must_use]
    pub fn ends(&self, token: Token) -> bool {
        // SAFETY: the vocabulary lives as long as the model, and the token comes from it.
        unsafe { (self.library.c.llama_vocab_is_eog)(self.vocab, token) }
    }

    /// All tokens that end an answer.
    #[must_use]
    pub fn ends_of_answers(&self) -> Vec<Token> {
        let count = Token::try_from(self.vocabulary_size()).unwrap_or(0);
        (0..count).filter(|token| self.ends(*token)).collect()
    }

    /// How the vocabulary writes `token`.
    #[must_use]
    pub fn token_text(&self, token: Token) -> String {
        // SAFETY: the token comes from the vocabulary, which keeps the text, ended with zero.
        unsafe {
            let text = (self.library.c.llama_vocab_get_text)(self.vocab, token);
            if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        }
    }

    /// How many tokens there are.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        // SAFETY: the vocabulary lives as long as the model.
        let count = unsafe { (self.library.c.llama_vocab_n_tokens)(self.vocab) };
        usize::try_from(count).unwrap_or(0)
    }

    /// Whether tokens that were computed can be forgotten again, the last first.
    #[must_use]
    pub fn rolls_back(&self) -> bool {
        let (c, model) = (&self.library.c, self.handle.as_ptr());
        // SAFETY: the handle is a loaded model.
        unsafe { !(c.llama_model_is_recurrent)(model) && !(c.llama_model_is_hybrid)(model) }
    }

    /// Bytes of the longest piece of text that the vocabulary has a token for.
    #[must_use]
    pub fn longest_piece(&self) -> usize {
        let count = Token::try_from(self.vocabulary_size()).unwrap_or(0);
        (0..count).map(|token| self.token_text(token).len()).max().unwrap_or(0)
    }

    /// The control tokens whose names `text` has in it, as these names.
    ///
    /// # Errors
    /// `ModelError`: the text is longer than llama.cpp takes.
    pub fn control_texts(&self, text: &str) -> Result<Vec<String>, Error> {
        let mut tokens = self.tokenize(text, Special::Parsed)?;
        tokens.sort_unstable();
        tokens.dedup();
        // SAFETY: the vocabulary lives as long as the model, and the token comes from it.
        tokens
            .retain(|token| unsafe { (self.library.c.llama_vocab_is_control)(self.vocab, *token) });
        Ok(tokens.into_iter().map(|token| self.token_text(token)).collect())
    }

    /// The tokens of `text`.
    ///
    /// # Errors
    /// `ModelError`: the text is longer than llama.cpp takes.
    pub fn tokenize(&self, text: &str, special: Special) -> Result<Vec<Token>, Error> {
        let too_long = |_| Error::new(Kind::Model, "the text is too long for llama.cpp");
        let length = i32::try_from(text.len()).map_err(too_long)?;
        let mut tokens: Vec<Token> = vec![0; text.len() + 8];
        loop {
            let size = i32::try_from(tokens.len()).map_err(too_long)?;
            // SAFETY: both lengths are those of the memory behind the pointers.
            let count = unsafe {
                (self.library.c.llama_tokenize)(
                    self.vocab,
                    text.as_ptr().cast::<c_char>(),
                    length,
                    tokens.as_mut_ptr(),
                    size,
                    special == Special::Added,
                    special == Special::Parsed,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    tokens.truncate(count);
                    return Ok(tokens);
                }
                Err(_) if count == i32::MIN => {
                    return Err(Error::new(Kind::Model, "the text is too long for llama.cpp"));
                }
                Err(_) => tokens.resize(count.unsigned_abs() as usize, 0),
            }
        }
    }

    /// The bytes of `token`, which may be less than a character; none if it is special.
    #[must_use]
    pub fn piece(&self, token: Token) -> Vec<u8> {
        let mut buffer = vec![0u8; PIECE_BYTES];
        loop {
            let size = i32::try_from(buffer.len()).unwrap_or(i32::MAX);
            // SAFETY: the length is that of the memory behind the pointer.
            let count = unsafe {
                (self.library.c.llama_token_to_piece)(
                    self.vocab,
                    token,
                    buffer.as_mut_ptr().cast::<c_char>(),
                    size,
                    0,
                    false,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                buffer.truncate(count);
                return buffer;
            }
            buffer.resize(count.unsigned_abs() as usize, 0);
        }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // SAFETY: contexts keep the model alive, so nothing uses the handle any more.
        unsafe { (self.library.c.llama_model_free)(self.handle.as_ptr()) };
    }
}
