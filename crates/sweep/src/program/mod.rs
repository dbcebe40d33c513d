//! The `[program]` section: a program of the user's, as it is; and `[local]`,
//! its parameters that change nothing of what is computed.

mod check;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use swath_model::id::InputDigest;
use swath_model::keep::Keep;
use swath_model::metrics;
use swath_model::needs::Needs;
use swath_model::program::{Launch, Read, Shipped, is_below};
use swath_model::seed::Seeds;
use swath_model::spec::{canonical, keys};

pub(super) use self::check::{check_handed_over, check_names, check_params, params, unset};
use crate::error::{Errors, FileError, Place};
use crate::grid::Block;
use crate::needs;
use crate::section::Section;
use crate::settings::{Assigned, Setting, Settings};
use crate::source::{Entry, Node, Shape};

const KEYS: [&str; 15] = [
    "command",
    "arguments",
    "metric",
    "goal",
    "unit",
    "read",
    "inputs",
    "ship",
    "environment",
    "directory",
    "needs",
    "timeout",
    "silence",
    "seeds",
    "keep",
];

/// The keys that are those of `trainer` in a spec.
const OF_SPEC: [&str; 5] = ["command", "arguments", "metric", "goal", "environment"];

/// How a program gets its parameters, unless the file says.
const ARGUMENTS: &str = "template";

/// The longest time that a file may name.
const TIME_MAX_MS: f64 = 1e12;

/// What a sweep file says of its program that is no part of a spec.
#[derive(Clone, Debug)]
pub struct Program {
    /// Patterns of the files that it is made of, seen from its directory; none
    /// where the file does not say.
    pub inputs: Option<Vec<Named>>,
    /// The directory in which it is started, seen from the sweep file.
    pub directory: Named,
    /// Where the file says that these files travel with the sweep, if it does.
    pub ship: Option<Named>,
}

impl Program {
    /// How its files travel with the sweep, if they do; these of them may be
    /// executed. Of a directory beside that of the sweep file, only that
    /// directory is in the copy.
    pub(super) fn shipped(
        &self,
        inputs: &BTreeMap<String, InputDigest>,
        executable: &BTreeSet<String>,
    ) -> Option<Shipped> {
        self.ship.as_ref()?;
        let parts = self.directory.path.split('/');
        let parts: Vec<&str> = parts.filter(|part| !["", "."].contains(part)).collect();
        let place = Some(parts.join("/")).filter(|_| is_below(&self.directory.path));
        let all = !inputs.is_empty() && inputs.keys().all(|path| executable.contains(path));
        Some(Shipped {
            directory: place.unwrap_or_default(),
            all_executable: all,
            executable: if all {
                BTreeSet::new()
            } else {
                executable.clone()
            },
        })
    }
}

/// A path or a pattern, and where the sweep file names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The path.
    pub path: String,
    key: &'static str,
    place: Place,
}

impl Named {
    /// What is wrong with it.
    pub fn error(&self, message: impl Into<String>) -> FileError {
        self.place.error(self.key, message)
    }
}

/// The section, read.
pub(super) struct Parsed {
    pub(super) program: Program,
    pub(super) launch: Launch,
    pub(super) needs: Option<Needs>,
    /// Which directories of its attempts are kept.
    pub(super) keep: Keep,
    /// The unit of its metric.
    pub(super) unit: Option<String>,
    /// How many seeds it names.
    pub(super) seeds: Option<u32>,
    /// Whether the program gets only those parameters that its command names.
    pub(super) is_template: bool,
}

/// Reads `[program]`; what belongs into specs goes into `settings`.
pub(super) fn read(
    entry: &Entry,
    layer: usize,
    settings: &mut Settings,
    errors: &mut Errors,
) -> Parsed {
    let section = Section::open("program", &entry.node, &KEYS, errors);
    let mut spec = OfSpec {
        settings,
        layer,
        place: &entry.place,
    };
    spec.put("arguments", ARGUMENTS.into(), None);
    spec.read_command(&section, errors);
    spec.read_metric(&section, errors);
    let seeds = spec.read_seeds(&section, errors);
    Parsed {
        program: Program {
            inputs: inputs(&section, errors),
            directory: directory(&section, &entry.place, errors),
            ship: ship(&section, errors),
        },
        launch: Launch {
            timeout_ms: time(&section, "timeout", errors),
            silence_ms: time(&section, "silence", errors),
            ..Launch::default()
        },
        needs: section
            .get("needs")
            .map(|node| needs::read("program.needs", node, errors)),
        keep: keep(&section, errors),
        unit: unit(&section, errors),
        seeds,
        is_template: (section.get("arguments")).is_none_or(|node| node.text() == Some(ARGUMENTS)),
    }
}

