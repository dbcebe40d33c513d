//! What a sweep file and its recipes set, key by key, and in which place.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;

use serde_json::{Value, json};
use swath_model::limits::LEVELS_MAX;
use swath_model::spec::keys::{self, Key, Kind};
use swath_model::spec::{set, too_deep};
use swath_model::text::quoted;

use super::error::{Errors, FileError, Place};
use super::expression::{Expression, number_value};
use super::range::is_range;
use super::source::{Entry, Node, Shape};

/// An expression with its place in a file.
#[derive(Clone, Debug)]
pub(super) struct Formula {
    pub(super) expression: Expression,
    node: Node,
}

/// What a key is set to.
#[derive(Clone, Debug)]
pub(super) enum Assigned {
    Literal(Value),
    Formula(Box<Formula>),
}

/// One key set by a recipe or by `[fixed]`.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: Assigned,
    /// Grows from the outermost recipe to `[fixed]`: the later layer wins.
    pub(super) layer: usize,
    pub(super) place: Place,
}

/// What the bare keys of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bare {
    /// Keys of a spec.
    Spec,
    /// Parameters of the file's program.
    Params,
}

impl Bare {
    /// The path of the key that a file calls `name`.
    pub(super) fn path(self, name: &str) -> String {
        if self == Self::Params && !name.starts_with("params.") {
            format!("params.{name}")
        } else {
            name.to_owned()
        }
    }
}

/// Everything that is set outside the grid.
pub(super) type Settings = BTreeMap<String, Setting>;

/// A key of the spec as it stands in a file.
pub(super) struct Leaf<'a> {
    pub(super) path: String,
    pub(super) key: &'static Key,
    pub(super) entry: &'a Entry,
}

/// Keys of which a spec has only one: setting one in a later layer replaces the
/// other of an earlier layer.
pub(super) const ALTERNATIVES: [(&str, &str); 4] = [
    ("epochs", "steps"),
    ("steps", "epochs"),
    ("warmup.epochs", "warmup.steps"),
    ("warmup.steps", "warmup.epochs"),
];

impl Formula {
    /// Parses the text `node` holds, and checks its names.
    pub(super) fn parse(node: &Node, key: &str, bare: Bare, errors: &mut Errors) -> Option<Self> {
        let Some(text) = node.text() else {
            let message = "must be an expression, like \"batch_size > 64\"";
            errors.push(node.place.error(key, message));
            return None;
        };
        let expression = match Expression::parse(text) {
            Ok(expression) => expression,
            Err(error) => {
                let message = format!("in {}: {}", quoted(text), error.message);
                errors.push(node.inside(error.offset).error(key, message));
                return None;
            }
        };
        let expression = match bare {
            Bare::Spec => expression,
            Bare::Params => expression.renamed(&|name| bare.path(name)),
        };
        let before = errors.len();
        for (name, at) in expression.names() {
            if keys::find(name).is_none() {
                let why = keys::unknown(name).message;
                let message = format!("in {}: `{name}`: {why}", quoted(text));
                errors.push(node.inside(at).error(key, message));
            }
        }
        (errors.len() == before).then(|| Self {
            expression,
            node: node.clone(),
        })
    }

    /// Where byte `offset` of the expression stands.
    pub(super) fn place(&self, offset: usize) -> Place {
        self.node.inside(offset)
    }
}

impl Assigned {
    /// Reads one value of a key: a literal of its kind or an expression.
    ///
    /// A text is an expression where the key takes a number or a truth value,
    /// or where it begins with `=`.
    pub(super) fn read(
        path: &str,
        kind: Kind,
        node: &Node,
        bare: Bare,
        errors: &mut Errors,
    ) -> Option<Self> {
        let levels = path.split('.').count();
        if levels > LEVELS_MAX || node.is_deeper(LEVELS_MAX - levels) {
            errors.push(node.place.error(path, too_deep()));
            return None;
        }
        let computed = matches!(kind, Kind::Int(..) | Kind::Float(..) | Kind::Bool);
        if node
            .text()
            .is_some_and(|text| computed || text.trim_start().starts_with('='))
        {
            let formula = Formula::parse(node, path, bare, errors)?;
            return Some(Self::Formula(Box::new(formula)));
        }
        let value = match bare {
            Bare::Spec => plain(node.value()),
            // To a program, `32.0` is not 32.
            Bare::Params => node.value(),
        };
        match keys::check_value(kind, &value) {
            Ok(()) => Some(Self::Literal(value)),
            Err(message) => {
                errors.push(node.place.error(path, message));
                None
            }
        }
    }
}

