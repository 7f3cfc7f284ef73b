//! A context (the key-value cache of one conversation) and the choice of the next token.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::rc::Rc;

use tea_core::errors::{Error, Kind};
use tea_core::spec::Sampling;

use super::bindings::{
    ggml_type_GGML_TYPE_F16, ggml_type_GGML_TYPE_Q8_0, llama_context, llama_memory_t,
    llama_pooling_type_LLAMA_POOLING_TYPE_MEAN, llama_pooling_type_LLAMA_POOLING_TYPE_UNSPECIFIED,
    llama_sampler,
};
use super::library::Library;
use super::log;
use super::model::{Model, Token};
use crate::llm::memory::CacheType;
use crate::stop;

/// How to make a context.
#[derive(Debug, Clone, Copy)]
pub struct ContextOptions {
    /// Tokens of the context.
    pub n_ctx: u32,
    /// Most tokens that are computed at a time.
    pub n_batch: u32,
    /// Threads that compute.
    pub n_threads: u32,
    /// What keys and values are kept in.
    pub cache_type: CacheType,
    /// For vectors of texts; then whether the model has a way of its own to pool them.
    pub embeddings: Option<bool>,
}

/// A context on a model, which it keeps in memory.
pub struct Context {
    model: Rc<Model>,
    handle: NonNull<llama_context>,
    memory: llama_memory_t,
}

/// What llama.cpp asks between two operations of a computation: whether to stop.
extern "C" fn stops(_data: *mut c_void) -> bool {
    stop::is_requested()
}

impl Context {
    /// Set memory for a context aside.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory, or the model cannot generate.
    pub fn new(model: Rc<Model>, options: ContextOptions) -> Result<Context, Error> {
        let c = &model.library.c;
        log::clear_errors();
        let threads = i32::try_from(options.n_threads).unwrap_or(i32::MAX);
        // SAFETY: the parameters are llama.cpp's own but for numbers and a callback of this
        // program; the model is loaded and kept by the context.
        let handle = unsafe {
            let mut params = (c.llama_context_default_params)();
            params.n_ctx = options.n_ctx;
            params.n_batch = options.n_batch;
            params.n_ubatch = options.n_batch;
            params.type_k = match options.cache_type {
                CacheType::F16 => ggml_type_GGML_TYPE_F16,
                CacheType::Q8_0 => ggml_type_GGML_TYPE_Q8_0,
            };
            params.type_v = params.type_k;
            params.n_threads = threads;
            params.n_threads_batch = threads;
            params.abort_callback = Some(stops);
            if let Some(pools) = options.embeddings {
                params.embeddings = true;
                params.pooling_type = if pools {
                    llama_pooling_type_LLAMA_POOLING_TYPE_UNSPECIFIED
                } else {
                    llama_pooling_type_LLAMA_POOLING_TYPE_MEAN
                };
            }
            (c.llama_init_from_model)(model.handle.as_ptr(), params)
        };
        let Some(handle) = NonNull::new(handle) else {
            let (tokens, reason) = (options.n_ctx, log::reason());
            let message = format!("llama.cpp cannot make a context of {tokens} tokens: {reason}");
            return Err(
                Error::new(Kind::Model, message).hint("set settings.llm.n_ctx to a smaller number")
            );
        };
        // SAFETY: the handle is a context; its memory lives as long as it does, and may be null.
        let memory = unsafe { (c.llama_get_memory)(handle.as_ptr()) };
        Ok(Context { model, handle, memory })
    }

    /// Compute `tokens`, at most a batch; returns llama.cpp's code: 0 done, 2 stopped.
    pub fn decode(&mut self, tokens: &mut [Token]) -> i32 {
        let c = &self.model.library.c;
        let count = i32::try_from(tokens.len()).unwrap_or(i32::MAX);
        // SAFETY: the batch points at `tokens`, which outlives the call; C does not change them.
        unsafe {
            let batch = (c.llama_batch_get_one)(tokens.as_mut_ptr(), count);
            (c.llama_decode)(self.handle.as_ptr(), batch)
        }
    }

    /// Compute single tokens with `single` threads, and prompts with `prompt` threads.
    pub fn set_threads(&mut self, single: u32, prompt: u32) {
        let number = |threads| i32::try_from(threads).unwrap_or(i32::MAX);
        let c = &self.model.library.c;
        // SAFETY: the handle is a context.
        unsafe { (c.llama_set_n_threads)(self.handle.as_ptr(), number(single), number(prompt)) };
    }