/// What the section says that specs have under `trainer`.
struct OfSpec<'a> {
    settings: &'a mut Settings,
    layer: usize,
    /// Where the section is.
    place: &'a Place,
}

impl OfSpec<'_> {
    fn put(&mut self, name: &str, value: Value, node: Option<&Node>) {
        let place = node.map_or(self.place, |node| &node.place).clone();
        let setting = Setting {
            value: Assigned::Literal(value),
            layer: self.layer,
            place,
        };
        self.settings.insert(format!("trainer.{name}"), setting);
    }

    /// The command, and what has the same name and form here and there.
    fn read_command(&mut self, section: &Section<'_>, errors: &mut Errors) {
        for name in OF_SPEC {
            let Some(node) = section.get(name) else {
                continue;
            };
            let value = node.value();
            let kind = keys::find(&format!("trainer.{name}")).map(|key| key.kind);
            match kind.map_or(Ok(()), |kind| keys::check_value(kind, &value)) {
                Ok(()) => self.put(name, value, Some(node)),
                Err(message) => {
                    let message = match (name, node.text()) {
                        ("command", Some(text)) => as_words(text),
                        _ => message,
                    };
                    errors.push(section.error(name, message));
                }
            }
        }
        match section.get("command") {
            None => {
                let message = "is missing; name the program and its arguments, \
                               like [\"python\", \"train.py\", \"--lr\", \"{lr}\"]";
                errors.push(section.error("command", message));
            }
            Some(node) => check_words(node, errors),
        }
    }

    /// Where the numbers are, which must have the metric.
    fn read_metric(&mut self, section: &Section<'_>, errors: &mut Errors) {
        let metric = section.get("metric").and_then(Node::text);
        if metric.is_none() && section.get("metric").is_none() && section.get("read").is_some() {
            let message = "is missing; name the metric that `read` finds";
            errors.push(section.error("metric", message));
        }
        let Some(node) = section.get("read") else {
            return;
        };
        let value = node.value();
        match Read::from_value(&value, metric.unwrap_or_default()) {
            Ok(_) => self.put("read", value, Some(node)),
            Err(_) if metric.is_none() => {}
            Err(message) => errors.push(section.error("read", message)),
        }
    }

    /// How seeds are made; returns how many are named.
    fn read_seeds(&mut self, section: &Section<'_>, errors: &mut Errors) -> Option<u32> {
        let node = section.get("seeds")?;
        let value = node.value();
        match Seeds::from_value(&value) {
            Ok(seeds) => self.put("seeds", seeds.to_value()?, Some(node)),
            Err(message) => errors.push(section.error("seeds", message)),
        }
        value.as_array().map(|listed| listed.len() as u32)
    }
}

/// What to write in place of a command line in one text.
fn as_words(text: &str) -> String {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|it| format!("\"{it}\""))
        .collect();
    format!(
        "must be a list of words, like [{}]; no shell takes it apart",
        words.join(", ")
    )
}

/// Finds words that only a shell would understand.
fn check_words(node: &Node, errors: &mut Errors) {
    for item in node.items() {
        let Some(text) = item.text() else { continue };
        let message = if text.starts_with("~/") {
            "`~` is for shells; write the whole path"
        } else if text.starts_with("$HOME") || text.starts_with("${HOME}") {
            "variables are for shells; write the whole path, or run [\"sh\", \"-c\", \"…\"]"
        } else {
            continue;
        };
        errors.push(item.place.error("program.command", message));
    }
}

