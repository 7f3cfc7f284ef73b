//! From a conversation to the tokens that the answer goes on from.

use std::cell::OnceCell;

use chrono::Local;

use tea_core::errors::{Error, Kind};
use tea_core::llm::backend::{Message, Tool};
use tea_core::llm::chat_template::ChatTemplate;
use tea_core::llm::control_tokens::Placeholders;
use tea_core::llm::tool_form::ToolForm;

use crate::llama::{Model, Special, Token};

/// Bytes of a token. A prompt with fewer than that for each token of the context is tokenized soon.
const USUAL_PIECE: usize = 16;

/// Makes the prompts of one model.
pub struct Prompter {
    name: String,
    source: Option<String>,
    template: OnceCell<ChatTemplate>,
    bos: Option<Token>, // where the model wants texts to begin with it
}

impl Prompter {
    /// `name` and `source`, its chat template, are of the same model.
    #[must_use]
    pub fn new(model: &Model, name: String, source: Option<String>) -> Prompter {
        let bos = model.bos().filter(|_| model.adds_bos());
        Prompter { name, source, template: OnceCell::new(), bos }
    }

    /// The form of the calls that the model makes.
    #[must_use]
    pub fn tool_form(&self) -> ToolForm {
        ToolForm::of_template(self.source.as_deref().unwrap_or_default())
    }

    /// The tokens that the answer goes on from, with at most one BOS at their head.
    ///
    /// `prompt` is completed as it stands when the model has no chat template. `tools` are those that
    /// the model may call.
    ///
    /// # Errors
    /// `ModelError`: there is no chat template and no such prompt, or the template fails.
    /// `ActionError`: there is nothing to go on from. `LimitError`: a context of `n_ctx` tokens
    /// cannot hold it, whatever its tokens are.
    pub fn tokens(
        &self,
        model: &Model,
        messages: &[Message],
        tools: &[Tool],
        prompt: Option<&str>,
        thinking: Option<bool>,
        n_ctx: u32,
    ) -> Result<Vec<Token>, Error> {
        let size: usize = messages.iter().map(|message| message.content.len()).sum();
        let n_ctx = n_ctx as usize;
        if size > n_ctx * USUAL_PIECE && size > n_ctx * model.longest_piece() {
            let message = format!(
                "the prompt has {size} bytes, more than a context of {n_ctx} tokens can hold"
            );
            return Err(Error::new(Kind::Limit, message).hint("shorten the prompt"));
        }
        let tokens = match (&self.source, prompt.filter(|_| tools.is_empty())) {
            (Some(source), _) => self.chat_tokens(model, source, messages, tools, thinking)?,
            (None, Some(prompt)) => model.tokenize(prompt, Special::Parsed)?,
            (None, None) => {
                return Err(Error::new(
                    Kind::Model,
                    format!("{} has no chat template, so it cannot chat", self.name),
                )
                .hint(
                    "use an instruction-tuned model, or a prompt without system text, which it \
                     completes as plain text",
                ));
            }
        };
        with_bos(tokens, self.bos)
    }

    fn chat_tokens(
        &self,
        model: &Model,
        source: &str,
        messages: &[Message],
        tools: &[Tool],
        thinking: Option<bool>,
    ) -> Result<Vec<Token>, Error> {
        let form = ToolForm::of_template(source);
        let messages = form.messages(messages, tools);
        let control_texts = |text: &str| model.control_texts(text);
        let (hidden, messages, tools) =
            Placeholders::hide(&messages, &form.template_tools(tools), control_texts)?;
        let text = self.template(model, source)?.render(&messages, &tools, thinking)?;
        let mut tokens = Vec::new();
        for part in hidden.parts(&text, control_texts)? {
            let special = if part.special { Special::Parsed } else { Special::None };
            tokens.extend(model.tokenize(&part.text, special)?);
        }
        Ok(tokens)
    }

    fn template(&self, model: &Model, source: &str) -> Result<&ChatTemplate, Error> {
        if let Some(template) = self.template.get() {
            return Ok(template);
        }
        let text =
            |token: Option<Token>| token.map(|token| model.token_text(token)).unwrap_or_default();
        let now = || Local::now().naive_local();
        let template = ChatTemplate::new(source, &text(model.bos()), &text(model.eos()), now)?;
        Ok(self.template.get_or_init(|| template))
    }
}

/// Templates often write the BOS themselves, and some tokenizers add one: never both.
fn with_bos(mut tokens: Vec<Token>, bos: Option<Token>) -> Result<Vec<Token>, Error> {
    if let Some(bos) = bos {
        let written = tokens.iter().take_while(|token| **token == bos).count();
        tokens.drain(..written.saturating_sub(1));
        if written == 0 {
            tokens.insert(0, bos);
        }
    }
    if tokens.is_empty() {
        return Err(Error::new(Kind::Action, "the prompt is empty"));
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_begins_with_one_bos_where_the_model_wants_one() {
        assert_eq!(with_bos(vec![1, 1, 1, 5], Some(1)).unwrap(), [1, 5]);
        assert_eq!(with_bos(vec![5, 1], Some(1)).unwrap(), [1, 5, 1]);
        assert_eq!(with_bos(vec![], Some(1)).unwrap(), [1]);
        assert_eq!(with_bos(vec![1, 1, 5], None).unwrap(), [1, 1, 5]);
    }

    #[test]
    fn a_prompt_of_nothing_is_an_error() {
        assert_eq!(with_bos(vec![], None).unwrap_err().message, "the prompt is empty");
    }
}