/// Numbers as a person would write them: `32.0` becomes 32.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            number_value(number.as_f64().unwrap_or_default())
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect(),
        other => other,
    }
}

/// The keys of the spec that `entries` set, nested or dotted, in written
/// order. A table that is a range is a value.
pub(super) fn leaves<'a>(entries: &'a [Entry], errors: &mut Errors) -> Vec<Leaf<'a>> {
    let mut found = Vec::new();
    descend(entries, "", &mut found, errors);
    found.sort_by(|left: &Leaf<'_>, right| left.entry.place.cmp(&right.entry.place));
    found
}

fn descend<'a>(entries: &'a [Entry], prefix: &str, found: &mut Vec<Leaf<'a>>, errors: &mut Errors) {
    for entry in entries {
        let path = if prefix.is_empty() {
            entry.name.clone()
        } else {
            format!("{prefix}.{}", entry.name)
        };
        let key = keys::find(&path);
        let table = match &entry.node.shape {
            Shape::Table(inner) => Some(inner),
            _ => None,
        };
        match (key, table) {
            _ if path == "seed" => {
                errors.push(entry.place.error(path, SEED));
            }
            (Some(key), Some(inner)) if key.path == "params" && !is_range(inner) => {
                descend(inner, &path, found, errors);
            }
            (Some(_), None) if path == "params" => {
                errors.push(entry.node.place.error(path, PARAMS));
            }
            (Some(key), _) => found.push(Leaf { path, key, entry }),
            (None, Some(inner)) if keys::is_table(&path) => descend(inner, &path, found, errors),
            (None, _) => errors.push_with(|| misplaced(&path, entry)),
        }
    }
}

/// What `params` must be.
pub(super) const PARAMS: &str = "must be a table of the program's own parameters";
/// Why no sweep sets the seed.
pub(super) const SEED: &str = "is derived from the cell and the replicate; \
                               raise `replicates` to train under more seeds";

/// The error for something that is not a key: it is unknown, or it is a value
/// where a table of keys should be.
fn misplaced(path: &str, entry: &Entry) -> FileError {
    if !keys::is_table(path) {
        return entry.place.error(path, keys::unknown(path).message);
    }
    let mut tree = json!({});
    set(&mut tree, path, entry.node.value());
    let message = keys::check(&tree)
        .pop()
        .map_or_else(|| "must be a table".to_owned(), |error| error.message);
    entry.node.place.error(path, message)
}

/// Lays the keys that `entries` set over `settings`.
pub(super) fn lay(
    settings: &mut Settings,
    entries: &[Entry],
    layer: usize,
    formulas: bool,
    bare: Bare,
    errors: &mut Errors,
) {
    for Leaf { path, key, entry } in leaves(entries, errors) {
        let Some(value) = Assigned::read(&path, key.kind, &entry.node, bare, errors) else {
            continue;
        };
        if matches!(value, Assigned::Formula(_)) && !formulas {
            let message = "a recipe holds values only; move the expression to [fixed] or an axis";
            errors.push(entry.node.place.error(path, message));
            continue;
        }
        for (_, other) in ALTERNATIVES.iter().filter(|(one, _)| *one == path) {
            if settings.get(*other).is_some_and(|old| old.layer < layer) {
                settings.remove(*other);
            }
        }
        let setting = Setting {
            value,
            layer,
            place: entry.node.place.clone(),
        };
        match settings.entry(path) {
            MapEntry::Occupied(old) if old.get().layer == layer => {
                let line = old.get().place.line;
                let message = format!("is set twice; first in line {line}");
                errors.push(entry.place.error(old.key(), message));
            }
            MapEntry::Occupied(mut old) => {
                old.insert(setting);
            }
            MapEntry::Vacant(free) => {
                free.insert(setting);
            }
        }
    }
}
