//! The thread that computes: answers together, a token of each at a step, and other work between.
//!
//! The context holds the answers in the making as sequences. One that does not fit beside the others
//! waits until it does, and so do those that came after it.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use tea_core::errors::{Error, Kind};

use super::adaptive_threads::{cpu_wait_seconds, AdaptiveThreads};
use super::cache::Cache;
use super::decide::Decision;
use super::embedding::Embedder;
use super::job::{job, Job, Reply};
use super::memory::{CacheType, BATCH};
use super::sequence::{Generation, Question, Sequence};
use crate::llama::{Batch, Context, ContextOptions, Model, Token, ABORTED};
use crate::stop;

/// Sequences that a context holds at a time.
const SEQUENCES: u32 = 16;

/// Vectors, and the tokens of all texts.
pub type Vectors = (Vec<Vec<f64>>, usize);

/// How to compute.
#[derive(Debug, Clone, Copy)]
pub struct LoopOptions {
    /// Tokens of the context.
    pub n_ctx: u32,
    /// Threads that compute.
    pub n_threads: u32,
    /// What keys and values are kept in.
    pub cache_type: CacheType,
    /// Whether fewer threads may compute an answer, see `AdaptiveThreads`.
    pub yields: bool,
    /// Whether the model has a way of its own to pool the vectors of a text's tokens.
    pub pools: bool,
}

enum Task {
    Open(Reply<()>),
    Wait(Waiting),
    Embed(Vec<Arc<str>>, String, Reply<Vectors>),
}

/// What waits for room in the context.
enum Waiting {
    Answer(Question, Reply<Generation>),
    Decision(Decision, Reply<Vec<f64>>),
}

impl Waiting {
    fn is_wanted(&self) -> bool {
        match self {
            Waiting::Answer(_, reply) => reply.is_wanted(),
            Waiting::Decision(_, reply) => reply.is_wanted(),
        }
    }

    /// A sequence for it, None while there is no room.
    fn room(&self, cache: &mut Cache) -> Option<usize> {
        match self {
            Waiting::Answer(question, _) => cache.take(&question.prompt, question.longest()),
            Waiting::Decision(decision, _) => cache.take(&decision.prompt, decision.longest()),
        }
    }

    fn fail(self, error: Error) {
        match self {
            Waiting::Answer(_, reply) => reply.settle(Err(error)),
            Waiting::Decision(_, reply) => reply.settle(Err(error)),
        }
    }
}

/// Takes tasks from any thread, and does them in one of its own, since OpenMP keeps its helpers for
/// each thread that computes.
pub struct DecodeLoop {
    tasks: Option<Sender<Task>>,
    thread: Option<JoinHandle<()>>,
}

impl DecodeLoop {
    /// Start the thread. Contexts are made when they are needed.
    ///
    /// # Errors
    /// `ModelError`: the system gives no thread.
    pub fn new(model: Arc<Model>, options: LoopOptions) -> Result<DecodeLoop, Error> {
        let (tasks, inbox) = mpsc::channel();
        let thread = thread::Builder::new().name("llama".into()).spawn(move || {
            Worker::new(model, options).run(&inbox);
        });
        let thread = thread.map_err(|error| {
            Error::new(Kind::Model, format!("no thread can be started to compute: {error}"))
        })?;
        Ok(DecodeLoop { tasks: Some(tasks), thread: Some(thread) })
    }

    /// Have the context made, which the first answer would wait for.
    #[must_use]
    pub fn open(&self) -> Job<()> {
        self.submit(Task::Open)
    }

    /// Have an answer computed.
    #[must_use]
    pub fn answer(&self, question: Question) -> Job<Generation> {
        self.submit(|reply| Task::Wait(Waiting::Answer(question, reply)))
    }

    /// Have the choices of a decision scored.
    #[must_use]
    pub fn decide(&self, decision: Decision) -> Job<Vec<f64>> {
        self.submit(|reply| Task::Wait(Waiting::Decision(decision, reply)))
    }

    /// Have a vector made of each text. `name` is the model's.
    #[must_use]
    pub fn embed(&self, texts: Vec<Arc<str>>, name: String) -> Job<Vectors> {
        self.submit(|reply| Task::Embed(texts, name, reply))
    }

    fn submit<T>(&self, task: impl FnOnce(Reply<T>) -> Task) -> Job<T> {
        let (job, reply) = job();
        if let Some(tasks) = &self.tasks {
            // A thread that has ended drops the task, and whoever waits is told.
            let _ = tasks.send(task(reply));
        }
        job
    }
}

