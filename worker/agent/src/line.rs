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
    // Python writes NaN and Infinity, which are not JSON; they count as no
    // number.
    let value = serde_json::from_str::<Value>(trimmed)
        .or_else(|error| serde_json::from_str(&without_nan(trimmed)).map_err(|_| error));
    let value = match value {
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

/// The text with `NaN`, `Infinity` and `-Infinity` outside of strings replaced
/// by `null`.
fn without_nan(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if next == '"' {
            let end = string_end(rest);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let token = ["-Infinity", "Infinity", "NaN"]
            .into_iter()
            .find(|token| rest.starts_with(token));
        if let Some(token) = token {
            out.push_str("null");
            rest = &rest[token.len()..];
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    out
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
        let line = r#"{"event": "failed", "fault": "crashed", "message": "a \"NaN\" x", "n": NaN}"#;
        assert!(matches!(
            parse(line),
            Parsed::Event(TrainerEvent::Failed { message, .. }, _) if message == "a \"NaN\" x"
        ));
    }
}
