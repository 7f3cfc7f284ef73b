//! Dates of HTTP headers.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT`; None for any other.
///
/// Source: RFC 9110, 5.6.7 (IMF-fixdate).
pub(crate) fn seconds(text: &str) -> Option<f64> {
    let (_, date) = text.split_once(", ")?;
    let parts: Vec<&str> = date.split(' ').collect();
    let [day, month, year, time, "GMT" | "+0000"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))? + 1;
    let clock: Vec<i64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hours, minutes, seconds] = clock[..] else { return None };
    let (year, day): (i32, i64) = (year.parse().ok()?, day.parse().ok()?);
    let is_time = (0..24).contains(&hours) && (0..60).contains(&minutes);
    if !is_time || !(0..=60).contains(&seconds) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, i64::try_from(month).ok()?, day);
    Some((days * 86_400 + hours * 3_600 + minutes * 60 + seconds) as f64)
}

/// The days from 1970-01-01 to a date of the Gregorian calendar.
///
/// Years begin in March, so that the leap day is their last.
pub(crate) fn days_since_1970(year: i32, month: i64, day: i64) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_seconds_since_1970() {
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777.0));
        assert_eq!(seconds("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800.0));
        for wrong in [
            "",
            "soon",
            "Sun, 06 Nov 1994 9223372036854775807:49:37 GMT",
            "Sun, 06 Nov 1994",
            "Sun, 06 Foo 1994 08:49:37 GMT",
        ] {
            assert_eq!(seconds(wrong), None);
        }
    }
}
