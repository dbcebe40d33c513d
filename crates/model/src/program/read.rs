//! Where the numbers of a program are read, if it does not speak the trainer
//! protocol.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::argv::{Facts, MissingName, fill, names};
use crate::metrics;

/// The longest pattern, in bytes.
const PATTERN_BYTES: usize = 4096;

/// The largest automaton of a pattern, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// Where a program writes its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// In lines of its output that these patterns match.
    Stdout(Vec<Pattern>),
    /// In a JSON object in a file, or in a list of them, one per epoch.
    Json(String),
    /// In a file with one JSON object per line, one per epoch.
    Jsonl(String),
    /// In a CSV file whose first line names the columns; a line per epoch.
    Csv(String),
    /// In TensorBoard's event files, under a directory.
    Tensorboard(String),
}

/// A regular expression whose groups are metrics.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
    /// The metric of each group, if it has a name.
    groups: Vec<Option<String>>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, &self.groups) == (&other.text, &other.groups)
    }
}

impl Eq for Pattern {}

pub(super) const WANTED: &str = "must be one of { stdout = \"PATTERN\" }, { json = \"FILE\" }, \
                      { jsonl = \"FILE\" }, { csv = \"FILE\" }, { tensorboard = \"DIRECTORY\" }";

impl Read {
    /// Reads what stands under `read`; `metric` is the one that must be there.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_value(value: &Value, metric: &str) -> Result<Self, String> {
        let entries = value.as_object().filter(|entries| entries.len() == 1);
        let (kind, value) = entries.and_then(|it| it.iter().next()).ok_or(WANTED)?;
        let path = || {
            let path = value.as_str().filter(|path| !path.trim().is_empty());
            let path = path.ok_or_else(|| format!("`{kind}` must be a path, in quotes"))?;
            let words = [path.to_owned()];
            let unknown = names(&words).find(|name| !super::GIVEN.contains(name));
            match unknown {
                None => Ok(path.to_owned()),
                Some(name) => Err(format!(
                    "`{{{name}}}` is not known there; a path may name {{out}}, {{seed}}, {{job}}"
                )),
            }
        };
        match kind.as_str() {
            "stdout" => patterns(value, metric).map(Self::Stdout),
            "json" => path().map(Self::Json),
            "jsonl" => path().map(Self::Jsonl),
            "csv" => path().map(Self::Csv),
            "tensorboard" => path().map(Self::Tensorboard),
            _ => Err(WANTED.to_owned()),
        }
    }

    /// The file or the directory in which it is, as the sweep names it.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Stdout(_) => None,
            Self::Json(path) | Self::Jsonl(path) | Self::Csv(path) | Self::Tensorboard(path) => {
                Some(path)
            }
        }
    }

    /// The same with the names in its path replaced by what they stand for.
    ///
    /// # Errors
    ///
    /// A name that stands for nothing.
    pub fn filled(&self, facts: &Facts) -> Result<Self, MissingName> {
        Ok(match self {
            Self::Stdout(patterns) => Self::Stdout(patterns.clone()),
            Self::Json(path) => Self::Json(fill(path, facts)?),
            Self::Jsonl(path) => Self::Jsonl(fill(path, facts)?),
            Self::Csv(path) => Self::Csv(fill(path, facts)?),
            Self::Tensorboard(path) => Self::Tensorboard(fill(path, facts)?),
        })
    }
}

fn patterns(value: &Value, metric: &str) -> Result<Vec<Pattern>, String> {
    let items = match value {
        Value::Array(items) if !items.is_empty() => &items[..],
        value => std::slice::from_ref(value),
    };
    let patterns = items.iter().map(|item| {
        let text = item.as_str();
        Pattern::parse(
            text.ok_or("`stdout` must be a pattern, or a list of some")?,
            metric,
        )
    });
    let patterns = patterns.collect::<Result<Vec<_>, String>>()?;
    let known: BTreeSet<&str> = patterns.iter().flat_map(Pattern::metrics).collect();
    if known.contains(metric) {
        return Ok(patterns);
    }
    Err(format!(
        "no group of `stdout` is called `{metric}`, the metric; name it like \
         (?<{metric}>\\S+)"
    ))
}

impl Pattern {
    /// Reads a pattern. The only group of one without names is `metric`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str, metric: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES {
            return Err(format!("a pattern has at most {PATTERN_BYTES} bytes"));
        }
        let (plain, names) = unnamed(text)?;
        let regex = regex::RegexBuilder::new(&plain)
            .size_limit(PATTERN_SIZE)
            .build()
            .map_err(|error| format!("the pattern `{text}`: {error}"))?;
        let mut groups: Vec<Option<String>> = vec![None; regex.captures_len()];
        for (place, name) in names {
            if let Some(group) = groups.get_mut(place) {
                *group = Some(name);
            }
        }
        if groups.len() == 2 {
            groups[1].get_or_insert_with(|| metric.to_owned());
        }
        Ok(Self {
            text: text.to_owned(),
            regex,
            groups,
        })
    }

    /// The metrics that it reads, `epoch` among them where it has one.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flatten().map(String::as_str)
    }

    /// The texts that it finds in a line, with their names. A match of nothing, which
    /// is everywhere, finds nothing.
    pub fn find<'a>(&'a self, line: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.regex.captures_iter(line);
        let all = all.filter(|found| found.get(0).is_some_and(|it| !it.is_empty()));
        all.flat_map(|found| {
            let named = self.groups.iter().enumerate();
            named.filter_map(move |(place, name)| {
                Some((name.as_deref()?, found.get(place)?.as_str()))
            })
        })
    }
}

/// The pattern with plain groups in place of named ones, and the number and name
/// of each of these: a metric may have a name that no group may have.
fn unnamed(text: &str) -> Result<(String, Vec<(usize, String)>), String> {
    let (mut plain, mut names) = (String::new(), Vec::new());
    let (mut group, mut in_class) = (0, false);
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let mut taken = char.len_utf8();
        match char {
            '\\' => taken += rest[1..].chars().next().map_or(0, char::len_utf8),
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => {
                let named = ["(?<", "(?P<"]
                    .iter()
                    .find_map(|mark| rest.strip_prefix(*mark));
                if let Some(after) = named.filter(|after| !after.starts_with(['=', '!'])) {
                    group += 1;
                    let (name, after) = after.split_once('>').ok_or_else(|| {
                        format!("the pattern `{text}`: a group's name has no end")
                    })?;
                    if !metrics::is_name(name) {
                        return Err(format!("`{name}` cannot be the name of a metric"));
                    }
                    names.push((group, name.to_owned()));
                    plain.push('(');
                    rest = after;
                    continue;
                }
                group += usize::from(!rest.starts_with("(?"));
            }
            _ => {}
        }
        plain.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    Ok((plain, names))
}
