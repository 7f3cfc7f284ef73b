//! A context (keys and values of several sequences) and the batch that it computes next.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use tea_core::errors::{Error, Kind};

use super::bindings::{
    ggml_type_GGML_TYPE_F16, ggml_type_GGML_TYPE_Q8_0, llama_batch, llama_context, llama_memory_t,
    llama_pooling_type_LLAMA_POOLING_TYPE_MEAN, llama_pooling_type_LLAMA_POOLING_TYPE_UNSPECIFIED,
};
use super::log;
use super::model::{Model, Token};
use crate::llm::memory::CacheType;
use crate::stop;

/// How to make a context.
#[derive(Debug, Clone, Copy)]
pub struct ContextOptions {
    /// Tokens of the context, which its sequences share.
    pub n_ctx: u32,
    /// Most sequences at a time.
    pub sequences: u32,
    /// Most tokens that are computed at a time.
    pub n_batch: u32,
    /// Threads that compute.
    pub n_threads: u32,
    /// What keys and values are kept in.
    pub cache_type: CacheType,
    /// For vectors of texts; then whether the model has a way of its own to pool them.
    pub embeddings: Option<bool>,
}

/// Result of a computation that a stop ended.
pub const ABORTED: i32 = 2;

/// Tokens of one or more sequences that are computed together.
#[derive(Debug, Default)]
pub struct Batch {
    tokens: Vec<Token>,
    positions: Vec<i32>,
    sequences: Vec<i32>,
    wanted: Vec<i8>,
}

impl Batch {
    /// Begin an empty batch.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        self.wanted.clear();
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Add `tokens`, which come at `position` of a sequence, and of which the last `wanted` are to
    /// give logits. Returns the row of the first of these, by which they are asked for.
    pub fn add(
        &mut self,
        sequence: usize,
        position: usize,
        tokens: &[Token],
        wanted: usize,
    ) -> usize {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let silent = tokens.len().saturating_sub(wanted);
        for (offset, token) in tokens.iter().enumerate() {
            self.tokens.push(*token);
            self.positions.push(number(position + offset));
            self.sequences.push(number(sequence));
            self.wanted.push(i8::from(offset >= silent));
        }
        self.tokens.len() - (tokens.len() - silent)
    }
}

/// A context on a model, which it keeps in memory.
pub struct Context {
    model: Arc<Model>,
    handle: NonNull<llama_context>,
    memory: llama_memory_t,
    threads: u32,
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
    pub fn new(model: Arc<Model>, options: ContextOptions) -> Result<Context, Error> {
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
            params.n_seq_max = options.sequences;
            // Sequences share the room, and the beginnings that are the same.
            params.kv_unified = true;
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
        Ok(Context { model, handle, memory, threads: options.n_threads })
    }

    /// Compute `batch`; returns llama.cpp's code: 0 done, `ABORTED`, or another for a failure.
    pub fn decode(&mut self, batch: &mut Batch) -> i32 {
        let c = &self.model.library.c;
        let size = batch.tokens.len();
        let mut counts = vec![1; size]; // each token belongs to one sequence
        let mut sequences: Vec<*mut i32> = batch.sequences.iter_mut().map(ptr::from_mut).collect();
        let fields = llama_batch {
            n_tokens: i32::try_from(size).unwrap_or(i32::MAX),
            token: batch.tokens.as_mut_ptr(),
            embd: ptr::null_mut(),
            pos: batch.positions.as_mut_ptr(),
            n_seq_id: counts.as_mut_ptr(),
            seq_id: sequences.as_mut_ptr(),
            logits: batch.wanted.as_mut_ptr(),
        };
        // SAFETY: the batch points at lists of `n_tokens` items, which outlive the call.
        unsafe { (c.llama_decode)(self.handle.as_ptr(), fields) }
    }

    /// Have `threads` threads compute from now on.
    pub fn set_threads(&mut self, threads: u32) {
        if threads == self.threads {
            return;
        }
        self.threads = threads;
        let number = i32::try_from(threads).unwrap_or(i32::MAX);
        let c = &self.model.library.c;
        // SAFETY: the handle is a context.
        unsafe { (c.llama_set_n_threads)(self.handle.as_ptr(), number, number) };
    }

    /// Forget what `sequence` has after its first `length` tokens; returns whether that was done.
    ///
    /// A recurrent state cannot go back, and a sliding window may have lost what lies before it.
    pub fn cut(&mut self, sequence: usize, length: usize) -> bool {
        let (Ok(sequence), Ok(start)) = (i32::try_from(sequence), i32::try_from(length)) else {
            return false;
        };
        let c = &self.model.library.c;
        // SAFETY: the memory belongs to the context; -1 means up to the end.
        !self.memory.is_null()
            && unsafe { (c.llama_memory_seq_rm)(self.memory, sequence, start, -1) }
    }

    /// Have `target`, which is empty, begin with the first `length` tokens of `source`. They are
    /// shared: that takes neither time nor room.
    pub fn copy(&mut self, source: usize, target: usize, length: usize) {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let c = &self.model.library.c;
        if !self.memory.is_null() {
            let (source, target) = (number(source), number(target));
            // SAFETY: the memory belongs to the context.
            unsafe { (c.llama_memory_seq_cp)(self.memory, source, target, 0, number(length)) };
        }
    }

    /// The logits of `row` of the batch that was computed last; None where it gives none.
    #[must_use]
    pub fn logits(&mut self, row: usize) -> Option<&mut [f32]> {
        let row = i32::try_from(row).ok()?;
        // SAFETY: the pointer, if there is one, leads to a number for each token of the vocabulary,
        // which stay until the next computation, for which the context is borrowed again.
        unsafe {
            let start = (self.model.library.c.llama_get_logits_ith)(self.handle.as_ptr(), row);
            (!start.is_null())
                .then(|| std::slice::from_raw_parts_mut(start, self.model.vocabulary_size()))
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
