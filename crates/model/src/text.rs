//! Numbers and names as people read them. The form of a number depends on it alone.

use std::borrow::Cow;
use std::fmt::Write;

use serde::de::IgnoredAny;
use serde_json::{Number, Value};

use crate::spec::canonical;

/// From this size on, the digits before the point say less than their number.
const DECIMALS_BELOW: f64 = 1e15;

/// `value` with this many decimals, in scientific notation if it is huge; never
/// `-0.00`.
pub fn decimals(value: f64, places: usize) -> String {
    if value.is_finite() && value.abs() >= DECIMALS_BELOW {
        return format!("{value:.places$e}");
    }
    let text = format!("{value:.places$}");
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        _ => text,
    }
}

/// A measured `value` with this many decimals, or with one more significant
/// digit than these where they would change it by more than a tenth: nothing
/// reads as nought that is not.
pub fn measured(value: f64, places: usize) -> String {
    let text = decimals(value, places);
    let read = text.parse().unwrap_or(value);
    if (value - read).abs() > 0.1 * value.abs() {
        return compact(format!("{value:.places$e}").parse().unwrap_or(value));
    }
    text
}

/// Measured numbers with as many significant digits, from four up to twelve, as
/// it takes to tell them apart.
pub fn told_apart<const N: usize>(values: [f64; N]) -> [String; N] {
    let texts = |digits: usize| {
        values.map(|value| compact(format!("{value:.digits$e}").parse().unwrap_or(value)))
    };
    let apart = |texts: &[String; N]| {
        let pairs = (0..N).flat_map(|one| (0..one).map(move |other| (one, other)));
        let mut pairs =
            pairs.filter(|(one, other)| values[*one].total_cmp(&values[*other]).is_ne());
        pairs.all(|(one, other)| texts[one] != texts[other])
    };
    (3..11).map(texts).find(apart).unwrap_or_else(|| texts(11))
}

/// `value` exactly, in the shortest common form: `0.1`, `3.2`, `1e-4`, `4096`.
pub fn compact(value: f64) -> String {
    let value = value + 0.0;
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e7).contains(&size) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

/// `value` to four significant digits, in the form of [`compact`]: for measured
/// and computed numbers, whose further digits mean nothing.
pub fn approximate(value: f64) -> String {
    let rounded = format!("{value:.3e}").parse().unwrap_or(value);
    compact(rounded)
}

/// A number of bytes to four significant digits: `10 GiB`, `1.5 TiB`, `512 B`.
pub fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let place = (bytes.max(1).ilog2() / 10).min(units.len() as u32 - 1);
    let value = bytes as f64 / 1024_f64.powi(place as i32);
    format!("{} {}", approximate(value), units[place as usize])
}

/// Reads a size in bytes: a number with a unit, as [`bytes`] writes it.
pub fn read_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u32); 5] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("B", 0)];
    let (number, bits) = UNITS
        .iter()
        .find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, *bits)))?;
    let number = number.trim_end();
    let digits = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let bytes = number.parse::<f64>().ok()? * f64::from(2).powi(bits as i32);
    (digits && (1.0..=1e18).contains(&bytes)).then_some(bytes as u64)
}

/// A number of a spec, exactly: whole numbers in digits, others as [`compact`].
pub fn number(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => compact(float),
        _ => number.to_string(),
    }
}

/// A parameter's value for people: text without quotes, numbers as
/// [`compact`], lists and tables as canonical JSON. Text that looks like another
/// kind of value, or like nothing, has quotes.
pub fn parameter(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() || is_json(text) => canonical(value),
        value => bare_parameter(value),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The same for files that programs read, where all text goes without quotes.
pub fn bare_parameter(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(value) => number(value),
        other => canonical(other),
    }
}

/// A text, cut at so many bytes, with a mark where something is missing.
pub fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
        text.push('…');
    }
    text
}

/// So much of a quoted text is told, in bytes.
const QUOTED_BYTES: usize = 200;

/// A text in quotes, as much of it as tells which one is meant.
pub fn quoted(text: &str) -> String {
    let end = text.floor_char_boundary(QUOTED_BYTES);
    let mark = if end < text.len() { "…" } else { "" };
    format!("\"{}{mark}\"", &text[..end])
}

/// Whether a character shows, and affects neither a terminal nor the order of
/// the letters around it.
pub fn is_printable(char: char) -> bool {
    !char.is_control()
        && !matches!(char,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Whether every letter is printable ASCII, which nearly every text is.
pub fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// `text`, with every invisible character that could affect a terminal or the
/// order of letters written out: escape sequences in a worker's message must
/// not paint the reader's screen.
pub fn visible(text: &str) -> Cow<'_, str> {
    if is_plain(text) || text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ if !is_printable(char) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    Cow::Owned(out)
}

/// A time of this many seconds: `4.2 s`, `42 s`, `1 m 12 s`, `3 h 06 m`,
/// `2 d 03 h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    if seconds < 0.0 {
        return format!("-{}", duration(-seconds));
    }
    // Decides by the rounded value, so that 59.7 s is not shown as `60 s`.
    let tenths = (seconds * 10.0).round();
    if tenths < 100.0 {
        return format!("{:.1} s", tenths / 10.0);
    }
    let whole = seconds.round() as u64;
    let minutes = (seconds / 60.0).round() as u64;
    let hours = (seconds / 3600.0).round() as u64;
    if whole < 60 {
        format!("{whole} s")
    } else if whole < 3600 {
        format!("{} m {:02} s", whole / 60, whole % 60)
    } else if minutes < 48 * 60 {
        format!("{} h {:02} m", minutes / 60, minutes % 60)
    } else {
        format!("{} d {:02} h", hours / 24, hours % 24)
    }
}

