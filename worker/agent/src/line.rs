//! Reads one line of a trainer.

use serde_json::Value;
use swath_model::protocol::TrainerEvent;

/// Every event of the protocol.
const EVENTS: [&str; 6] = [
    "ready",
    "started",
    "epoch",
    "checkpoint",
    "finished",
    "failed",
];

/// What a line is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parsed {
    /// An event, with all its fields.
    Event(TrainerEvent, Value),
    /// An event that this version does not know; to be ignored.
    Unknown,
    /// Not a line of the protocol.
    Text,
    /// An event whose required fields are missing or wrong.
    Broken(String),
}

/// Reads a line.
pub(crate) fn parse(line: &str) -> Parsed {
    let trimmed = line.trim();
    if !trimmed.starts_with('{') {
        return Parsed::Text;
    }
    let value = match read(trimmed) {
        Ok(value) => value,
        Err(error) if trimmed.contains("\"event\"") => {
            return Parsed::Broken(format!("a line is not JSON: {error}"));
        }
        Err(_) => return Parsed::Text,
    };
    let Some(event) = value.get("event").and_then(Value::as_str) else {
        return Parsed::Text;
    };
    if !EVENTS.contains(&event) {
        return Parsed::Unknown;
    }
    match TrainerEvent::deserialize_from(&value) {
        Ok(event) => Parsed::Event(event, value),
        Err(error) => Parsed::Broken(format!("its `{event}` line cannot be read: {error}")),
    }
}

trait DeserializeFrom: Sized {
    fn deserialize_from(value: &Value) -> serde_json::Result<Self>;
}

impl DeserializeFrom for TrainerEvent {
    fn deserialize_from(value: &Value) -> serde_json::Result<Self> {
        use serde::Deserialize;
        Self::deserialize(value)
    }
}

/// The only field of the object that stands for a number that is not finite.
const NOT_FINITE: &str = "swath.not_finite";

/// The number that a field holds, if it is one that is not finite: `NaN`,
/// `Infinity` or `-Infinity`. JSON has no such numbers, but Python writes them.
/// To whatever else reads the field it is no number.
pub(crate) fn not_finite(value: &Value) -> Option<&str> {
    value.get(NOT_FINITE)?.as_str()
}

/// Reads JSON as Python writes it.
fn read(text: &str) -> serde_json::Result<Value> {
    serde_json::from_str(text)
        .or_else(|error| serde_json::from_str(&marked(text)).map_err(|_| error))
}

/// The text with every number that is not finite replaced by what
/// [`not_finite`] looks for.
fn marked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let (length, found) = match next {
            '"' => (string_end(rest), None),
            'N' | 'I' | '-' | '0'..='9' => number(rest).unwrap_or((1, None)),
            other => (other.len_utf8(), None),
        };
        match found {
            Some(found) => out.extend([r#"{""#, NOT_FINITE, r#"":""#, found, r#""}"#]),
            None => out.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    out
}

/// The length of the number at the beginning of `text`, and its name if it is
/// not finite. One that is too large for a double is infinite.
fn number(text: &str) -> Option<(usize, Option<&'static str>)> {
    let mut named = ["-Infinity", "Infinity", "NaN"].into_iter();
    if let Some(name) = named.find(|name| text.starts_with(name)) {
        return Some((name.len(), Some(name)));
    }
    let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
    let length = text.bytes().take_while(|byte| is_part(byte)).count();
    let value: f64 = text[..length].parse().ok()?;
    let name = match value {
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    };
    Some((length, name))
}

/// Where the string at the beginning of `text` ends.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_text_and_breakage_are_told_apart() {
        assert!(matches!(
            parse(r#"{"event":"epoch","epoch":3,"test_error":8.5,"extra":1}"#),
            Parsed::Event(TrainerEvent::Epoch(seen), _) if seen.epoch == 3
        ));
        assert_eq!(parse(r#"{"event":"image","data":"…"}"#), Parsed::Unknown);
        for text in ["", "loss: 3", "{'a': 1}", r#"{"a": 1}"#, "[1]"] {
            assert_eq!(parse(text), Parsed::Text, "{text}");
        }
        for broken in [
            r#"{"event":"epoch"}"#,
            r#"{"event":"fini"#,
            r#"{"event":"epoch","epoch":-1}"#,
        ] {
            assert!(matches!(parse(broken), Parsed::Broken(_)), "{broken}");
        }
    }

    #[test]
    fn pythons_nan_is_no_number() {
        let line = r#"{"event": "epoch", "epoch": 1, "train_loss": NaN, "lr": -Infinity}"#;
        let Parsed::Event(TrainerEvent::Epoch(seen), _) = parse(line) else {
            panic!("not read");
        };
        assert_eq!((seen.epoch, seen.values.len()), (1, 0));
        let line = r#"{"event": "finished", "a": NaN, "b": -Infinity, "c": 1e999, "d": -1e999, "e": null, "f": "NaN", "g": 1}"#;
        let Parsed::Event(_, fields) = parse(line) else {
            panic!("not read");
        };
        let found = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| not_finite(&fields[name]));
        let (nan, more, less) = (Some("NaN"), Some("Infinity"), Some("-Infinity"));
        assert_eq!(found, [nan, less, more, less, None, None, None, None]);
        let line = r#"{"event": "failed", "fault": "crashed", "message": "a \"NaN\" x", "n": NaN}"#;
        assert!(matches!(
            parse(line),
            Parsed::Event(TrainerEvent::Failed { message, .. }, _) if message == "a \"NaN\" x"
        ));
    }
}
