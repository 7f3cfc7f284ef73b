//! The local backend: one model in this process, loaded at the first request and kept.

use std::cell::OnceCell;
use std::sync::Arc;

use tea_core::actions::LocalFuture;
use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{
    Backend, BackendName, ChatReply, ChatRequest, DecideReply, DecideRequest, EmbedReply,
    EmbedRequest, OnText,
};
use tea_core::llm::model_path::Found;
use tea_core::llm::shape::Shape;
use tea_core::llm::thinking::Marks;
use tea_core::llm::tool_calls::{self, TextBeforeCalls};
use tea_core::llm::tool_form::offered;
use tea_core::llm::tool_grammar;
use tea_core::value::{Map, Value};

use super::decide::{self, Decision};
use super::decode_loop::{DecodeLoop, LoopOptions};
use super::gguf::{self, Gguf};
use super::matcher::{self, Matchers};
use super::memory::{self, CacheType, LowMemory};
use super::prompt::Prompter;
use super::sequence::{Generation, Question};
use super::threads::default_threads;
use crate::llama::{self, Library, Loading, Model};
use crate::{stop, streams};

const DEFAULT_CONTEXT: u32 = 8192;

/// How to run a local model.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalOptions {
    /// See `context_size`.
    pub n_ctx: Option<u32>,
    /// See `default_threads`.
    pub n_threads: Option<u32>,
    /// None: all.
    pub n_gpu_layers: Option<i32>,
    /// See `memory::plan`.
    pub low_memory: LowMemory,
    /// What keys and values are kept in.
    pub cache_type: CacheType,
}

impl LocalOptions {
    /// What concerns the local model of `settings.llm`. `low_memory` is the command line's, which
    /// goes before the file's.
    #[must_use]
    pub fn from_settings(settings: &Map, low_memory: bool) -> LocalOptions {
        let number = |key: &str| settings.get(key).and_then(Value::as_int);
        let count = |key: &str| number(key).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        LocalOptions {
            n_ctx: count("n_ctx"),
            n_threads: count("n_threads"),
            n_gpu_layers: number("n_gpu_layers").map(|n| i32::try_from(n).unwrap_or(i32::MAX)),
            low_memory: match settings.get("low_memory") {
                _ if low_memory => LowMemory::Yes,
                Some(Value::Bool(true)) => LowMemory::Yes,
                Some(Value::Bool(false)) => LowMemory::No,
                _ => LowMemory::Auto,
            },
            cache_type: match settings.get("cache_type").and_then(Value::as_text) {
                Some("q8_0") => CacheType::Q8_0,
                _ => CacheType::F16,
            },
        }
    }
}

/// The context to use, in tokens; `trained` is the model's own.
///
/// What the options say, else the bundle's default, else the smaller of 8192 and `trained`.
#[must_use]
pub fn context_size(found: &Found, options: LocalOptions, trained: Option<u32>) -> u32 {
    let bundled = found.n_ctx.map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX));
    let given = options.n_ctx.or(bundled).filter(|tokens| *tokens > 0);
    let trained = trained.filter(|tokens| *tokens > 0).unwrap_or(DEFAULT_CONTEXT);
    given.unwrap_or(DEFAULT_CONTEXT.min(trained))
}

/// A model file that answers.
pub struct LocalBackend {
    found: Found,
    options: LocalOptions,
    verbose: bool,
    loaded: OnceCell<Loaded>,
}

struct Loaded {
    head: Gguf,
    model: Arc<Model>,
    prompter: Prompter,
    matchers: Arc<Matchers>,
    marks: Option<Marks>,
    decode_loop: DecodeLoop,
    n_ctx: u32,
}

impl LocalBackend {
    /// A backend on the model `found`; `verbose`: with technical lines on stderr.
    #[must_use]
    pub fn new(found: Found, options: LocalOptions, verbose: bool) -> LocalBackend {
        LocalBackend { found, options, verbose, loaded: OnceCell::new() }
    }

    /// The model.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Load the model now, so that no answer waits for it; returns its context in tokens.
    ///
    /// # Errors
    /// `ModelError`, `Interrupted`.
    pub async fn load(&self) -> Result<u32, Error> {
        let _guard = stop::cancel_guard();
        let loaded = self.loaded(false)?;
        loaded.decode_loop.open().result(None).await?;
        Ok(loaded.n_ctx)
    }