impl Drop for DecodeLoop {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A sequence's part of a batch.
struct Part {
    number: usize, // of the sequence
    tokens: Vec<Token>,
    row: usize, // of the first logits
    is_due: bool,
}

struct Worker {
    model: Arc<Model>,
    options: LoopOptions,
    cache: Option<Cache>,
    embedder: Option<Embedder>,
    adaptive: Option<AdaptiveThreads>,
    observes: bool, // whether the last step was one that counts for that
    started: Instant,
    batch: Batch,
    waiting: VecDeque<Waiting>,
    live: Vec<Sequence>,
}

impl Worker {
    fn new(model: Arc<Model>, options: LoopOptions) -> Worker {
        Worker {
            model,
            options,
            cache: None,
            embedder: None,
            adaptive: options.yields.then(|| AdaptiveThreads::new(options.n_threads)),
            observes: false,
            started: Instant::now(),
            batch: Batch::default(),
            waiting: VecDeque::new(),
            live: Vec::new(),
        }
    }

    /// Work until nobody can ask for anything any more.
    fn run(mut self, inbox: &Receiver<Task>) {
        loop {
            let is_idle = self.live.is_empty() && self.waiting.is_empty();
            let next = if is_idle {
                inbox.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                inbox.try_recv()
            };
            match next {
                Ok(task) => self.begin(task),
                Err(TryRecvError::Disconnected) if is_idle => return,
                Err(_) => self.go_on(),
            }
        }
    }

    fn begin(&mut self, task: Task) {
        match task {
            Task::Open(reply) => reply.settle(self.open().map(drop)),
            Task::Wait(waiting) => match self.open() {
                Ok(_) => self.waiting.push_back(waiting),
                Err(error) => waiting.fail(error),
            },
            Task::Embed(texts, name, reply) => reply.settle(self.embed(&texts, &name)),
        }
    }

    /// The context, made at the first call.
    fn open(&mut self) -> Result<&mut Cache, Error> {
        if self.cache.is_none() {
            // A recurrent state is kept for each sequence, whether it is used or not.
            let sequences = if self.model.rolls_back() { SEQUENCES } else { 1 };
            let LoopOptions { n_ctx, n_threads, cache_type, .. } = self.options;
            let options = ContextOptions {
                n_ctx,
                sequences,
                n_batch: BATCH,
                n_threads,
                cache_type,
                embeddings: None,
            };
            let context = Context::new(self.model.clone(), options)?;
            self.cache = Some(Cache::new(context, n_ctx, sequences));
        }
        self.cache.as_mut().ok_or_else(|| Error::new(Kind::Model, "there is no context"))
    }

    fn embed(&mut self, texts: &[Arc<str>], name: &str) -> Result<Vectors, Error> {
        let LoopOptions { n_ctx, n_threads, pools, .. } = self.options;
        let embedder = match &mut self.embedder {
            Some(embedder) => embedder,
            empty => empty.insert(Embedder::new(self.model.clone(), pools, n_ctx, n_threads)?),
        };
        embedder.embed(texts, name)
    }

    /// Begin with those that wait, as far as there is room, and compute one batch.
    fn go_on(&mut self) {
        let Some(mut cache) = self.cache.take() else { return };
        self.end_unwanted(&mut cache);
        self.admit(&mut cache);
        if !self.live.is_empty() {
            self.step(&mut cache);
        }
        self.cache = Some(cache);
    }

    /// End what nobody waits for, and everything when the program is to stop.
    fn end_unwanted(&mut self, cache: &mut Cache) {
        let stopped = stop::check().err();
        if let Some(error) = &stopped {
            self.waiting.drain(..).for_each(|waiting| waiting.fail(error.clone()));
        }
        let ends = |sequence: &Sequence| stopped.is_some() || !sequence.reply.is_wanted();
        while let Some(number) = self.live.iter().position(ends) {
            let error = stopped.clone().unwrap_or_else(|| {
                Error::new(Kind::Interrupted, "nobody waits for the answer any more")
            });
            self.end(cache, number, Some(error));
        }
    }

    /// Begin with those that wait, in their order, as far as there is room.
    fn admit(&mut self, cache: &mut Cache) {
        while let Some(waiting) = self.waiting.pop_front() {
            if !waiting.is_wanted() {
                continue;
            }
            let Some(slot) = waiting.room(cache) else {
                self.waiting.push_front(waiting);
                return;
            };
            match waiting {
                Waiting::Answer(question, reply) => self.answer(cache, slot, question, reply),
                Waiting::Decision(decision, reply) => {
                    cache.context.set_threads(self.options.n_threads);
                    let scores = decision.score(&self.model, cache, slot);
                    cache.release(slot);
                    reply.settle(scores);
                }
            }
        }
    }