fn inputs(section: &Section<'_>, errors: &mut Errors) -> Option<Vec<Named>> {
    let node = section.get("inputs")?;
    let before = errors.len();
    let patterns = node.items().iter().filter_map(|item| {
        let text = item.text().filter(|text| !text.trim().is_empty());
        let leaves = |text: &str| text.starts_with('/') || text.split('/').any(|part| part == "..");
        if text.is_none_or(leaves) {
            let message = "must be a list of files and patterns under the program's directory, \
                           like [\"train.py\", \"model/**/*.py\"]";
            errors.push(item.place.error("program.inputs", message));
        }
        Some(Named {
            path: text?.to_owned(),
            key: "program.inputs",
            place: item.place.clone(),
        })
    });
    let patterns: Vec<Named> = patterns.collect();
    (errors.len() == before).then_some(patterns)
}

fn ship(section: &Section<'_>, errors: &mut Errors) -> Option<Named> {
    let node = section.get("ship")?;
    match node.value() {
        Value::Bool(true) => Some(Named {
            path: String::new(),
            key: "program.ship",
            place: node.place.clone(),
        }),
        Value::Bool(false) => None,
        _ => {
            errors.push(section.error("ship", "must be true or false"));
            None
        }
    }
}

fn directory(section: &Section<'_>, place: &Place, errors: &mut Errors) -> Named {
    let node = section.get("directory");
    let text = node
        .map_or(Some("."), Node::text)
        .filter(|text| !text.trim().is_empty());
    if text.is_none() {
        let message = "must be a directory, in quotes, seen from the sweep file";
        errors.push(section.error("directory", message));
    }
    Named {
        path: text.unwrap_or_default().to_owned(),
        key: "program.directory",
        place: node.map_or(place, |node| &node.place).clone(),
    }
}

fn keep(section: &Section<'_>, errors: &mut Errors) -> Keep {
    let Some(node) = section.get("keep") else {
        return Keep::default();
    };
    node.text().and_then(Keep::from_name).unwrap_or_else(|| {
        let message = "must be \"all\", \"last\", \"best\" or \"none\"";
        errors.push(section.error("keep", message));
        Keep::default()
    })
}

fn unit(section: &Section<'_>, errors: &mut Errors) -> Option<String> {
    let node = section.get("unit")?;
    let unit = node.text().filter(|text| metrics::is_unit(text));
    if unit.is_none() {
        let most = metrics::UNIT_CHARS;
        let message =
            format!("must be a text of 1 to {most} printable characters, like \"ms\" or \"%\"");
        errors.push(section.error("unit", message));
    }
    unit.map(str::to_owned)
}

fn time(section: &Section<'_>, key: &'static str, errors: &mut Errors) -> Option<u64> {
    let node = section.get(key)?;
    let time = node.text().and_then(milliseconds);
    if time.is_none() {
        let message = "must be a time, like \"90s\", \"30m\", \"6h\" or \"1h30m\"";
        errors.push(section.error(key, message));
    }
    time
}

/// A time in milliseconds: numbers with units.
fn milliseconds(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 5] = [
        ("ms", 1.0),
        ("s", 1e3),
        ("m", 6e4),
        ("h", 36e5),
        ("d", 864e5),
    ];
    let (mut sum, mut rest) = (0.0, text.trim());
    while !rest.is_empty() {
        let digits = rest.find(|char: char| !char.is_ascii_digit() && char != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let end = unit
            .find(|char: char| !char.is_ascii_alphabetic())
            .unwrap_or(unit.len());
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == &unit[..end])?;
        sum += number * factor;
        rest = unit[end..].trim_start();
    }
    (1.0..=TIME_MAX_MS).contains(&sum).then_some(sum as u64)
}

/// Reads `[local]` into `launch`.
pub(super) fn read_local(entry: &Entry, launch: &mut Launch, errors: &mut Errors) {
    let Shape::Table(entries) = &entry.node.shape else {
        errors.push(entry.place.error("local", "must be a table, [local]"));
        return;
    };
    for entry in entries {
        if let Some(message) = reserved(&entry.name) {
            errors.push(entry.place.error(format!("local.{}", entry.name), message));
            continue;
        }
        let text = canonical(&entry.node.value());
        launch.local.insert(entry.name.clone(), text);
    }
}