    /// Keep the first `length` tokens in the cache; false where that cannot be done.
    ///
    /// A recurrent state cannot go back, and a sliding window may have lost what lies before it.
    pub fn keep_first(&mut self, length: usize) -> bool {
        let Ok(start) = i32::try_from(length) else { return false };
        // SAFETY: the memory belongs to the context; -1 means up to the end.
        !self.memory.is_null()
            && unsafe { (self.model.library.c.llama_memory_seq_rm)(self.memory, 0, start, -1) }
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        if !self.memory.is_null() {
            // SAFETY: the memory belongs to the context.
            unsafe { (self.model.library.c.llama_memory_clear)(self.memory, false) };
        }
    }

    /// Choose the token that follows what was computed last.
    pub fn sample(&mut self, sampler: &mut Sampler) -> Token {
        // SAFETY: both handles are live; -1 is the last token computed, which has its result.
        unsafe {
            (self.model.library.c.llama_sampler_sample)(
                sampler.chain.as_ptr(),
                self.handle.as_ptr(),
                -1,
            )
        }
    }

    /// The vector of what was computed last; None where the model gives none.
    #[must_use]
    pub fn embedding(&self) -> Option<Vec<f32>> {
        // SAFETY: the pointer, if there is one, leads to `vector_size` numbers, which are copied
        // before the next computation.
        unsafe {
            let start = (self.model.library.c.llama_get_embeddings_seq)(self.handle.as_ptr(), 0);
            (!start.is_null())
                .then(|| std::slice::from_raw_parts(start, self.model.vector_size()).to_vec())
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: nothing uses the handle any more.
        unsafe { (self.model.library.c.llama_free)(self.handle.as_ptr()) };
    }
}

/// Tokens that repetition is measured in, those of the prompt included.
const PENALTY_WINDOW: usize = 64;

/// A chain of samplers in the order that every engine shares: penalties, then greedy alone, or
/// top-k, top-p, min-p, temperature and a draw with the seed.
pub struct Sampler {
    library: &'static Library,
    chain: NonNull<llama_sampler>,
}

impl Sampler {
    /// The sampler of one answer to `prompt`; `seed` is of the draw.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory.
    pub fn new(
        model: &Model,
        prompt: &[Token],
        sampling: &Sampling,
        seed: u32,
    ) -> Result<Sampler, Error> {
        let library = model.library;
        let c = &library.c;
        // SAFETY: the parameters are llama.cpp's own.
        let chain =
            unsafe { (c.llama_sampler_chain_init)((c.llama_sampler_chain_default_params)()) };
        let chain = NonNull::new(chain)
            .ok_or_else(|| Error::new(Kind::Model, "llama.cpp cannot make a sampler"))?;
        // SAFETY: each sampler is new and belongs to the chain from then on.
        unsafe {
            let mut links = vec![(c.llama_sampler_init_penalties)(
                model.vocabulary_size(),
                PENALTY_WINDOW as i32,
                sampling.repeat_penalty as f32,
                sampling.frequency_penalty as f32,
                sampling.presence_penalty as f32,
            )];
            if sampling.temperature == 0.0 {
                links.push((c.llama_sampler_init_greedy)());
            } else {
                let top_k = i32::try_from(sampling.top_k).unwrap_or(i32::MAX);
                links.extend([
                    (c.llama_sampler_init_top_k)(top_k),
                    (c.llama_sampler_init_top_p)(sampling.top_p as f32, 1),
                    (c.llama_sampler_init_min_p)(sampling.min_p as f32, 1),
                    (c.llama_sampler_init_temp)(sampling.temperature as f32),
                    (c.llama_sampler_init_dist)(seed),
                ]);
            }
            for link in links {
                (c.llama_sampler_chain_add)(chain.as_ptr(), link);
            }
            for token in &prompt[prompt.len().saturating_sub(PENALTY_WINDOW)..] {
                (c.llama_sampler_accept)(chain.as_ptr(), *token);
            }
        }
        Ok(Sampler { library, chain })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        // SAFETY: the chain and its samplers are used nowhere else.
        unsafe { (self.library.c.llama_sampler_free)(self.chain.as_ptr()) };
    }
}
