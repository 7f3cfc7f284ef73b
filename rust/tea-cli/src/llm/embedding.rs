//! Vectors of texts, from a loaded model.

use std::sync::Arc;

use tea_core::errors::{Error, Kind};

use super::memory::CacheType;
use crate::llama::{Batch, Context, ContextOptions, Model, Special, Token};
use crate::stop;

/// A context that pools the vectors of a text's tokens into one, of length 1.
///
/// Pooling is the model's own way; a model that was made to chat has none, and gets the mean.
pub struct Embedder {
    model: Arc<Model>,
    context: Context,
    n_ctx: u32,
}

impl Embedder {
    /// Set memory aside for texts of up to `n_ctx` tokens; `pools`: the model has a way of its own.
    ///
    /// # Errors
    /// `ModelError`: there is not enough memory.
    pub fn new(
        model: Arc<Model>,
        pools: bool,
        n_ctx: u32,
        n_threads: u32,
    ) -> Result<Embedder, Error> {
        // A text is computed in one piece, because its tokens may look at later ones.
        let options = ContextOptions {
            n_ctx,
            sequences: 1,
            n_batch: n_ctx,
            n_threads,
            cache_type: CacheType::F16,
            embeddings: Some(pools),
        };
        let context = Context::new(model.clone(), options)?;
        Ok(Embedder { model, context, n_ctx })
    }

    /// A vector for each text, and the number of tokens in all. `name` is the model's.
    ///
    /// # Errors
    /// `LimitError`: a text is longer than the context. `ModelError`: a computation failed, or the
    /// model gives no vectors. `Interrupted`: a stop was asked for.
    pub fn embed(
        &mut self,
        texts: &[Arc<str>],
        name: &str,
    ) -> Result<(Vec<Vec<f64>>, usize), Error> {
        let mut tokens = Vec::with_capacity(texts.len());
        for text in texts {
            let each = self.model.tokenize(text, Special::Added)?;
            if each.len() > self.n_ctx as usize {
                let (count, room) = (each.len(), self.n_ctx);
                let message = format!("the text has {count} tokens, but the context only {room}");
                return Err(Error::new(Kind::Limit, message)
                    .hint("shorten the text, or raise settings.llm.n_ctx"));
            }
            tokens.push(each);
        }
        let count = tokens.iter().map(Vec::len).sum();
        let vectors: Result<_, _> = tokens.iter().map(|each| self.vector(each, name)).collect();
        Ok((vectors?, count))
    }

    fn vector(&mut self, tokens: &[Token], name: &str) -> Result<Vec<f64>, Error> {
        if tokens.is_empty() {
            return Ok(vec![0.0; self.model.vector_size()]);
        }
        self.context.cut(0, 0);
        let mut batch = Batch::default();
        batch.add(0, 0, tokens, tokens.len());
        let code = self.context.decode(&mut batch);
        stop::check()?;
        let values = if code == 0 { self.context.embedding() } else { None };
        let Some(values) = values else {
            return Err(Error::new(Kind::Model, format!("{name} gives no vectors (code {code})")));
        };
        Ok(of_length_1(values))
    }
}

fn of_length_1(values: Vec<f32>) -> Vec<f64> {
    let values: Vec<f64> = values.into_iter().map(f64::from).collect();
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length == 0.0 {
        return values;
    }
    values.into_iter().map(|value| value / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_gets_the_length_1_and_one_of_zeros_stays() {
        assert_eq!(of_length_1(vec![3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(of_length_1(vec![0.0, 0.0]), [0.0, 0.0]);
    }
}
