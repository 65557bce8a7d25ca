//! Days of the calendar, as filters take them: `2026-03-01`, in UTC.

/// Milliseconds from 1970-01-01 to the beginning of a day; `None` for a text that is no day of the calendar.
///
/// Days are counted as in Howard Hinnant's `days_from_civil`.
#[must_use]
pub fn start(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let is_shaped = bytes.len() == 10
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !is_shaped {
        return None;
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let since = era * 146_097 + day_of_era - 719_468;
    u64::try_from(since * 86_400_000).ok()
}

/// The same for the end of a day, which is the beginning of the next.
#[must_use]
pub fn end(text: &str) -> Option<u64> {
    Some(start(text)? + 86_400_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_and_what_is_none_is_none() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1970-03-01", Some(59)),
            ("2000-02-29", Some(11_016)),
            ("2026-11-25", Some(20_782)),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-00-10", None),
            ("2026-1-1", None),
            ("yesterday!", None),
            ("1969-12-31", None),
        ] {
            assert_eq!(start(text), expected.map(|days: u64| days * 86_400_000), "{text}");
        }
    }
}
