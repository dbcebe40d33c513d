//! The command line of a program: its words with the parameters of a job in
//! them.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

use super::{Arguments, Command, Launch};
use crate::spec::{canonical, lookup, number_text};

/// What Swath gives a program of its own, by the name in a command. A parameter
/// of the same name goes before it.
pub const GIVEN: [&str; 7] = [
    "seed",
    "out",
    "job",
    "attempt",
    "sweep",
    "replicate",
    "device",
];

/// What is known of an attempt besides the parameters of its job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The seed of the job.
    pub seed: u64,
    /// The directory of the attempt.
    pub out: String,
    /// The digest of the job.
    pub job: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// The name of a sweep that wants the job.
    pub sweep: String,
    /// Which replicate of its cell the job is.
    pub replicate: u32,
    /// The device, as the program sees it.
    pub device: String,
}

impl Facts {
    fn get(&self, name: &str) -> Option<String> {
        Some(match name {
            "seed" => self.seed.to_string(),
            "out" => self.out.clone(),
            "job" => self.job.clone(),
            "attempt" => self.attempt.to_string(),
            "sweep" => self.sweep.clone(),
            "replicate" => self.replicate.to_string(),
            "device" => self.device.clone(),
            _ => return None,
        })
    }
}

/// A name in a command for which there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{{{name}}}` in the command names no parameter")]
pub struct MissingName {
    /// The name, without braces.
    pub name: String,
}

/// The command line of an attempt of a job with this spec.
///
/// `{name}` in a word is the parameter's value, `{{` and `}}` are braces. A word
/// that is nothing but the name of a list becomes a word per item. Then come
/// all parameters, as [`Arguments`] says. A boolean is a flag when it is true,
/// and absent when it is false; what is null is absent.
///
/// # Errors
///
/// A name in the command for which there is no value.
pub fn argv(
    command: &Command,
    spec: &Value,
    launch: &Launch,
    facts: &Facts,
) -> Result<Vec<String>, MissingName> {
    let Some(arguments) = command.arguments else {
        return Ok(command.argv.clone());
    };
    let value = |name: &str| {
        let own = name.strip_prefix("params.").unwrap_or(name);
        let params = spec.get("params");
        let param = params.and_then(|params| lookup(params, own)).cloned();
        param.or_else(|| launch.local(own))
    };
    let text = |name: &str| {
        let missing = || MissingName {
            name: name.to_owned(),
        };
        let given = || facts.get(name);
        value(name)
            .map(|value| text_of(&value))
            .or_else(given)
            .ok_or_else(missing)
    };
    let mut words = Vec::with_capacity(command.argv.len());
    for word in &command.argv {
        let pieces = pieces(word);
        match &pieces[..] {
            [Piece::Name(name)] => match value(name) {
                Some(Value::Array(items)) => words.extend(items.iter().map(text_of)),
                _ => words.push(text(name)?),
            },
            _ => words.push(filled(&pieces, &text)?),
        }
    }
    let params = spec.get("params").and_then(Value::as_object);
    for (path, value) in leaves(params).into_iter().chain(locals(launch)) {
        match arguments {
            Arguments::Template | Arguments::None => {}
            Arguments::Flags => flag(&path.replace('_', "-"), &value, &mut words),
            Arguments::UnderscoreFlags => flag(&path, &value, &mut words),
            Arguments::Overrides => words.push(format!("{path}={}", override_of(&value))),
        }
    }
    Ok(words)
}

/// A text with what its names in braces stand for.
///
/// # Errors
///
/// The name of something that is only known of a program's attempt.
pub(super) fn fill(text: &str, facts: &Facts) -> Result<String, MissingName> {
    filled(&pieces(text), &|name| {
        facts.get(name).ok_or_else(|| MissingName {
            name: name.to_owned(),
        })
    })
}

/// The names in the words of a command.
pub fn names(words: &[String]) -> impl Iterator<Item = &str> {
    let pieces = words.iter().flat_map(|word| pieces(word));
    pieces.filter_map(|piece| match piece {
        Piece::Name(name) => Some(name),
        Piece::Text(_) => None,
    })
}

