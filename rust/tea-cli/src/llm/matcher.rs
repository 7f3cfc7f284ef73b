//! What holds an answer to its shape, token by token: llguidance on the model's own vocabulary.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};
use std::thread;

use llguidance::api::TopLevelGrammar;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    InferenceCapabilities, SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv,
};
use llguidance::ParserFactory;
use tea_core::errors::{Error, Kind};
use tea_core::llm::shape::Shape;
use tea_core::schema::held;
use tea_core::value::{json, Value};

use crate::llama::{Model, Special, Token};

/// A grammar as llguidance takes it.
pub type Grammar = TopLevelGrammar;

/// The grammar of a shape.
///
/// # Errors
/// `ActionError`: the schema cannot be written as JSON.
pub fn grammar(shape: &Shape) -> Result<Grammar, Error> {
    Ok(match shape {
        Shape::JsonObject => schema_grammar(&Value::record([("type", "object".into())]))?,
        Shape::JsonSchema(schema) => schema_grammar(&held::for_decoding(schema))?,
        Shape::Choices(texts) => {
            let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
            // Of one terminal: a choice may begin with another.
            lark_grammar(&format!("start: CHOICE\nCHOICE: {}", texts.join(" | ")))
        }
        Shape::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
        Shape::Lark(text) => lark_grammar(text),
    })
}

/// The grammar that a text in Lark's notation says.
#[must_use]
pub fn lark_grammar(text: &str) -> Grammar {
    TopLevelGrammar::from_lark(text.to_string())
}

fn quoted(text: &str) -> String {
    json::write(&Value::text(text), None)
}

/// JSON on one line, with a space after `:` and `,`, the keys in the schema's order.
fn schema_grammar(schema: &Value) -> Result<Grammar, Error> {
    let text = json::write(schema, None);
    let mut schema: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Error::new(Kind::Action, format!("the schema is not JSON: {error}")))?;
    if let Some(map) = schema.as_object_mut() {
        map.insert(
            "x-guidance".into(),
            serde_json::json!({
                "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": ",
            }),
        );
    }
    Ok(TopLevelGrammar::from_json_schema(schema))
}

/// llama.cpp's tokenizer for llguidance.
struct Environment {
    model: Arc<Model>,
    trie: TokTrie,
    sentinel: Option<Token>,
}

/// Before a text it keeps tokenizers from putting a space there.
const SENTINEL: &str = "\u{2}";

impl Environment {
    fn new(model: Arc<Model>) -> Result<Environment, Error> {
        let size = u32::try_from(model.vocabulary_size()).unwrap_or(u32::MAX);
        let tokens = 0..Token::try_from(size).unwrap_or(Token::MAX);
        let ends: Vec<TokenId> =
            model.ends_of_answers().into_iter().map(Token::cast_unsigned).collect();
        let Some(end) = model.eos().map(Token::cast_unsigned).or(ends.first().copied()) else {
            let message = "the model has no token that ends an answer, so none can be held to a \
                           shape";
            return Err(Error::new(Kind::Action, message));
        };
        let words: Vec<Vec<u8>> = tokens.map(|token| word(&model, token)).collect();
        let mut trie = TokTrie::from(&TokRxInfo::new(size, end), &words);
        if !ends.is_empty() {
            trie = trie.with_eos_tokens(&ends);
        }
        let adds_space =
            model.tokenize("a", Special::None)?.first().map(|token| model.piece(*token));
        let sentinel = match model.tokenize(SENTINEL, Special::None)?.last() {
            Some(last) if adds_space.is_some_and(|piece| piece.starts_with(b" ")) => Some(*last),
            _ => None,
        };
        Ok(Environment { model, trie, sentinel })
    }

    fn tokens(&self, text: &str) -> Vec<Token> {
        let plain = |text: &str| self.model.tokenize(text, Special::None).unwrap_or_default();
        let Some(sentinel) = self.sentinel else { return plain(text) };
        let mut tokens = plain(&format!("{SENTINEL}{text}"));
        match tokens.iter().position(|token| *token == sentinel) {
            Some(place) => tokens.split_off(place + 1),
            None => plain(text),
        }
    }
}

/// The bytes of a token. One that is no text gets a mark that no text begins with.
fn word(model: &Model, token: Token) -> Vec<u8> {
    let piece = model.piece(token);
    if !piece.is_empty() {
        return piece;
    }
    [&[TokTrie::SPECIAL_TOKEN_MARKER], model.token_text(token).as_bytes()].concat()
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            self.tokens(text).into_iter().map(Token::cast_unsigned).collect()
        })
    }
}