    /// The model, loaded at the first call. `whole_texts`: for texts that are computed in one piece.
    fn loaded(&self, whole_texts: bool) -> Result<&Loaded, Error> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = self.load_now(whole_texts)?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    async fn answer(
        &self,
        request: &ChatRequest,
        on_text: Option<OnText<'_>>,
    ) -> Result<ChatReply, Error> {
        refuse_what_is_not_done(request)?;
        let _guard = stop::cancel_guard();
        let loaded = self.loaded(false)?;
        // First: what cannot be loaded is said before what cannot be asked.
        loaded.decode_loop.open().result(None).await?;
        let question = loaded.question(request, on_text.is_some())?;
        let form = loaded.prompter.tool_form();
        let calls = !offered(request).is_empty();
        let before = on_text.filter(|_| calls).map(|on_text| TextBeforeCalls::new(form, on_text));
        let feed = |piece: &str| {
            if let Some(before) = &before {
                before.feed(piece);
            }
        };
        let sent: Option<OnText<'_>> = if before.is_some() { Some(&feed) } else { on_text };
        let done = loaded.decode_loop.answer(question).result(sent).await?;
        if self.verbose {
            report(&done);
        }
        let reply = ChatReply {
            content: done.text,
            model: loaded.head.name(),
            finish_reason: done.finish_reason,
            prompt_tokens: done.prompt_tokens as u64,
            completion_tokens: done.completion_tokens as u64,
            data: None,
            reasoning: done.reasoning,
            tool_calls: Vec::new(),
        };
        let reply = tool_calls::read(form, request, reply)?;
        if let Some(before) = &before {
            before.finish(&reply.content);
        }
        reply.held_to(request.shape.as_ref(), Kind::Model)
    }

    async fn decision(&self, request: &DecideRequest) -> Result<DecideReply, Error> {
        let _guard = stop::cancel_guard();
        let loaded = self.loaded(false)?;
        loaded.decode_loop.open().result(None).await?;
        let Loaded { prompter, model, n_ctx, .. } = loaded;
        let prompt = request.prompt.as_deref();
        let prompt =
            prompter.tokens(model, &request.messages, &[], prompt, request.thinking, *n_ctx)?;
        let decision = Decision::new(model, prompt, request, *n_ctx)?;
        let scores = loaded.decode_loop.decide(decision).result(None).await?;
        Ok(decide::reply(request, &scores))
    }

    async fn vectors(&self, request: &EmbedRequest) -> Result<EmbedReply, Error> {
        let _guard = stop::cancel_guard();
        let loaded = self.loaded(true)?;
        let model = loaded.head.name();
        let job = loaded.decode_loop.embed(request.texts.clone(), model.clone());
        let (embeddings, tokens) = job.result(None).await?;
        Ok(EmbedReply { embeddings, model, tokens: tokens as u64 })
    }
}

impl Backend for LocalBackend {
    fn name(&self) -> BackendName {
        BackendName::Local
    }

    fn chat<'a>(
        &'a self,
        request: &'a ChatRequest,
        on_text: Option<OnText<'a>>,
    ) -> LocalFuture<'a, Result<ChatReply, Error>> {
        Box::pin(self.answer(request, on_text))
    }

    fn embed<'a>(
        &'a self,
        request: &'a EmbedRequest,
    ) -> LocalFuture<'a, Result<EmbedReply, Error>> {
        Box::pin(self.vectors(request))
    }

    fn decide<'a>(
        &'a self,
        request: &'a DecideRequest,
    ) -> LocalFuture<'a, Result<DecideReply, Error>> {
        Box::pin(self.decision(request))
    }
}

fn refuse_what_is_not_done(request: &ChatRequest) -> Result<(), Error> {
    if request.shape.is_some() && !offered(request).is_empty() {
        let message = "the local model cannot hold an answer to a shape and call tools in it yet";
        return Err(Error::new(Kind::Action, message));
    }
    Ok(())
}

