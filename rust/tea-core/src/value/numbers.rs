//! Numbers the way every engine computes and writes them.

use std::cmp::Ordering;

/// Write a number with a fraction: the shortest digits that give it back, `2.0`, `1e+16`, `1e-07`.
#[must_use]
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    let text = format!("{number}");
    if text.contains('.') {
        text
    } else {
        format!("{text}.0")
    }
}

/// Write a number with at most six digits and no needless zeros.
#[must_use]
pub fn short_text(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return float_text(number).trim_end_matches(".0").into();
    }
    let scientific = format!("{number:.5e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text.to_string(),
    };
    if !(-4..6).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(digits), exponent.abs());
    }
    let places = usize::try_from(5 - exponent).unwrap_or(0);
    trimmed(&format!("{number:.places$}"))
}

/// The quotient rounded down, and the rest, which has the sign of the divisor.
#[must_use]
pub fn floor_division(left: i128, right: i128) -> (i128, i128) {
    let (quotient, rest) = (left / right, left % right);
    if rest != 0 && ((rest < 0) != (right < 0)) {
        (quotient - 1, rest + right)
    } else {
        (quotient, rest)
    }
}

/// The same of numbers with a fraction.
#[must_use]
pub fn float_floor_division(left: f64, right: f64) -> (f64, f64) {
    let mut rest = left % right;
    let mut quotient = (left - rest) / right;
    if rest == 0.0 {
        rest = 0.0_f64.copysign(right);
    } else if (right < 0.0) != (rest < 0.0) {
        rest += right;
        quotient -= 1.0;
    }
    let floored = if quotient == 0.0 {
        0.0_f64.copysign(left / right)
    } else {
        let down = quotient.floor();
        if quotient - down > 0.5 {
            down + 1.0
        } else {
            down
        }
    };
    (floored, rest)
}

/// The quotient of two whole numbers, rounded once.
#[must_use]
pub fn true_division(left: i128, right: i128) -> f64 {
    const EXACT: u128 = 1 << 53;
    let (a, b) = (left.unsigned_abs(), right.unsigned_abs());
    let sign = if (left < 0) != (right < 0) { -1.0 } else { 1.0 };
    if a <= EXACT && b <= EXACT {
        return sign * (a as f64 / b as f64);
    }
    // Scale so that the quotient has at least 55 bits; the last one then says "and a rest".
    let bits = |n: u128| 128 - n.leading_zeros() as i32;
    let shift = (bits(b) - bits(a) + 55).clamp(0, 127 - bits(a).min(126));
    let (quotient, rest) = ((a << shift) / b, (a << shift) % b);
    let sticky = quotient | u128::from(rest != 0);
    sign * (sticky as f64) * 2.0_f64.powi(-shift)
}

/// Compare a whole number with another number exactly; None when that is not a number.
#[must_use]
pub fn compare_mixed(whole: i128, number: f64) -> Option<Ordering> {
    if number.is_nan() {
        return None;
    }
    if number >= 1.7e38 {
        return Some(Ordering::Less);
    }
    if number <= -1.7e38 {
        return Some(Ordering::Greater);
    }
    let floor = number.floor();
    let order = whole.cmp(&(floor as i128));
    if order == Ordering::Equal && number > floor {
        return Some(Ordering::Less);
    }
    Some(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_every_engine_writes_them() {
        for (number, text) in [
            (2.0, "2.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1e-7, "1e-07"),
            (1.5e-5, "1.5e-05"),
            (0.0001, "0.0001"),
            (-0.0, "-0.0"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }

    #[test]
    fn short_numbers_have_six_digits_at_most() {
        for (number, text) in
            [(300.0, "300"), (0.5, "0.5"), (1e6, "1e+06"), (0.05, "0.05"), (1.0 / 3.0, "0.333333")]
        {
            assert_eq!(short_text(number), text);
        }
    }

    #[test]
    fn division_rounds_down_and_the_rest_has_the_divisors_sign() {
        assert_eq!(floor_division(-7, 2), (-4, 1));
        assert_eq!(floor_division(7, -3), (-3, -2));
        assert_eq!(float_floor_division(-7.5, 2.0), (-4.0, 0.5));
        assert_eq!(float_floor_division(7.0, 2.0), (3.0, 1.0));
    }

    #[test]
    fn a_quotient_of_large_numbers_is_rounded_once() {
        assert_eq!(true_division(9_007_199_254_740_993, 3), 3_002_399_751_580_331.0);
        assert_eq!(true_division(1, 3), 1.0 / 3.0);
        assert_eq!(true_division(i128::from(i64::MAX), i128::from(i64::MIN)), -1.0);
        assert_eq!(true_division(1, 1 << 62), 2.0_f64.powi(-62));
    }

    #[test]
    fn whole_numbers_compare_exactly_with_others() {
        assert_eq!(compare_mixed((1 << 53) + 1, 9_007_199_254_740_992.0), Some(Ordering::Greater));
        assert_eq!(compare_mixed(1, 1.0), Some(Ordering::Equal));
        assert_eq!(compare_mixed(-1, -0.5), Some(Ordering::Less));
        assert_eq!(compare_mixed(1, f64::NAN), None);
    }
}
