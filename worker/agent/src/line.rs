//! Reads one line of a trainer, or of a program.

use std::ops::Range;

use serde::Deserialize;
use serde_json::Value;
use swath_model::outcome::Provenance;
use swath_model::protocol::TrainerEvent;

use crate::epochs::of_json;

/// Every event of the protocol.
const EVENTS: [&str; 6] = [
    "ready",
    "started",
    "epoch",
    "checkpoint",
    "finished",
    "failed",
];

/// How many places of a program's line may be tried as the beginning of an
/// event.
const TRIES_MAX: usize = 64;

/// What a line of the built-in trainer is.
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

/// What a line of a program holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Its events, in their order.
    pub(crate) events: Vec<FoundEvent>,
    /// Why something that looks like an event is none.
    pub(crate) doubt: Option<String>,
}

/// An event in a line of a program.
#[derive(Debug)]
pub(crate) struct FoundEvent {
    /// The event.
    pub(crate) event: TrainerEvent,
    /// Its name.
    pub(crate) name: String,
    /// All its fields.
    pub(crate) fields: Value,
    /// What the program calls the epoch of a line `epoch`, if it says so.
    pub(crate) epoch: Option<f64>,
    /// Fields of the protocol that were left out because they could not be
    /// read.
    pub(crate) left_out: Vec<&'static str>,
    /// Where it is in the line.
    pub(crate) at: Range<usize>,
}

/// Reads a line of the built-in trainer, which writes nothing else to its
/// stdout.
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
    match TrainerEvent::deserialize(&value) {
        Ok(event) => Parsed::Event(event, value),
        Err(error) => Parsed::Broken(format!("its `{event}` line cannot be read: {error}")),
    }
}

/// Finds the events in a line of a program, wherever in the line they are: a
/// logger puts its time before them, a progress bar does not end its line.
pub(crate) fn find(line: &str) -> Found {
    let mut found = Found::default();
    if !line.contains("\"event\"") {
        if line.contains("{'event'") {
            let how = "a line with an event is a Python dict, not JSON: print its json.dumps";
            found.doubt = Some(how.to_owned());
        }
        return found;
    }
    let mut at = 0;
    for _ in 0..TRIES_MAX {
        let Some(start) = line[at..].find('{').map(|next| at + next) else {
            break;
        };
        let end = start + object_end(&line[start..]);
        match read(&line[start..end]) {
            Ok(value) => {
                at = end;
                match understood(value, start..end) {
                    Ok(event) => found.events.extend(event),
                    Err(how) => found.doubt = Some(how),
                }
            }
            Err(error) => {
                at = start + 1;
                let how = || format!("a line with an event is not JSON: {error}");
                found.doubt.get_or_insert_with(how);
            }
        }
    }
    if !found.events.is_empty() {
        found.doubt = None;
    }
    found
}

/// The event that an object is, if it is one of the protocol. Fields that cannot
/// be read are left out, as long as something of the event remains.
fn understood(mut fields: Value, at: Range<usize>) -> Result<Option<FoundEvent>, String> {
    let name = fields.get("event").and_then(Value::as_str);
    let Some(name) = name.filter(|name| EVENTS.contains(name)) else {
        return Ok(None);
    };
    let name = name.to_owned();
    let epoch = if name == "epoch" {
        let said = fields.get("epoch").and_then(of_json);
        // Which number it has, its attempt knows.
        fields["epoch"] = 0.into();
        said
    } else {
        None
    };
    let mut left_out = Vec::new();
    let event = TrainerEvent::deserialize(&fields).or_else(|_| {
        left_out = repair(&mut fields);
        TrainerEvent::deserialize(&fields)
    });
    let event = event.map_err(|error| format!("its `{name}` line cannot be read: {error}"))?;
    Ok(Some(FoundEvent {
        event,
        name,
        fields,
        epoch,
        left_out,
        at,
    }))
}

/// Makes whole numbers of those that are whole, and removes fields of the
/// protocol that are of another type; returns their names.
fn repair(fields: &mut Value) -> Vec<&'static str> {
    let most = u64::from(u32::MAX);
    let counts = [
        ("epoch", most),
        ("total_epochs", most),
        ("step", u64::MAX),
        ("total_steps", u64::MAX),
    ];
    let mut left_out = Vec::new();
    let Some(fields) = fields.as_object_mut() else {
        return left_out;
    };
    for (name, most) in counts {
        let Some(found) = fields.get_mut(name) else {
            continue;
        };
        match whole(found).filter(|count| *count <= most) {
            Some(count) => *found = count.into(),
            None => left_out.push(name),
        }
    }
    let misfits = |name, fits: fn(&Value) -> bool| fields.get(name).is_some_and(|it| !fits(it));
    if misfits("message", Value::is_string) {
        left_out.push("message");
    }
    if misfits("provenance", |it| Provenance::deserialize(it).is_ok()) {
        left_out.push("provenance");
    }
    for name in &left_out {
        fields.remove(*name);
    }
    left_out
}

