//! Mistakes that show only when a program's command and its parameters are seen
//! together.

use std::collections::BTreeSet;

use serde_json::Value;
use swath_model::metrics::Goal;
use swath_model::program::{self, GIVEN, Launch};
use swath_model::spec::{JobSpec, Work, lookup};
use swath_model::suggest::{did_you_mean, nearest};

use super::{axis_values, commands};
use crate::error::Errors;
use crate::expression::Expression;
use crate::file::SweepFile;
use crate::grid::Block;
use crate::range;
use crate::section::names;
use crate::settings::{Assigned, Bare, Settings};

impl SweepFile {
    /// The metric of its program, if neither the file nor the metric's name says
    /// which of its values are better.
    pub fn unranked_metric(&self) -> Option<&str> {
        let set = |path| self.settings.get(path).map(|setting| &setting.value);
        let Some(Assigned::Literal(Value::String(metric))) = set("trainer.metric") else {
            return None;
        };
        let told = set("trainer.goal").is_some() || Goal::implied(metric).is_some();
        Some(metric.as_str()).filter(|_| !told)
    }
}

/// Finds mistakes among the parameters of programs.
pub(crate) fn check_params(settings: &Settings, blocks: &[Block], bare: Bare, errors: &mut Errors) {
    let params = |path: &&str| path.starts_with("params.");
    let set = settings.keys().map(String::as_str);
    let axes = blocks.iter().flat_map(Block::paths);
    let known: BTreeSet<&str> = set.chain(axes).filter(params).collect();
    let placed = settings
        .iter()
        .map(|(path, it)| (&**path, &it.value, &it.place));
    let axes = blocks.iter().flat_map(|block| &block.axes);
    let choices = axes.flat_map(|axis| {
        axis.rows.iter().flat_map(|row| {
            let choices = axis.paths.iter().zip(row);
            choices.map(|(path, choice)| (&**path, &choice.value, &choice.place))
        })
    });
    for (path, value, place) in placed.chain(choices).filter(|(path, ..)| params(path)) {
        if let Assigned::Literal(Value::String(text)) = value
            && let Some((what, how)) = looks_like(text, &known)
        {
            let message = format!(
                "\"{text}\" looks like {what}: {how}, or write \"= '{text}'\" if the program is \
                 to get this text"
            );
            errors.push(place.error(path, message));
        }
    }
    if bare == Bare::Params {
        return;
    }
    let named = ["trainer.command", "trainer.null"];
    let is_named =
        |name: &&str| settings.contains_key(*name) || axis_values(blocks, name).next().is_some();
    let first = known.first().filter(|_| !named.iter().any(is_named));
    if let Some(path) = first {
        let set = settings.get(*path).map(|setting| &setting.place);
        let in_grid = || {
            blocks
                .iter()
                .find(|block| block.paths().any(|own| own == *path))
        };
        if let Some(place) = set.or_else(|| in_grid().map(|block| &block.place)) {
            let message = "is a parameter of a program, and the sweep names none; add\n  \
                           [program]\n  command = [\"python\", \"train.py\"]";
            errors.push(place.error(*path, message));
        }
    }
}

/// The parameters of programs that a file sets, as their programs call them.
pub(crate) fn params<'a>(settings: &'a Settings, blocks: &'a [Block]) -> BTreeSet<&'a str> {
    let set = settings.keys().map(String::as_str);
    let axes = blocks.iter().flat_map(Block::paths);
    set.chain(axes)
        .filter_map(|path| path.strip_prefix("params."))
        .collect()
}

/// What to say of `path` if it is a parameter that the file does not set.
pub(crate) fn unset(path: &str, params: &BTreeSet<&str>) -> Option<String> {
    let name = path.strip_prefix("params.")?;
    let is_within = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let is_set = params
        .iter()
        .any(|known| is_within(known, name) || is_within(name, known));
    let there = || did_you_mean(name, params.iter().copied(), "the parameters are");
    (!is_set).then(|| format!("`{name}`: no parameter of this sweep; {}", there()))
}

/// What a text was likely meant to be, and how that is written.
fn looks_like(text: &str, known: &BTreeSet<&str>) -> Option<(&'static str, String)> {
    if range::is_range_text(text) {
        return Some(("a range", range::FORMS.to_owned()));
    }
    let computes = looks_computed(text, known);
    computes.then(|| ("an expression", format!("write \"= {text}\" to compute it")))
}

/// Whether a text computes something with parameters that there are.
fn looks_computed(text: &str, known: &BTreeSet<&str>) -> bool {
    let Ok(expression) = Expression::parse(text) else {
        return false;
    };
    let is_known = |name: &str| known.contains(name) || known.contains(&*format!("params.{name}"));
    let mut names = expression.names().map(|(name, _)| name).peekable();
    expression.computes() && names.peek().is_some() && names.all(is_known)
}

/// The names in a command for which a cell has no value.
pub(crate) fn check_names(spec: &JobSpec, launch: &Launch) -> Option<String> {
    let Work::Command(command) = spec.work() else {
        return None;
    };
    command.arguments?;
    let has = |name: &str| {
        let own = name.strip_prefix("params.").unwrap_or(name);
        let param = || spec.get("params").and_then(|params| lookup(params, own));
        GIVEN.contains(&name) || launch.local.contains_key(own) || param().is_some()
    };
    let name = program::names(&command.argv).find(|name| !has(name))?;
    let params = spec.get("params").and_then(Value::as_object);
    let params = params.into_iter().flat_map(|it| it.keys());
    let known: Vec<&str> = params
        .chain(launch.local.keys())
        .map(String::as_str)
        .chain(GIVEN)
        .collect();
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None => format!(
            "there are {}; double the braces if they are meant as such",
            names(known.into_iter())
        ),
    };
    Some(format!("`{{{name}}}` names no parameter; {hint}"))
}

/// Finds axes that the program never gets to know: its command names them
/// nowhere, and nothing is computed from them.
pub(crate) fn check_handed_over(settings: &Settings, blocks: &[Block], errors: &mut Errors) {
    let words: Vec<String> = commands(settings, blocks).concat();
    let mut used: BTreeSet<String> = program::names(&words)
        .map(|name| format!("params.{}", name.strip_prefix("params.").unwrap_or(name)))
        .collect();
    let choices = blocks
        .iter()
        .flat_map(|block| &block.axes)
        .flat_map(|it| it.rows.concat());
    let values = settings.values().map(|it| it.value.clone());
    for value in values.chain(choices.map(|choice| choice.value)) {
        if let Assigned::Formula(formula) = value {
            used.extend(formula.expression.names().map(|(name, _)| name.to_owned()));
        }
    }
    let covers = |path: &str, used: &str| {
        let under = |long: &str, short: &str| {
            long.strip_prefix(short)
                .is_some_and(|rest| rest.starts_with('.'))
        };
        path == used || under(path, used) || under(used, path)
    };
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for block in blocks {
        for path in block.paths() {
            if used.iter().any(|used| covers(path, used)) || !told.insert(path) {
                continue;
            }
            let name = path.strip_prefix("params.").unwrap_or(path);
            let message = format!(
                "never reaches the program: no word of its command has `{{{name}}}`; add one, or \
                 hand over all parameters by `arguments = \"flags\"` (\"overrides\", \"none\")"
            );
            errors.push(block.place.error(path, message));
        }
    }
}