/// A count with its thousands separated: `13,020`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 cell`, `3 cells`: a count with its noun, whose plural adds an s.
pub fn counted(value: u64, noun: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn sizes_have_units() {
        use super::read_bytes;
        assert_eq!(read_bytes("10GiB"), Some(10 << 30));
        assert_eq!(read_bytes("1.5 KiB"), Some(1536));
        assert_eq!(read_bytes("7B"), Some(7));
        for wrong in ["", "10", "GiB", "0GiB", "-1GiB", "1e3B", "10 GB", "infB"] {
            assert_eq!(read_bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn bytes_are_in_binary_units() {
        assert_eq!(super::bytes(0), "0 B");
        assert_eq!(super::bytes(10 << 30), "10 GiB");
        assert_eq!(super::bytes(3 << 39), "1.5 TiB");
        assert_eq!(super::bytes((1 << 20) - 1), "1024 KiB");
        assert_eq!(super::bytes(81_559 << 20), "79.65 GiB");
    }

    use super::*;

    #[test]
    fn computed_numbers_are_cut_to_what_tells() {
        assert_eq!(approximate(0.195_220_558_299_705_64), "0.1952");
        assert_eq!(approximate(6.993_759_138_929_079e-7), "6.994e-7");
        assert_eq!(approximate(0.1), "0.1");
        assert_eq!(approximate(0.0), "0");
    }

    #[test]
    fn parameters_read_as_they_are_written() {
        for (value, text) in [
            (json!(0.1), "0.1"),
            (json!(3.2), "3.2"),
            (json!(1e-4), "1e-4"),
            (json!(0.0005), "5e-4"),
            (json!(0.006_125), "0.006125"),
            (json!(0.001), "0.001"),
            (json!(4096), "4096"),
            (json!(1e9), "1e9"),
            (json!(-0.0), "0"),
            (json!("cosine"), "cosine"),
            (json!(true), "true"),
            (json!([0.5, 0.75]), "[0.5,0.75]"),
        ] {
            assert_eq!(parameter(&value), text);
            assert_eq!(bare_parameter(&value), text);
        }
        for text in ["1", "1e-3", "true", "null", "[1]", "\"a\"", " 1", ""] {
            assert_eq!(parameter(&json!(text)), json!(text).to_string());
            assert_eq!(bare_parameter(&json!(text)), text);
        }
    }

    #[test]
    fn durations() {
        for (seconds, text) in [
            (0.0, "0.0 s"),
            (4.21, "4.2 s"),
            (9.96, "10 s"),
            (42.4, "42 s"),
            (59.7, "1 m 00 s"),
            (72.0, "1 m 12 s"),
            (3_599.6, "1 h 00 m"),
            (11_160.0, "3 h 06 m"),
            (183_600.0, "2 d 03 h"),
            (-3.0, "-3.0 s"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn counts_and_decimals() {
        assert_eq!(count(13_020), "13,020");
        assert_eq!(count(999), "999");
        assert_eq!(counted(1, "cell"), "1 cell");
        assert_eq!(counted(1_000_000, "job"), "1,000,000 jobs");
        assert_eq!(decimals(-0.001, 2), "0.00");
        assert_eq!(decimals(-1.006, 2), "-1.01");
        assert_eq!(decimals(1e308, 2), "1.00e308");
        assert_eq!(decimals(-2e15, 0), "-2e15");
        assert_eq!(decimals(999_999_999_999_999.0, 1), "999999999999999.0");
    }

    #[test]
    fn measured_numbers_keep_what_tells() {
        for (value, text) in [
            (8.21, "8.21"),
            (0.05, "0.05"),
            (0.0557, "0.06"),
            (0.0348, "0.0348"),
            (0.0013, "0.0013"),
            (1.3e-6, "1.3e-6"),
            (0.0, "0.00"),
            (-0.0, "0.00"),
            (99.999, "100.00"),
        ] {
            assert_eq!(measured(value, 2), text);
        }
        assert_eq!(told_apart([8.2131, 8.2134]), ["8.2131", "8.2134"]);
        assert_eq!(told_apart([8.2131, 9.0]), ["8.213", "9"]);
        assert_eq!(told_apart([0.1 + 0.2, 0.3]), ["0.3", "0.3"]);
    }

    proptest! {
        #[test]
        fn measured_is_within_a_tenth(value in proptest::num::f64::NORMAL, places in 0..6_usize) {
            let read: f64 = measured(value, places).parse().unwrap();
            prop_assert!((read / value - 1.0).abs() <= 0.5_f64.powi(places.min(3) as i32 + 1).max(0.1));
        }

        #[test]
        fn compact_is_exact(value in proptest::num::f64::NORMAL) {
            let read: f64 = compact(value).parse().unwrap();
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }

        #[test]
        fn any_duration_has_a_text(seconds in proptest::num::f64::ANY) {
            prop_assert!(!duration(seconds).is_empty());
        }
    }
}