/// The same entries with bare keys as parameters of the program: `lr` is
/// `params.lr`. Keys that `but` names stay.
pub(super) fn as_params(entries: &[Entry], but: &[&str], errors: &mut Errors) -> Vec<Entry> {
    let bare =
        |name: &str| name != "params" && !name.starts_with("params.") && !but.contains(&name);
    let mut found = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut entry = entry.clone();
        let name = entry.name.strip_prefix("params.").unwrap_or(&entry.name);
        if let Some(message) = reserved(name) {
            errors.push(entry.place.error(entry.name.clone(), message));
            continue;
        }
        if entry.name == "trainer" || entry.name.starts_with("trainer.") {
            let message = "the program is named by [program] already; remove one of the two";
            errors.push(entry.place.error(entry.name.clone(), message));
            continue;
        }
        if bare(&entry.name) {
            entry.name.insert_str(0, "params.");
        }
        found.push(entry);
    }
    found
}

/// The command lines that the settings and the axes name.
pub(super) fn commands(settings: &Settings, blocks: &[Block]) -> Vec<Vec<String>> {
    let set = settings.get(COMMAND).map(|setting| &setting.value);
    let values = set.into_iter().chain(axis_values(blocks, COMMAND));
    let words = values.filter_map(|value| match value {
        Assigned::Literal(Value::Array(items)) => {
            let words = items.iter().filter_map(Value::as_str);
            Some(words.map(str::to_owned).collect())
        }
        Assigned::Literal(_) | Assigned::Formula(_) => None,
    });
    words.collect()
}

const COMMAND: &str = "trainer.command";

fn axis_values<'a>(blocks: &'a [Block], path: &'a str) -> impl Iterator<Item = &'a Assigned> {
    let axes = blocks.iter().flat_map(|block| &block.axes);
    axes.flat_map(move |axis| {
        let column = axis.paths.iter().position(|own| own == path);
        let rows = axis.rows.iter();
        rows.filter_map(move |row| Some(&row.get(column?)?.value))
    })
}

/// Cells of programs say how their replicates get their seeds. Those that do not
/// are from before seeds had to be small.
pub(super) fn name_seeds(settings: &mut Settings, blocks: &[Block], place: &Place, layer: usize) {
    let is_program =
        settings.contains_key(COMMAND) || axis_values(blocks, COMMAND).next().is_some();
    let seeds = Seeds::Distinct.to_value().filter(|_| is_program);
    if let Some(seeds) = seeds {
        let setting = Setting {
            value: Assigned::Literal(seeds),
            layer,
            place: place.clone(),
        };
        settings
            .entry("trainer.seeds".to_owned())
            .or_insert(setting);
    }
}

/// Sets the files that a program is made of.
pub(super) fn set_inputs(
    settings: &mut Settings,
    inputs: &BTreeMap<String, InputDigest>,
    place: &Place,
    layer: usize,
) {
    let inputs = inputs.iter();
    let inputs = inputs.map(|(path, digest)| (path.clone(), digest.to_string().into()));
    let setting = Setting {
        value: Assigned::Literal(Value::Object(inputs.collect())),
        layer,
        place: place.clone(),
    };
    settings.insert("trainer.inputs".to_owned(), setting);
}

/// Why a parameter must not have this name, if so.
fn reserved(name: &str) -> Option<String> {
    match name {
        "seed" => Some(
            "Swath gives each replicate its own: write `{seed}` in the command, and \
             `seeds = [0, 1, 2]` or `seeds = \"common\"` in [program] to choose them"
                .to_owned(),
        ),
        "out" => Some("Swath gives each attempt a directory of its own, `{out}`".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_have_units() {
        assert_eq!(milliseconds("6h"), Some(21_600_000));
        assert_eq!(milliseconds("1h 30m"), Some(5_400_000));
        assert_eq!(milliseconds("1.5s"), Some(1500));
        for wrong in ["", "6", "h", "-1s", "6 h", "1x", "0s", "1e99d", "."] {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }
}
