//! Models: requests and replies, parameters, where a model is, and its chat template.

pub mod api;
pub(crate) mod api_settings;
pub mod backend;
pub mod chat_template;
pub mod control_tokens;
pub mod endpoint;
pub mod model_path;
pub mod openai_format;
mod openai_request;
pub mod parameters;
pub mod shape;
pub mod stop_sequence_buffer;
pub mod thinking;
pub mod tool_calls;
pub mod tool_form;
pub mod tool_grammar;
pub(crate) mod tools;