/// Makes the matchers of one model. Its vocabulary, which takes up to a second, is read when the
/// first is asked for.
pub struct Matchers {
    model: Arc<Model>,
    factory: OnceLock<Result<ParserFactory, Error>>,
}

impl Matchers {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(model: Arc<Model>) -> Arc<Matchers> {
        Arc::new(Matchers { model, factory: OnceLock::new() })
    }

    /// Make the matcher of an answer, in a thread beside the one that computes the prompt.
    ///
    /// # Errors
    /// `ModelError`: the system gives no thread.
    pub fn begin(self: &Arc<Matchers>, grammar: Grammar) -> Result<PendingMatcher, Error> {
        let (sender, made) = mpsc::channel();
        let matchers = self.clone();
        let work = move || {
            // Nobody listens any more when the answer was given up.
            let _ = sender.send(matchers.make(grammar));
        };
        thread::Builder::new().name("grammar".into()).spawn(work).map_err(|error| {
            let message = format!("no thread can be started to read the shape: {error}");
            Error::new(Kind::Model, message)
        })?;
        Ok(PendingMatcher(made))
    }

    fn make(&self, grammar: Grammar) -> Result<Matcher, Error> {
        let factory = self.factory.get_or_init(|| {
            let environment: TokEnv = Arc::new(Environment::new(self.model.clone())?);
            let abilities = InferenceCapabilities { ff_tokens: true, ..Default::default() };
            let slices = SlicedBiasComputer::general_slices();
            let mut factory =
                ParserFactory::new(&environment, abilities, &slices).map_err(|e| failed(&e))?;
            factory.quiet().limits_mut().verbose_errors = false;
            Ok(factory)
        });
        let factory = factory.as_ref().map_err(Clone::clone)?;
        let inner = llguidance::Matcher::new(factory.create_parser(grammar));
        match inner.get_error() {
            Some(error) => Err(Error::new(
                Kind::Action,
                format!("no answer can be held to this shape: {}", reason(&error)),
            )),
            None => Ok(Matcher(inner)),
        }
    }
}

/// A matcher that is being made.
pub struct PendingMatcher(Receiver<Result<Matcher, Error>>);

impl PendingMatcher {
    /// The matcher, once it is ready.
    ///
    /// # Errors
    /// `ActionError`: no answer can be held to the shape.
    pub fn wait(self) -> Result<Matcher, Error> {
        let made = self.0.recv();
        made.unwrap_or_else(|_| Err(Error::new(Kind::Action, "the shape cannot be read")))
    }
}

/// Where an answer stands in its grammar.
pub struct Matcher(llguidance::Matcher);

impl Matcher {
    /// Whether nothing can follow.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopped()
    }

    /// Whether `token` can follow.
    ///
    /// # Errors
    /// `ActionError`: the grammar has become too large to follow.
    pub fn accepts(&mut self, token: Token) -> Result<bool, Error> {
        let count = self.0.validate_tokens(&[token.cast_unsigned()]).map_err(|e| failed(&e))?;
        Ok(count == 1)
    }

    /// All that can follow.
    ///
    /// # Errors
    /// As `accepts`.
    pub fn mask(&mut self) -> Result<SimpleVob, Error> {
        self.0.compute_mask().map_err(|error| failed(&error))
    }

    /// Go on by `token`, which can follow.
    ///
    /// # Errors
    /// As `accepts`.
    pub fn consume(&mut self, token: Token) -> Result<(), Error> {
        self.0.consume_token(token.cast_unsigned()).map_err(|error| failed(&error))
    }

    /// Go on by the tokens that alone can follow, which are returned.
    ///
    /// # Errors
    /// As `accepts`.
    pub fn consume_forced(&mut self) -> Result<Vec<Token>, Error> {
        if self.is_stopped() {
            return Ok(Vec::new());
        }
        let forced = self.0.compute_ff_tokens();
        self.0.consume_tokens(&forced).map_err(|error| failed(&error))?;
        Ok(forced.into_iter().map(TokenId::cast_signed).collect())
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    let message = format!("the answer cannot be held to its shape: {}", reason(&error.to_string()));
    Error::new(Kind::Action, message)
}

/// Why it failed, in one line: what follows is llguidance's own state.
fn reason(error: &str) -> &str {
    error.lines().next().unwrap_or_default()
}
