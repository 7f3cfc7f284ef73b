//! The filters of texts.

use std::fmt::Write;
use std::sync::Arc;

use percent_encoding::{utf8_percent_encode, AsciiSet, NON_ALPHANUMERIC};
use sha2::{Digest, Sha256};

use super::function::{unfit, whole, Arguments};
use crate::errors::Error;
use crate::template::methods;
use crate::value::json;
use crate::value::text;
use crate::value::Value;

type Result<T> = std::result::Result<T, Error>;

/// The text form of a value, to be gone through as a whole.
fn whole_text(value: &Value, given: &Arguments<'_>) -> Result<Arc<str>> {
    let text = value.text_form("", given.budget)?;
    given.budget.charge_text(text.len())?;
    Ok(text)
}

pub(super) fn tojson(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    if let Value::Absent(absent) = value {
        if !absent.null {
            return Err(absent.error());
        }
    }
    let indent = given.some(0).map(|indent| whole(indent, "indent")).transpose()?;
    Ok(Value::text(value.json_text(indent, given.budget)?))
}

pub(super) fn fromjson(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let Some(text) = value.require("")?.as_text() else {
        let what = value.describe();
        return Err(Error::template(format!("fromjson needs text, not {what}")));
    };
    given.budget.charge_text(text.len())?;
    json::read(text).map_err(|error| Error::template(format!("the text is not JSON: {error}")))
}

pub(super) fn upper(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    Ok(Value::text(whole_text(value, given)?.to_uppercase()))
}

pub(super) fn lower(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    Ok(Value::text(whole_text(value, given)?.to_lowercase()))
}

pub(super) fn string(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    value.text_form("", given.budget).map(Value::Text)
}

pub(super) fn trim(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let text = whole_text(value, given)?;
    match given.some(0) {
        None => Ok(Value::text(text::strip(&text))),
        Some(Value::Text(characters)) => {
            Ok(Value::text(text.trim_matches(|c| characters.contains(c))))
        }
        Some(_) => Err(unfit("trim")),
    }
}

pub(super) fn replace(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let (Some(old), Some(new)) = (given.get(0), given.get(1)) else {
        return Err(unfit("replace"));
    };
    let budget = given.budget;
    let most = given.some(2).map(|count| whole(count, "count")).transpose()?;
    let most = most.map_or(-1, |most| most as i128);
    let text = value.text_form("", budget)?;
    methods::replace(&text, &old.text_form("", budget)?, &new.text_form("", budget)?, most, budget)
}

pub(super) fn indent(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let prefix = match given.get(0) {
        None => " ".repeat(4),
        Some(Value::Text(prefix)) => prefix.to_string(),
        Some(width) => " ".repeat(whole(width, "width")?),
    };
    let (first, blank) = (given.is_true(1), given.is_true(2));
    let text = value.text_form("", given.budget)?;
    let lines: Vec<&str> = text.split('\n').collect();
    let added = lines.len().saturating_mul(text::length(&prefix) + 1);
    let characters = text::length(&text) + 1 - lines.len();
    given.budget.check_text(characters.saturating_add(added))?;
    let mut moved = String::new();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            moved.push('\n');
        }
        if (first || number > 0) && (blank || !line.is_empty()) {
            moved.push_str(&prefix);
        }
        moved.push_str(line);
    }
    Ok(Value::text(moved))
}

pub(super) fn truncate(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let text = whole_text(value, given)?;
    let ending = given.get(2).map_or(Ok("...".into()), |end| end.text_form("", given.budget))?;
    let size = given.get(0).map_or(Ok(255), |length| whole(length, "length"))?;
    let leeway = given.get(3).map_or(Ok(5), |leeway| whole(leeway, "leeway"))?;
    let Some(room) = size.checked_sub(text::length(&ending)) else {
        return Err(Error::template("truncate needs a length that has room for its end"));
    };
    if text::length(&text) <= size + leeway {
        return Ok(Value::Text(text));
    }
    let kept: String = text.chars().take(room).collect();
    let kept = match kept.rsplit_once(' ') {
        Some((words, _)) if !given.is_true(1) => words,
        _ => &kept,
    };
    Ok(Value::text(format!("{kept}{ending}")))
}

pub(super) fn wordcount(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let text = whole_text(value, given)?;
    let words = text.split(|c| !text::is_word(c)).filter(|word| !word.is_empty());
    Ok(Value::Int(words.count() as i128))
}

pub(super) fn sha256(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let mut shown = String::new();
    for byte in Sha256::digest(whole_text(value, given)?.as_bytes()) {
        let _ = write!(shown, "{byte:02x}");
    }
    Ok(Value::text(shown))
}

/// What stands in a query as it is, but for the space, which is a plus sign there.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

pub(super) fn urlencode(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let pairs: Vec<[Value; 2]> = match value {
        Value::Map(map) => {
            map.iter().map(|(key, item)| [Value::Text(key.clone()), item.clone()]).collect()
        }
        Value::List(items) | Value::Group(items) => {
            let pair = |item: &Value| <[Value; 2]>::try_from(item.as_list()?.to_vec()).ok();
            let pairs: Option<Vec<_>> = items.iter().map(pair).collect();
            let wrong = || Error::template("urlencode needs text, a map, or a list of pairs");
            pairs.ok_or_else(wrong)?
        }
        other => {
            let text = whole_text(other, given)?;
            return Ok(Value::text(utf8_percent_encode(&text, IN_PATH).to_string()));
        }
    };
    given.budget.charge(pairs.len())?;
    let part = |value| -> Result<String> {
        Ok(utf8_percent_encode(&whole_text(value, given)?, IN_QUERY)
            .to_string()
            .replace("%20", "+"))
    };
    let mut query = String::new();
    for [key, item] in &pairs {
        let separator = if query.is_empty() { "" } else { "&" };
        let _ = write!(query, "{separator}{}={}", part(key)?, part(item)?);
    }
    given.budget.check_text(query.len())?;
    Ok(Value::text(query))
}
