//! What a page gives a run, and the errors that cross the border.

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use tea_core::errors::{Error, Kind};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** What a page gives a run. Texts are JSON; a method rejects with an EngineError. */
export interface Host {
  /** Whether there is a model in the page. */
  readonly hasModel: boolean;
  emit(event: string): void;
  sleep(seconds: number): Promise<void>;
  random(): number;
  /** Seconds since 1970. */
  now(): number;
  /** Answer; gives each piece of the answer to `onText` where there is one. */
  chat(request: string, onText: ((text: string) => void) | undefined): Promise<string>;
  embed(request: string): Promise<string>;
  /** POST; `headers` is a list of pairs. */
  post(url: string, headers: string, body: string, seconds: number): Promise<HttpReply>;
}

/** A response whose body comes in pieces. */
export interface HttpReply {
  readonly status: number;
  readonly reason: string;
  header(name: string): string | undefined;
  /** The next bytes; undefined at the end. */
  chunk(): Promise<Uint8Array | undefined>;
}

/** `kind` is the word of `state.__error__.type`; of a request also timeout or connection. */
export interface EngineError {
  readonly kind: string;
  readonly message: string;
  readonly hint: string;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// The page's side of a run.
    #[wasm_bindgen(typescript_type = "Host")]
    #[derive(Clone)]
    pub type Host;

    /// A response to `post`.
    #[wasm_bindgen(typescript_type = "HttpReply")]
    pub type HttpReply;

    #[wasm_bindgen(method, getter, js_name = hasModel)]
    pub(crate) fn has_model(this: &Host) -> bool;
    #[wasm_bindgen(method)]
    pub(crate) fn emit(this: &Host, event: &str);
    #[wasm_bindgen(method)]
    pub(crate) fn sleep(this: &Host, seconds: f64) -> Promise;
    #[wasm_bindgen(method)]
    pub(crate) fn random(this: &Host) -> f64;
    #[wasm_bindgen(method)]
    pub(crate) fn now(this: &Host) -> f64;
    #[wasm_bindgen(method)]
    pub(crate) fn chat(this: &Host, request: &str, on_text: Option<&Function>) -> Promise;
    #[wasm_bindgen(method)]
    pub(crate) fn embed(this: &Host, request: &str) -> Promise;
    #[wasm_bindgen(method)]
    pub(crate) fn post(this: &Host, url: &str, headers: &str, body: &str, seconds: f64) -> Promise;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn status(this: &HttpReply) -> u16;
    #[wasm_bindgen(method, getter)]
    pub(crate) fn reason(this: &HttpReply) -> String;
    #[wasm_bindgen(method)]
    pub(crate) fn header(this: &HttpReply, name: &str) -> Option<String>;
    #[wasm_bindgen(method)]
    pub(crate) fn chunk(this: &HttpReply) -> Promise;
}

/// The bytes of a typed array; None for anything else.
pub(crate) fn bytes(value: &JsValue) -> Option<Vec<u8>> {
    value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}

/// A field of what was thrown; empty where it has none.
pub(crate) fn field(thrown: &JsValue, name: &str) -> String {
    Reflect::get(thrown, &name.into()).ok().and_then(|value| value.as_string()).unwrap_or_default()
}

const KINDS: [Kind; 9] = [
    Kind::Model,
    Kind::Api,
    Kind::Timeout,
    Kind::Template,
    Kind::File,
    Kind::Limit,
    Kind::Action,
    Kind::Schema,
    Kind::Interrupted,
];

/// The error that the page threw. One that is no `EngineError` is the model's.
pub(crate) fn error(thrown: &JsValue) -> Error {
    let word = field(thrown, "kind");
    let kind = KINDS.into_iter().find(|kind| kind.word() == word).unwrap_or(Kind::Model);
    let message = field(thrown, "message");
    let message = if message.is_empty() { format!("{thrown:?}") } else { message };
    Error::new(kind, message).hint(field(thrown, "hint"))
}

/// The error for the page to catch.
pub(crate) fn thrown(error: &Error) -> JsValue {
    let object = Object::new();
    let entries = [("kind", error.kind.word()), ("message", &error.message), ("hint", &error.hint)];
    for (key, value) in entries {
        // A plain object takes any key.
        let _ = Reflect::set(&object, &key.into(), &value.into());
    }
    object.into()
}
