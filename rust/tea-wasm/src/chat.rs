//! Parts of a conversation with a model, for the page that runs one.

use chrono::{DateTime, NaiveDateTime};
use js_sys::Date;
use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::Tool;
use tea_core::llm::chat_template::ChatTemplate;
use tea_core::llm::parameters;
use tea_core::llm::stop_sequence_buffer::StopSequenceBuffer;
use tea_core::llm::tool_form::ToolForm;
use tea_core::value::json;
use tea_core::value::Value;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::JsValue;

use crate::host::thrown;

/// A model's own chat template.
#[wasm_bindgen]
pub struct Template {
    template: ChatTemplate,
    form: ToolForm,
}

#[wasm_bindgen]
impl Template {
    /// Compile `source`; the two tokens are as the vocabulary writes them.
    ///
    /// # Errors
    /// An `EngineError`, `ModelError`: it is not a template.
    #[wasm_bindgen(constructor)]
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Template, JsValue> {
        let template = ChatTemplate::new(source, bos_token, eos_token, now);
        let form = ToolForm::of_template(source);
        template.map(|template| Template { template, form }).map_err(|error| thrown(&error))
    }

    /// The text that the model is to go on with; `messages` and `tools`, those that the model may
    /// call, are JSON lists as a request has them.
    ///
    /// # Errors
    /// An `EngineError`, `ModelError`: the template refuses the messages, fails, or leaves out a
    /// text.
    pub fn render(&self, messages: &str, tools: &str) -> Result<String, JsValue> {
        let message = |value: &Value| value.as_map().and_then(parameters::message);
        let (messages, tools) = (all(messages, message)?, all(tools, Tool::from_value)?);
        let told = self.form.messages(&messages, &tools);
        let text = self.template.render(&told, &self.form.template_tools(&tools), None);
        text.map_err(|error| thrown(&error))
    }

    /// The form of the calls that the model makes, which its answer is read by.
    #[wasm_bindgen(getter, js_name = toolForm)]
    #[must_use]
    pub fn tool_form(&self) -> String {
        self.form.word().into()
    }
}

/// The elements of a JSON list.
fn all<T>(text: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, JsValue> {
    let wrong = |why: String| thrown(&Error::new(Kind::Action, format!("the request: {why}")));
    let list = json::read(text).map_err(|error| wrong(error.to_string()))?;
    let found: Option<Vec<T>> = list.as_list().unwrap_or_default().iter().map(read).collect();
    found.ok_or_else(|| wrong("a part of it is missing".into()))
}

/// The text of an answer, up to the first stop text.
#[wasm_bindgen]
pub struct Answer {
    text: Option<StopSequenceBuffer<'static>>,
    shown: usize,
    stopped: bool,
}

#[wasm_bindgen]
impl Answer {
    /// Begin an answer that ends with the first of the texts in `stop`.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(stop: Vec<String>) -> Answer {
        let stop: Vec<_> = stop.into_iter().map(Into::into).collect();
        Answer { text: Some(StopSequenceBuffer::new(&stop, None)), shown: 0, stopped: false }
    }

    /// Add `piece`; returns what can be shown of the answer by now, and was not before.
    pub fn feed(&mut self, piece: &str) -> String {
        let Some(text) = &mut self.text else { return String::new() };
        if !self.stopped {
            self.stopped = text.feed(piece.as_bytes());
        }
        let new = text.said()[self.shown..].to_string();
        self.shown += new.len();
        new
    }

    /// Whether a stop text is complete.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// What was held back, as it might have begun a stop text. The answer is over then.
    pub fn finish(&mut self) -> String {
        let whole = self.text.take().map(StopSequenceBuffer::finish).unwrap_or_default();
        whole.get(self.shown..).unwrap_or_default().to_string()
    }
}

/// The clock of the page, where the visitor is.
fn now() -> NaiveDateTime {
    let now = Date::new_0();
    let local = now.get_time() - now.get_timezone_offset() * 60_000.0; // minutes behind UTC
    DateTime::from_timestamp_millis(local as i64).unwrap_or_default().naive_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_nothing_that_may_begin_a_stop_text() {
        let mut answer = Answer::new(vec!["END".into()]);
        let shown: Vec<String> = ["a E", "N", "X E", "ND b", "c"].map(|p| answer.feed(p)).into();
        assert_eq!(shown, ["a ", "", "ENX ", "", ""]);
        assert!(answer.stopped());
        assert_eq!(answer.finish(), "");
    }

    #[test]
    fn what_only_looked_like_a_stop_text_is_shown_at_the_end() {
        let mut answer = Answer::new(vec!["END".into()]);
        assert_eq!(answer.feed("a EN"), "a ");
        assert!(!answer.stopped());
        assert_eq!(answer.finish(), "EN");
    }
}