    fn answer(
        &mut self,
        cache: &mut Cache,
        slot: usize,
        question: Question,
        reply: Reply<Generation>,
    ) {
        let reused = cache.length(slot);
        match Sequence::new(self.model.clone(), question, reply, slot, reused) {
            Ok(sequence) => self.live.push(sequence),
            Err((error, reply)) => {
                cache.release(slot);
                reply.settle(Err(error));
            }
        }
    }

    /// Compute what each sequence needs next, at most a batch, and sample where it is due.
    fn step(&mut self, cache: &mut Cache) {
        let parts = self.fill(cache);
        self.choose_threads(cache);
        let code = cache.context.decode(&mut self.batch);
        if code != 0 {
            self.fail(cache, &parts, code);
            return;
        }
        if let Some(adaptive) = self.adaptive.as_mut().filter(|_| self.observes) {
            adaptive.observe(self.started.elapsed().as_secs_f64(), cpu_wait_seconds);
        }
        for part in &parts {
            cache.computed(self.live[part.number].slot, &part.tokens);
        }
        // From the last: sequences that end make room in the list.
        for part in parts.iter().rev().filter(|part| part.is_due) {
            let sequence = &mut self.live[part.number];
            let result = sequence.advance(cache, part.row);
            if result.is_err() || sequence.has_ended() {
                self.end(cache, part.number, result.err());
            }
        }
    }

    /// Put the tokens of the next step into the batch. Answers come first, each goes on by a token
    /// or a few; what room is left is for prompts.
    fn fill(&mut self, cache: &Cache) -> Vec<Part> {
        self.batch.clear();
        self.live.sort_by_key(|each| !each.is_answering(cache.length(each.slot)));
        let mut parts = Vec::new();
        let is_alone = self.live.len() == 1;
        for (number, sequence) in self.live.iter_mut().enumerate() {
            let length = cache.length(sequence.slot);
            let room = BATCH as usize - self.batch.len();
            let (tokens, wanted) = sequence.todo(length, room, is_alone);
            let row = self.batch.add(sequence.slot, length, &tokens, wanted);
            if !tokens.is_empty() {
                parts.push(Part { number, tokens, row, is_due: wanted > 0 });
            }
        }
        parts
    }

    /// Set the threads of the next step: all for prompts, whose parts are large, and for seeds.
    fn choose_threads(&mut self, cache: &mut Cache) {
        let all_yield =
            |each: &Sequence| each.yields() && each.is_answering(cache.length(each.slot));
        let observed = self.observes;
        self.observes = self.live.iter().all(all_yield);
        let threads = match self.adaptive.as_mut().filter(|_| self.observes) {
            Some(adaptive) => {
                if !observed {
                    adaptive.begin(self.started.elapsed().as_secs_f64(), cpu_wait_seconds());
                }
                adaptive.threads()
            }
            None => self.options.n_threads,
        };
        cache.context.set_threads(threads);
    }

    fn fail(&mut self, cache: &mut Cache, parts: &[Part], code: i32) {
        for part in parts.iter().rev() {
            let slot = self.live[part.number].slot;
            cache.cut(slot, cache.length(slot)); // a part of the work may be left behind
            if code != ABORTED {
                let message = format!("llama.cpp failed to compute (code {code})");
                self.end(cache, part.number, Some(Error::new(Kind::Model, message)));
            }
        }
    }

    fn end(&mut self, cache: &mut Cache, number: usize, error: Option<Error>) {
        let sequence = self.live.remove(number);
        cache.release(sequence.slot);
        sequence.settle(error);
    }
}

#[cfg(test)]
mod tests {
    use super::super::matcher::{self, Matchers};
    use super::*;
    use crate::llama::Special;
    use crate::testing::{block_on, model};
    use std::collections::HashSet;
    use tea_core::llm::backend::FinishReason;
    use tea_core::llm::shape::Shape;
    use tea_core::llm::thinking::Marks;
    use tea_core::spec::Sampling;
    use tea_core::value::json;

    const PROMPTS: [&str; 8] = [
        "The capital of France is",
        "Once upon a time there was a king who",
        "To make a cup of tea, first",
        "The three primary colours are",
        "Water boils at",
        "My favourite animal is the",
        "In the year 1969, people",
        "A triangle has",
    ];

    const ASKED: &str = "<|im_start|>user\nIs a cat an animal? Say yes, and no more.<|im_end|>\n\
                         <|im_start|>assistant\n";

