//! Which API a file and the environment configure.

use std::rc::Rc;

use crate::errors::{Error, Kind};
use crate::redact::Masker;
use crate::value::text::strip;
use crate::value::{Map, Value};

/// What differs between providers of the same protocol.
struct Preset {
    base: Option<&'static str>,         // address when the file names none
    key_variable: Option<&'static str>, // environment variable with the key
    header: &'static str,               // carries the key
    scheme: &'static str,               // goes before the key
    path: &'static str,                 // comes after an address that has no path of its own
}

fn preset(provider: &str) -> Preset {
    let bearer = ("Authorization", "Bearer ");
    let (base, key_variable, (header, scheme), path) = match provider {
        "ollama" => (Some("http://localhost:11434/v1"), None, bearer, "/v1"),
        "azure" => (None, Some("AZURE_OPENAI_API_KEY"), ("api-key", ""), "/openai/v1"),
        _ => (Some("https://api.openai.com/v1"), Some("OPENAI_API_KEY"), bearer, ""),
    };
    Preset { base, key_variable, header, scheme, path }
}

/// Where to send requests, and with what key.
pub struct Endpoint {
    pub(super) base: String,
    pub(super) header: Option<(String, String)>,
    pub(super) model: Option<String>,
    /// Kept: what is shown is masked while it is there.
    pub(super) _masker: Rc<Masker>,
}

impl Endpoint {
    /// What `settings.llm` and the environment configure, None when that is nothing.
    ///
    /// # Errors
    /// `ApiError`: the address is not one, or `provider` is azure and there is no address.
    pub fn new(settings: &Map, env: &Map) -> Result<Option<Endpoint>, Error> {
        let given = |map: &Map, key: &str| {
            let text = map.get(key).and_then(Value::as_text).filter(|text| !text.is_empty());
            text.map(String::from)
        };
        let provider = given(settings, "provider").unwrap_or_else(|| "openai".into());
        let preset = preset(&provider);
        let variable = preset.key_variable.and_then(|name| given(env, name));
        // A file that holds a key ends with a line end.
        let key = given(settings, "api_key").or(variable).map(|key| strip(&key).to_string());
        let key = key.filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| !key.bytes().all(|byte| (b' '..=b'~').contains(&byte))) {
            let message = "the API key holds a character that no header can carry";
            let hint = "a key is printable ASCII; was more than the key copied?";
            return Err(Error::new(Kind::Api, message).hint(hint));
        }
        let base = match (given(settings, "api_base"), preset.base) {
            (Some(base), _) => base,
            (None, None) => {
                let message = format!("provider {provider} needs settings.llm.api_base");
                return Err(Error::new(Kind::Api, message));
            }
            (None, Some(_)) if key.is_none() && provider != "ollama" => return Ok(None),
            (None, Some(base)) => base.into(),
        };
        let trimmed = base.trim_end_matches('/');
        let address = trimmed
            .split_once("://")
            .filter(|(scheme, rest)| matches!(*scheme, "http" | "https") && !rest.is_empty());
        let Some((scheme, rest)) = address else {
            let shown = without_password(&base);
            let message = format!("settings.llm.api_base {shown:?} is not an address");
            return Err(Error::new(Kind::Api, message).hint("write it like https://host/v1"));
        };
        let path = if rest.contains('/') { "" } else { preset.path };
        let header =
            key.as_ref().map(|key| (preset.header.into(), format!("{}{key}", preset.scheme)));
        Ok(Some(Endpoint {
            base: format!("{scheme}://{rest}{path}"),
            header,
            _masker: Masker::of(key.into_iter().chain(password(rest)).collect()),
            model: given(settings, "model"),
        }))
    }

    /// The address as messages show it.
    pub(super) fn shown(&self) -> String {
        without_password(&self.base)
    }
}

/// The password in what follows the scheme of an address.
fn password(rest: &str) -> Option<String> {
    let (user, _) = rest.split('/').next()?.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(percent_encoding::percent_decode_str(password).decode_utf8_lossy().into_owned())
}

/// An address without a name and password in it.
pub(super) fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("//") else { return address.into() };
    match rest.split('/').next().unwrap_or(rest).rfind('@') {
        Some(at) => format!("{scheme}//{}", &rest[at + 1..]),
        None => address.into(),
    }
}