/// A count, also one that was written as `3.0`.
fn whole(value: &Value) -> Option<u64> {
    // Every whole number up to this one is a double.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let fits = |value: &f64| value.fract() == 0.0 && (0.0..=MOST).contains(value);
    let float = || value.as_f64().filter(fits).map(|value| value as u64);
    value.as_u64().or_else(float)
}

/// Where the object at the beginning of `text` ends, or the text if it does not.
fn object_end(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += string_end(&text[at..]) - 1,
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    text.len()
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
pub(crate) fn read(text: &str) -> serde_json::Result<Value> {
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
    use proptest::prelude::*;

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

    /// The names of the events in a line, with their places.
    fn events(line: &str) -> Vec<(String, &str)> {
        let found = find(line).events.into_iter();
        found.map(|it| (it.name, &line[it.at])).collect()
    }

    #[test]
    fn events_are_found_wherever_in_a_line_they_are() {
        let json = r#"{"event": "finished", "loss": 5.0, "note": "} {\"event\""}"#;
        let one = vec![("finished".to_owned(), json)];
        let lines = [
            json.to_owned(),
            format!("epoch 1 loss=0.3 {json}"),
            format!("\u{feff}{json}"),
            format!("\u{1b}[32m{json}\u{1b}[0m"),
            format!("\r  3%|# \r100%|{{}}###{json} Bye!"),
            format!("{{lr}} {json}"),
            format!("\"{{ {json}"),
        ];
        for line in &lines {
            assert_eq!(events(line), one, "{line}");
        }
        let two = format!(r#"{{"event": "epoch", "epoch": 1}}{json}"#);
        assert_eq!(events(&two).len(), 2);
        for none in [
            "",
            "loss: 3",
            r#"{"loss": 1}"#,
            r#"{"log": {"event": "finished", "loss": 1}}"#,
            r#"{"event": "epoch finished", "epoch": "3/10"}"#,
        ] {
            let found = find(none);
            assert!(found.events.is_empty() && found.doubt.is_none(), "{none}");
        }
    }

    #[test]
    fn what_only_looks_like_an_event_is_in_doubt() {
        let deep = format!(
            r#"{{"event": "epoch", "x": {}{}}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        );
        for line in [
            deep.as_str(),
            r#"{"event": "finished", "loss": 5"#,
            r#"{"event": "failed", "what": "to download, retrying"}"#,
            "{'event': 'finished', 'loss': 5.0}",
        ] {
            let found = find(line);
            let none = found.events.is_empty();
            assert!(none && found.doubt.is_some(), "{}", &line[..20]);
        }
    }

    #[test]
    fn fields_that_cannot_be_read_are_left_out() {
        let one = |line| find(line).events.remove(0);
        let epoch = one(r#"{"event":"epoch","epoch":2.0,"step":-1,"loss":4,"lr":[0.1]}"#);
        assert_eq!((epoch.left_out, epoch.epoch), (vec!["step"], Some(2.0)));
        assert!(matches!(
            epoch.event,
            TrainerEvent::Epoch(seen) if seen.values.get("loss") == Some(4.0)
        ));
        let started = one(
            r#"{"event":"started","total_epochs":"ten","step":3.0,"provenance":{"threads":"x"}}"#,
        );
        assert_eq!(started.left_out, ["total_epochs", "provenance"]);
        assert!(matches!(
            started.event,
            TrainerEvent::Started { step: 3, .. }
        ));
    }

    proptest! {
        #[test]
        fn text_around_an_event_does_not_hide_it(
            before in "[^{\\r\\n]{0,40}",
            after in "[^\\r\\n]{0,40}",
            epoch in any::<u32>(),
        ) {
            let json = format!(r#"{{"event":"epoch","epoch":{epoch},"loss":NaN}}"#);
            let line = format!("{before}{json}{after}");
            let found = events(&line);
            prop_assert_eq!(&found[0], &("epoch".to_owned(), json.as_str()));
        }

        #[test]
        fn no_line_is_too_odd_to_be_read(line in "([{}\\[\"\\\\]|\"event\"|:|NaN|-|1e999|\\PC){0,60}") {
            let found = find(&line);
            prop_assert!(found.events.len() <= TRIES_MAX);
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
