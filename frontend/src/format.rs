//! Numbers and times as people read them.

use js_sys::{Date, Object, Reflect};
use wasm_bindgen::JsValue;

/// `3.4 MB`, in powers of ten as file managers have it.
#[must_use]
pub fn bytes(bytes: f64) -> String {
    if bytes < 1e3 {
        format!("{bytes:.0} B")
    } else if bytes < 1e6 {
        format!("{:.0} kB", bytes / 1e3)
    } else if bytes < 1e9 {
        format!("{:.1} MB", bytes / 1e6)
    } else if bytes < 1e12 {
        format!("{:.1} GB", bytes / 1e9)
    } else {
        format!("{:.1} TB", bytes / 1e12)
    }
}

/// `240 ms`, `3.2 s`, `12 min`, `3 h 20 min`, `5 days`.
#[must_use]
pub fn duration(ms: u64) -> String {
    let minutes = ms / 60_000;
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{:.1} s", ms as f64 / 1000.0),
        120_000..7_200_000 => format!("{minutes} min"),
        7_200_000..172_800_000 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => plural(usize::try_from(minutes / 1440).unwrap_or(usize::MAX), "day"),
    }
}

/// A whole number with its digits in groups: `1 234 567`.
#[must_use]
pub fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            // Narrow, and no place for a line to end.
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// `3.8 M`, of a model's parameters.
#[must_use]
pub fn count(count: u64) -> String {
    let count = count as f64;
    if count >= 1e9 {
        format!("{:.1} B", count / 1e9)
    } else if count >= 1e6 {
        format!("{:.1} M", count / 1e6)
    } else {
        format!("{:.0} k", count / 1e3)
    }
}

/// A date and time in the reader's language and time zone; the text itself when it is no time.
#[must_use]
pub fn time(rfc3339: &str) -> String {
    let date = Date::new(&JsValue::from_str(rfc3339));
    if date.get_time().is_nan() {
        return rfc3339.to_owned();
    }
    let options = Object::new();
    let _ = Reflect::set(&options, &"dateStyle".into(), &"medium".into());
    let _ = Reflect::set(&options, &"timeStyle".into(), &"short".into());
    String::from(date.to_locale_string("default", &options))
}

/// `1 photo`, `3 photos`.
#[must_use]
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `1 person`, `3 people`.
#[must_use]
pub fn plural_of(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// `Sharpness` from `sharpness`.
#[must_use]
pub fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// A number with some digits; a dash where there is none.
#[must_use]
pub fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

/// `56 %` of 0.56; a dash where there is none.
#[must_use]
pub fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{:.0} %", 100.0 * value))
}

/// `+0.31`, `−0.31`, `0.00`.
#[must_use]
pub fn signed(value: f64) -> String {
    let text = format!("{:.2}", value.abs());
    match value {
        _ if text == "0.00" => text,
        value if value < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// A reason as a sentence: a capital at its beginning and a full stop at its end.
#[must_use]
pub fn sentence(reason: &impl ToString) -> String {
    let text = capitalised(&reason.to_string());
    if text.ends_with(['.', '!', '?']) { text } else { text + "." }
}