impl LocalBackend {
    fn load_now(&self, whole_texts: bool) -> Result<Loaded, Error> {
        let (found, options) = (&self.found, self.options);
        let head = gguf::read(&found.path, found.extent)?; // first: it explains a bad file best
        if self.verbose {
            llama::show_log();
        }
        let library = llama::load()?;
        let n_ctx = context_size(found, options, head.context_length());
        let loading = Loading {
            n_gpu_layers: options.n_gpu_layers.unwrap_or(-1),
            repack: self.repacks(library, &head, n_ctx, whole_texts)?,
        };
        let model = Model::load(library, found, loading, head.architecture())?;
        let template = head.chat_template().map(str::to_string);
        let template = template.or_else(|| found.chat_template.clone());
        let marks = template.as_deref().and_then(Marks::of_template);
        let model = Arc::new(model);
        let computing = LoopOptions {
            n_ctx,
            n_threads: options.n_threads.unwrap_or_else(default_threads),
            cache_type: options.cache_type,
            yields: options.n_threads.is_none(),
            pools: head.pools(),
        };
        Ok(Loaded {
            prompter: Prompter::new(&model, head.name(), template),
            matchers: Matchers::new(model.clone()),
            marks,
            decode_loop: DecodeLoop::new(model.clone(), computing)?,
            head,
            model,
            n_ctx,
        })
    }

    /// Whether weights are to be repacked.
    ///
    /// # Errors
    /// `ModelError`: there is no room for the rest either.
    fn repacks(
        &self,
        library: &Library,
        head: &Gguf,
        n_ctx: u32,
        whole_texts: bool,
    ) -> Result<bool, Error> {
        let options = self.options;
        let repacked = llama::repacked(library, memory::multiplied(head));
        let batch = if whole_texts { n_ctx } else { memory::BATCH };
        let cache_type = if whole_texts { CacheType::F16 } else { options.cache_type };
        let wanted = memory::Use { n_ctx, cache_type, batch };
        let on_gpu = options.n_gpu_layers != Some(0) && library.has_gpu();
        let free = if on_gpu { None } else { memory::available() };
        let (Some(free), Some(needed)) = (free, memory::need(head, wanted, repacked)) else {
            return Ok(options.low_memory != LowMemory::Yes && repacked > 0);
        };
        let plan = memory::plan(head.size, needed, free, options.low_memory, n_ctx)?;
        if self.verbose {
            plan.remarks.iter().for_each(|remark| eprintln!("{remark}"));
        }
        Ok(plan.repack && repacked > 0)
    }
}

impl Loaded {
    fn question(&self, request: &ChatRequest, streams: bool) -> Result<Question, Error> {
        let prompt = request.prompt.as_deref();
        let (messages, tools) = (&request.messages, offered(request));
        let tokens = self.prompter.tokens(
            &self.model,
            messages,
            tools,
            prompt,
            request.thinking,
            self.n_ctx,
        )?;
        let calls = tool_grammar::grammar(self.prompter.tool_form(), request);
        let calls = calls.map(|grammar| Shape::Lark(grammar.into()));
        let grammar =
            calls.as_ref().or(request.shape.as_ref()).map(matcher::grammar).transpose()?;
        let matcher = grammar.map(|grammar| self.matchers.begin(grammar)).transpose()?;
        Question::new(tokens, request, matcher, self.marks, streams, self.n_ctx)
    }
}

fn report(done: &Generation) {
    let rate =
        |tokens: usize, seconds: f64| if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 };
    let sampled = done.completion_tokens - done.fed - done.looked_up;
    let how = format!(" ({sampled} sampled, {} fed, {} looked up)", done.fed, done.looked_up);
    streams::say(&format!(
        "prompt: {} tokens, {} of them kept, {:.1} a second; answer: {} tokens{}, {:.1} a second",
        done.prompt_tokens,
        done.reused,
        rate(done.prompt_tokens - done.reused, done.prompt_seconds),
        done.completion_tokens,
        if sampled < done.completion_tokens { &how } else { "" },
        rate(done.completion_tokens, done.answer_seconds),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_the_first_that_is_given_or_the_smaller() {
        let found = |n_ctx| Found { n_ctx, ..Found::new("m.gguf".into(), "--gguf") };
        let options = |n_ctx| LocalOptions { n_ctx, ..LocalOptions::default() };
        assert_eq!(context_size(&found(Some(2)), options(Some(1)), Some(3)), 1);
        assert_eq!(context_size(&found(Some(2)), options(None), Some(3)), 2);
        assert_eq!(context_size(&found(None), options(None), Some(2048)), 2048);
        assert_eq!(context_size(&found(None), options(None), Some(131_072)), 8192);
        assert_eq!(context_size(&found(None), options(None), None), 8192);
    }
}
