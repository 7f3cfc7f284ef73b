//! The filters of numbers.

use super::function::{unfit, whole, Arguments};
use crate::errors::Error;
use crate::limits::check_integer;
use crate::value::text;
use crate::value::Value;

type Result<T> = std::result::Result<T, Error>;

pub(super) fn round(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let number = value
        .require("")?
        .as_number()
        .ok_or_else(|| Error::template(format!("cannot round {}", value.describe())))?;
    let rounded: fn(f64) -> f64 = match given.get(1).map(Value::as_text) {
        None | Some(Some("common")) => |number| (number.abs() + 0.5).floor().copysign(number),
        Some(Some("ceil")) => f64::ceil,
        Some(Some("floor")) => f64::floor,
        Some(_) => return Err(Error::template("the method of round is common, ceil or floor")),
    };
    let digits = given.get(0).map_or(Ok(0), |digits| whole(digits, "precision"))?;
    if value.as_int().is_some() || digits > 15 {
        return Ok(value.clone());
    }
    let factor = 10.0_f64.powi(i32::try_from(digits).unwrap_or(0));
    if !(number * factor).is_finite() {
        return Ok(value.clone()); // so large that it has no fraction
    }
    let result = rounded(number * factor) / factor;
    if result.is_finite() {
        Ok(Value::Float(result))
    } else {
        Err(Error::template("the number is too large"))
    }
}

pub(super) fn int(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let base = given.get(1).unwrap_or(&Value::Int(10)).as_int().ok_or_else(|| unfit("int"))?;
    let number = match value {
        Value::Text(text) => whole_of_text(text::strip(text), base)?,
        Value::Bool(truth) => Some(i128::from(*truth)),
        Value::Int(number) => Some(*number),
        Value::Float(number) => cut(*number),
        _ => None,
    };
    match number {
        Some(number) => check_integer(number).map(Value::Int),
        None => converted_or(given.get(0), value, "a whole number", "int"),
    }
}

/// The number without its fraction.
fn cut(number: f64) -> Option<i128> {
    number.is_finite().then_some(number as i128)
}

/// The whole number that a text means; None where it means none.
fn whole_of_text(text: &str, base: i128) -> Result<Option<i128>> {
    if base == 10 {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than 128 bits have are more than 64 bits have.
            return Ok(Some(text.parse().unwrap_or(i128::MAX)));
        }
        return Ok(number_of_text(text).and_then(cut));
    }
    let Ok(base) = u32::try_from(base) else { return Ok(None) };
    Ok(based(text, base))
}

/// The number in `text` in a base of 2 to 36, or in the one that its prefix says where it is 0.
fn based(text: &str, base: u32) -> Option<i128> {
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let lower = unsigned.to_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)]
        .into_iter()
        .find(|(prefix, own)| lower.starts_with(prefix) && (base == 0 || base == *own));
    let (digits, base) = match prefixed {
        Some((prefix, own)) => {
            (lower[prefix.len()..].strip_prefix('_').unwrap_or(&lower[prefix.len()..]), own)
        }
        None if base == 0 => {
            let zeros = lower.starts_with('0') && !lower.trim_matches(['0', '_']).is_empty();
            (if zeros { "" } else { &lower[..] }, 10)
        }
        None => (&lower[..], base),
    };
    if !(2..=36).contains(&base) || digits.starts_with('_') || digits.ends_with('_') {
        return None;
    }
    if digits.contains("__") || digits.starts_with(['+', '-']) {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let number = i128::from_str_radix(&digits, base).unwrap_or(i128::MAX);
    Some(if negative { -number } else { number })
}

pub(super) fn float(value: &Value, given: &Arguments<'_>) -> Result<Value> {
    let number = match value {
        Value::Text(text) => number_of_text(text::strip(text)),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Int(_) | Value::Float(_) => value.as_number(),
        _ => None,
    };
    match number {
        Some(number) => Ok(Value::Float(number)),
        None => converted_or(given.get(0), value, "a number", "float"),
    }
}

/// A number in decimal digits, with or without fraction and exponent.
fn number_of_text(text: &str) -> Option<f64> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_mantissa = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            (digits(whole) && (fraction.is_empty() || digits(fraction)))
                || (whole.is_empty() && digits(fraction))
        }
        None => digits(mantissa),
    };
    let is_exponent =
        exponent.is_none_or(|text| digits(text.strip_prefix(['+', '-']).unwrap_or(text)));
    if is_mantissa && is_exponent {
        text.parse().ok()
    } else {
        None
    }
}

fn converted_or(default: Option<&Value>, value: &Value, wanted: &str, name: &str) -> Result<Value> {
    if let Some(default) = default {
        return Ok(default.clone());
    }
    let what = value.require("")?.describe();
    Err(Error::template(format!("{what} is not {wanted}"))
        .hint(format!("or give a default: {name}(0)")))
}

pub(super) fn abs(value: &Value, _: &Arguments<'_>) -> Result<Value> {
    match value.require("")? {
        Value::Int(number) => Ok(Value::Int(number.saturating_abs())),
        Value::Float(number) => Ok(Value::Float(number.abs())),
        other => Err(Error::template(format!("abs needs a number, not {}", other.describe()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_means_a_whole_number_in_its_base() {
        for (text, base, number) in [
            ("-12", 10, Some(-12)),
            ("1_000", 10, None),
            ("2.9", 10, Some(2)),
            ("1e3", 10, Some(1000)),
            ("ff", 16, Some(255)),
            ("0xFF", 16, Some(255)),
            ("-0b11", 0, Some(-3)),
            ("1_0", 8, Some(8)),
            ("9", 8, None),
            ("", 16, None),
            ("1", 37, None),
        ] {
            assert_eq!(whole_of_text(text, base).unwrap(), number, "{text} in {base}");
        }
    }

    #[test]
    fn words_are_no_numbers() {
        for text in ["inf", "nan", "1_0", "", ".", "e5", "0x10", "1e", "- 1"] {
            assert_eq!(number_of_text(text), None, "{text}");
        }
        assert_eq!(number_of_text("-.5e1"), Some(-5.0));
        assert_eq!(number_of_text("5."), Some(5.0));
    }
}
