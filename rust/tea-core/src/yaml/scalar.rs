//! What a plain scalar means in the core schema of YAML 1.2.

use crate::value::Value;

/// The value of a plain scalar; None for a whole number of more than 128 bits.
pub(crate) fn resolve(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Value::Null),
        "true" | "True" | "TRUE" => return Some(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Value::Bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Some(Value::Float(f64::NAN)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        return Some(Value::Float(sign * f64::INFINITY));
    }
    if all_digits(unsigned, 10) {
        return text.parse().ok().map(Value::Int);
    }
    for (prefix, base) in [("0o", 8), ("0x", 16)] {
        if let Some(digits) = text.strip_prefix(prefix).filter(|text| all_digits(text, base)) {
            return i128::from_str_radix(digits, base).ok().map(Value::Int);
        }
    }
    if is_fraction(unsigned) {
        return text.parse().ok().map(Value::Float);
    }
    Some(Value::text(text))
}

fn all_digits(text: &str, base: u32) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_digit(base))
}

/// Digits with a point, an exponent, or both; digits before or after the point.
fn is_fraction(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_exponent =
        exponent.is_none_or(|text| all_digits(text.strip_prefix(['-', '+']).unwrap_or(text), 10));
    let is_mantissa = match mantissa.split_once('.') {
        Some(("", fraction)) => all_digits(fraction, 10),
        Some((whole, fraction)) => {
            all_digits(whole, 10) && (fraction.is_empty() || all_digits(fraction, 10))
        }
        None => all_digits(mantissa, 10),
    };
    is_exponent && is_mantissa
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        format!("{:?}", resolve(text))
    }

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema() {
        for (text, value) in [
            ("~", "Some(Null)"),
            ("yes", "Some(Text(\"yes\"))"),
            ("0o17", "Some(Int(15))"),
            ("0x1F", "Some(Int(31))"),
            ("-0x1F", "Some(Text(\"-0x1F\"))"),
            ("017", "Some(Int(17))"),
            ("+3", "Some(Int(3))"),
            ("1_000", "Some(Text(\"1_000\"))"),
            ("1.", "Some(Float(1.0))"),
            (".5", "Some(Float(0.5))"),
            ("1e3", "Some(Float(1000.0))"),
            ("-.Inf", "Some(Float(-inf))"),
            (".", "Some(Text(\".\"))"),
            ("1e", "Some(Text(\"1e\"))"),
            ("2024-01-01", "Some(Text(\"2024-01-01\"))"),
        ] {
            assert_eq!(shown(text), value, "{text}");
        }
        assert_eq!(shown(&"9".repeat(50)), "None");
    }
}