/// A part of a word.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

/// The parts of a word. What stands between braces is a name only if it looks
/// like one: words of JSON and of shells have braces too.
fn pieces(word: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(next) = word[at..].find(['{', '}']).map(|next| at + next) {
        let rest = &word[next..];
        if rest.starts_with("{{") || rest.starts_with("}}") {
            pieces.push(Piece::Text(&word[from..=next]));
            (from, at) = (next + 2, next + 2);
            continue;
        }
        at = next + 1;
        let name = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((name, _)) = name.filter(|(name, _)| is_name(name)) else {
            continue;
        };
        pieces.push(Piece::Text(&word[from..next]));
        pieces.push(Piece::Name(name));
        at += name.len() + 1;
        from = at;
    }
    pieces.push(Piece::Text(&word[from..]));
    pieces.retain(|piece| *piece != Piece::Text(""));
    pieces
}

fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next();
    first.is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | '/'))
}

fn filled(
    pieces: &[Piece<'_>],
    text: &dyn Fn(&str) -> Result<String, MissingName>,
) -> Result<String, MissingName> {
    let mut word = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => word.push_str(text),
            Piece::Name(name) => word.push_str(&text(name)?),
        }
    }
    Ok(word)
}

/// A value as a word. Numbers keep their kind: `1.0` is not `1`.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        Value::Number(number) => digits(number),
        Value::Bool(_) | Value::Object(_) => canonical(value),
    }
}

/// A number in digits. `1e22` keeps its kind too, but not its exponent: argparse takes `-1e22` for a flag.
fn digits(number: &Number) -> String {
    let mut text = number_text(number);
    if number.is_f64() && !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// All parameters that are no tables, each by its dotted path, sorted.
fn leaves(params: Option<&Map<String, Value>>) -> Vec<(String, Value)> {
    fn descend(table: &Map<String, Value>, prefix: &str, found: &mut Vec<(String, Value)>) {
        for (name, value) in table {
            let path = format!("{prefix}{name}");
            match value {
                Value::Object(inner) if !inner.is_empty() => {
                    descend(inner, &format!("{path}."), found);
                }
                value => found.push((path, value.clone())),
            }
        }
    }
    let mut found = Vec::new();
    descend(params.unwrap_or(&Map::new()), "", &mut found);
    found.sort_by(|(left, _), (right, _)| left.cmp(right));
    found
}

fn locals(launch: &Launch) -> impl Iterator<Item = (String, Value)> {
    let names = launch.local.keys();
    names.filter_map(|name| Some((name.clone(), launch.local(name)?)))
}

fn flag(name: &str, value: &Value, words: &mut Vec<String>) {
    let flag = format!("--{name}");
    match value {
        Value::Null | Value::Bool(false) => {}
        Value::Bool(true) => words.push(flag),
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            words.push(flag);
            words.extend(items.iter().map(text_of));
        }
        other => {
            let text = text_of(other);
            // A parser would take it for another flag.
            if other.is_string() && text.starts_with('-') {
                words.push(format!("{flag}={text}"));
            } else {
                words.extend([flag, text]);
            }
        }
    }
}

/// A value in the grammar of overrides. Source: Hydra 1.3, "Override grammar".
fn override_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(override_of).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries = entries.map(|(name, value)| format!("{name}:{}", override_of(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Number(number) => digits(number),
        Value::Bool(_) => canonical(value),
    }
}

/// A text as it is, where it cannot be taken for anything else; otherwise in
/// quotes.
fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | '/' | ':');
    let starts = |first: char| first.is_alphabetic() || matches!(first, '_' | '/');
    let words = ["true", "false", "null", "nan", "inf"];
    let is_word = words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if text.chars().next().is_some_and(starts) && text.chars().all(plain) && !is_word {
        return text.to_owned();
    }
    let mut out = String::from("'");
    for char in text.chars() {
        let escape = if matches!(char, '\'' | '\\') {
            "\\"
        } else {
            ""
        };
        let _ = write!(out, "{escape}{char}");
    }
    out.push('\'');
    out
}