    fn started(model: &Arc<Model>, n_ctx: u32) -> DecodeLoop {
        let cache_type = CacheType::F16;
        let options = LoopOptions { n_ctx, n_threads: 2, cache_type, yields: false, pools: false };
        DecodeLoop::new(model.clone(), options).unwrap()
    }

    fn question(model: &Model, prompt: &str, max_tokens: u64) -> Question {
        Question {
            prompt: model.tokenize(prompt, Special::Parsed).unwrap(),
            sampling: Sampling { temperature: 0.0, max_tokens, ..Sampling::default() },
            seed: Some(1),
            stop: Vec::new(),
            matcher: None,
            marks: None,
            streams: false,
        }
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn eight_answers_of_different_lengths_are_what_they_are_alone() {
        let model = model();
        // Not all fit at once: some wait until others have ended.
        let decode_loop = started(&model, 256);
        let limit = |number: usize| 12 + 8 * number as u64;
        let ask = |number: usize| question(&model, PROMPTS[number], limit(number));
        let jobs: Vec<_> = (0..8).map(|number| decode_loop.answer(ask(number))).collect();
        let unwanted = decode_loop.answer(question(&model, "Cancelled", 100));
        drop(unwanted);
        let together: Vec<_> =
            jobs.into_iter().map(|job| block_on(job.result(None)).unwrap()).collect();
        let alone: Vec<_> = (0..8)
            .map(|number| block_on(started(&model, 256).answer(ask(number)).result(None)).unwrap())
            .collect();
        for (number, answer) in together.iter().enumerate() {
            assert!(answer.completion_tokens as u64 <= limit(number));
            assert!(
                answer.finish_reason == FinishReason::Stop
                    || answer.completion_tokens as u64 == limit(number)
            );
        }
        // Sums of a batch round otherwise, so one near tie may go the other way.
        let same = together.iter().zip(&alone).filter(|(one, other)| one.text == other.text);
        assert!(same.count() >= 7, "{together:#?} {alone:#?}");
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn a_shared_beginning_is_computed_once_and_answers_stay() {
        let model = model();
        let decode_loop = started(&model, 2048);
        let shared = "You are a helpful assistant that answers in one word. ".repeat(8);
        let length = question(&model, &shared, 1).prompt.len();
        let ask = |end: &str| question(&model, &format!("{shared}{end}"), 8);
        let jobs: Vec<_> = PROMPTS.iter().map(|end| decode_loop.answer(ask(end))).collect();
        let answers: Vec<_> =
            jobs.into_iter().map(|job| block_on(job.result(None)).unwrap()).collect();
        assert_eq!(answers[0].reused, 0);
        assert!(answers[1..].iter().all(|answer| answer.reused + 2 >= length), "{answers:#?}");
        let next = format!("{shared}{}{} And", PROMPTS[3], answers[3].text);
        let next = question(&model, &next, 4);
        let prompt = next.prompt.len();
        let next = block_on(decode_loop.answer(next).result(None)).unwrap();
        assert!(next.reused + 3 >= prompt, "{next:?}");
    }

    /// Answers at temperature 1 with the seeds from 1 to `count`, computed together.
    fn held(model: &Arc<Model>, shape: &Shape, max_tokens: u64, count: u32) -> Vec<Generation> {
        let decode_loop = started(model, 2048);
        let matchers = Matchers::new(model.clone());
        let jobs = (1..=count).map(|seed| {
            let matcher = matchers.begin(matcher::grammar(shape).unwrap()).unwrap();
            let question = question(model, ASKED, max_tokens);
            let sampling = Sampling { temperature: 1.0, ..question.sampling };
            let (seed, matcher) = (Some(seed), Some(matcher));
            decode_loop.answer(Question { sampling, seed, matcher, ..question })
        });
        let jobs: Vec<_> = jobs.collect();
        jobs.into_iter().map(|job| block_on(job.result(None)).unwrap()).collect()
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn answers_are_held_to_a_schema_and_fixed_text_is_not_sampled() {
        let schema = r#"{"type": "object", "properties": {"animal_name": {"type": "string",
            "maxLength": 12}, "kind": {"enum": ["cat", "dog"]}}, "required": ["animal_name",
            "kind"], "additionalProperties": false}"#;
        let shape = Shape::JsonSchema(json::read(schema).unwrap());
        for answer in held(&model(), &shape, 64, 4) {
            assert_eq!(answer.finish_reason, FinishReason::Stop);
            let data = json::read(&answer.text).unwrap();
            let keys: Vec<_> = data.as_map().unwrap().keys().map(|key| key.to_string()).collect();
            assert_eq!(keys, ["animal_name", "kind"]);
            assert!(answer.text.starts_with("{\"animal_name\": \""), "{answer:?}");
            assert!(answer.fed > 5 && answer.fed < answer.completion_tokens, "{answer:?}");
        }
        let cut = held(&model(), &shape, 6, 1);
        assert_eq!(cut[0].finish_reason, FinishReason::Length);
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn a_choice_may_begin_with_another() {
        let model = model();
        let texts = ["Yes.", "Yes. \"é\"\n", "Y", "Yes, a cat is an animal."];
        let choices =
            |texts: &[&str]| Shape::Choices(texts.iter().map(|&text| text.into()).collect());
        let seen: HashSet<String> = [&texts[..3], &texts[..]]
            .iter()
            .flat_map(|texts| held(&model, &choices(texts), 16, 6))
            .map(|answer| answer.text)
            .collect();
        assert!(seen.iter().all(|text| texts.contains(&text.as_str())), "{seen:?}");
        assert!(seen.contains(texts[0]) && seen.contains(texts[3]), "{seen:?}");
        let single = Shape::Choices(vec!["only this one".into()]);
        let answer = &held(&model, &single, 16, 1)[0];
        assert_eq!((answer.text.as_str(), answer.fed), ("only this one", answer.completion_tokens));
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn choices_scored_together_are_as_likely_as_alone() {
        let model = model();
        let decode_loop = started(&model, 1024);
        let prompt = model.tokenize(ASKED, Special::Parsed).unwrap();
        let texts = ["Yes", "Yes, it is", "No", "Yes, it is not", "é"];
        let choice = |text: &&str| model.tokenize(text, Special::None).unwrap();
        let decide = |texts: &[&str]| {
            let choices = texts.iter().map(choice).collect();
            let decision = Decision { prompt: prompt.clone(), choices };
            block_on(decode_loop.decide(decision).result(None)).unwrap()
        };
        let together = decide(&texts);
        for (text, score) in texts.iter().zip(&together) {
            assert!((decide(&[text])[0] - score).abs() < 0.05, "{text}: {together:?}");
        }
        assert!(together[2] > together[4] && together[0] > together[1], "{together:?}");
        // A likelihood of each token and of the end: less than those of the tokens alone.
        assert!(together.iter().all(|score| *score < 0.0));
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn looked_up_continuations_change_no_answer() {
        let model = model();
        let copy = "red, green, blue, old, new, red, green, blue, old, new, red, green, blue";
        for prompt in PROMPTS[..3].iter().chain([&copy]) {
            let ask = |temperature| {
                let question = question(&model, prompt, 48);
                // So low a temperature takes the likeliest, too, one by one.
                let sampling = Sampling { temperature, ..question.sampling };
                let question = Question { sampling, ..question };
                block_on(started(&model, 512).answer(question).result(None)).unwrap()
            };
            let (looked_up, single) = (ask(0.0), ask(1e-6));
            assert_eq!(looked_up.text, single.text);
            assert_eq!(single.looked_up, 0);
            if *prompt == copy {
                assert!(looked_up.looked_up > 8, "{looked_up:?}");
            }
        }
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn a_held_answer_begins_after_the_thoughts() {
        let model = model();
        let shape = Shape::Choices(vec!["yes".into(), "no".into()]);
        let matcher = Matchers::new(model.clone()).begin(matcher::grammar(&shape).unwrap());
        // The model does not think by itself: its prompt ends within the thoughts, and a text that
        // it goes on with ends them.
        let prompt = "a b c </think> a b c </think> a b c </think> <think> a b c </think> a b c \
                      </think> <think> a b";
        let question = Question {
            marks: Marks::of_template("</think>"),
            matcher: Some(matcher.unwrap()),
            ..question(&model, prompt, 48)
        };
        let answer = block_on(started(&model, 512).answer(question).result(None)).unwrap();
        assert!(["yes", "no"].contains(&answer.text.as_str()), "{answer:?}");
        assert!(answer.reasoning.as_deref().unwrap().starts_with('c'), "{answer:?}");
    }

    #[test]
    #[ignore = "needs llama.cpp and a model"]
    fn an_answer_that_nobody_waits_for_ends_and_frees_its_room() {
        let model = model();
        let decode_loop = started(&model, 512);
        let long = decode_loop.answer(question(&model, PROMPTS[1], 480));
        let next = decode_loop.answer(question(&model, PROMPTS[0], 400));
        drop(long);
        let started = Instant::now();
        assert!(block_on(next.result(None)).unwrap().text.contains("Paris"));
        assert!(started.elapsed().as_secs() < 60);
    }
}
