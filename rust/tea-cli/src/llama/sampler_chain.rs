//! llama.cpp's own samplers.

use std::ptr::NonNull;

use tea_core::errors::{Error, Kind};
use tea_core::spec::Sampling;

use super::bindings::{llama_sampler, llama_token_data, llama_token_data_array};
use super::library::Library;
use super::model::{Model, Token};

/// A token that may be chosen, with its logit.
pub type Candidate = llama_token_data;

/// llama.cpp's samplers, one after the other.
pub struct SamplerChain {
    library: &'static Library,
    chain: NonNull<llama_sampler>,
}

impl SamplerChain {
    /// Lower the logits of tokens that came among the last `window`.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory.
    pub fn penalties(
        model: &Model,
        sampling: &Sampling,
        window: usize,
    ) -> Result<SamplerChain, Error> {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        // SAFETY: the sampler is new and belongs to the chain from then on.
        let link = unsafe {
            (model.library.c.llama_sampler_init_penalties)(
                number(model.vocabulary_size()),
                number(window),
                sampling.repeat_penalty as f32,
                sampling.frequency_penalty as f32,
                sampling.presence_penalty as f32,
            )
        };
        SamplerChain::of(model.library, &[link])
    }

    /// Draw in the order that every engine shares: top-k, top-p, min-p, temperature, then the draw
    /// with `seed`.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory.
    pub fn draw(model: &Model, sampling: &Sampling, seed: u32) -> Result<SamplerChain, Error> {
        let c = &model.library.c;
        let top_k = i32::try_from(sampling.top_k).unwrap_or(i32::MAX);
        // SAFETY: each sampler is new and belongs to the chain from then on.
        let links = unsafe {
            [
                (c.llama_sampler_init_top_k)(top_k),
                (c.llama_sampler_init_top_p)(sampling.top_p as f32, 1),
                (c.llama_sampler_init_min_p)(sampling.min_p as f32, 1),
                (c.llama_sampler_init_temp)(sampling.temperature as f32),
                (c.llama_sampler_init_dist)(seed),
            ]
        };
        SamplerChain::of(model.library, &links)
    }

    fn of(library: &'static Library, links: &[*mut llama_sampler]) -> Result<SamplerChain, Error> {
        let c = &library.c;
        // SAFETY: the parameters are llama.cpp's own.
        let chain =
            unsafe { (c.llama_sampler_chain_init)((c.llama_sampler_chain_default_params)()) };
        let chain = NonNull::new(chain)
            .ok_or_else(|| Error::new(Kind::Model, "llama.cpp cannot make a sampler"))?;
        for link in links {
            // SAFETY: each sampler is new and belongs to the chain from then on.
            unsafe { (c.llama_sampler_chain_add)(chain.as_ptr(), *link) };
        }
        Ok(SamplerChain { library, chain })
    }

    /// Add what another chain does to the end of this one.
    #[cfg(test)]
    pub fn append(&mut self, other: SamplerChain) {
        let other = std::mem::ManuallyDrop::new(other);
        // SAFETY: the other chain belongs to this one from then on.
        unsafe {
            (self.library.c.llama_sampler_chain_add)(self.chain.as_ptr(), other.chain.as_ptr());
        }
    }

    /// Note that `token` came.
    pub fn accept(&mut self, token: Token) {
        // SAFETY: the chain is live.
        unsafe { (self.library.c.llama_sampler_accept)(self.chain.as_ptr(), token) };
    }

    /// Change the numbers of `candidates`; `sorted`: the likeliest comes first. Returns the place of
    /// the one that was chosen, if one was.
    pub fn apply(&mut self, candidates: &mut [Candidate], sorted: bool) -> Option<usize> {
        let (data, size) = (candidates.as_mut_ptr(), candidates.len());
        let mut array = llama_token_data_array { data, size, selected: -1, sorted };
        // SAFETY: the array points at `candidates`; the samplers shorten and reorder it in place.
        unsafe { (self.library.c.llama_sampler_apply)(self.chain.as_ptr(), &mut array) };
        usize::try_from(array.selected).ok()
    }
}

impl Drop for SamplerChain {
    fn drop(&mut self) {
        // SAFETY: the chain and its samplers are used nowhere else.
        unsafe { (self.library.c.llama_sampler_free)(self.chain.as_ptr()) };
    }
}
