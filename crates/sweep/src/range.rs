//! Axes whose values are a range: `{ log = [1e-4, 0.1], points = 4 }`.

use serde_json::Value;

use super::error::Errors;
use super::expression::rounded;
use super::section::names;
use super::source::{Entry, Node, Shape};

/// More values are a mistake.
const VALUES_MAX: u64 = 100_000;

/// The keys of ranges.
const KEYS: [&str; 6] = ["log", "linear", "points", "from", "to", "step"];

/// Keys by which other tools tell that a table stands for an axis, and keys that
/// may stand beside them.
const FOREIGN: [&str; 11] = [
    "min",
    "max",
    "low",
    "high",
    "lower",
    "upper",
    "start",
    "stop",
    "values",
    "choices",
    "distribution",
];
const BESIDE: [&str; 6] = ["end", "num", "count", "type", "q", "base"];

/// Functions by which other tools tell of an axis, and which no table of parameters has as a key.
const FUNCTIONS: [&str; 11] = [
    "logspace",
    "linspace",
    "geomspace",
    "arange",
    "range",
    "uniform",
    "loguniform",
    "quniform",
    "randint",
    "choice",
    "grid_search",
];

pub(super) const FORMS: &str = "write { log = [1e-4, 0.1], points = 4 }, { linear = [0, 1], points = 5 }, \
                     { from = 1, to = 10, step = 3 }, or a list of the values";

/// Whether a table stands for an axis, in these words or in those of another
/// tool.
pub(super) fn is_range(entries: &[Entry]) -> bool {
    let is_list = |entry: &Entry| matches!(entry.node.shape, Shape::List(_));
    let is_table = |entry: &Entry| matches!(entry.node.shape, Shape::Table(_));
    let tells = |entry: &Entry| match &*entry.name {
        "values" | "choices" => is_list(entry),
        // These are names of parameters too.
        "range" | "uniform" | "choice" => entries.len() == 1 && is_list(entry),
        name if FUNCTIONS.contains(&name) => true,
        name => KEYS.contains(&name) || FOREIGN.contains(&name) && !is_list(entry),
    };
    let fits = |entry: &Entry| BESIDE.contains(&&*entry.name) && !is_list(entry);
    entries.iter().any(tells)
        && (entries.iter()).all(|entry| (tells(entry) || fits(entry)) && !is_table(entry))
}

/// Whether a text is a range as other tools write it: `1..10`, `range(1, 10)`, `np.logspace(-4, -1, 4)`.
pub(super) fn is_range_text(text: &str) -> bool {
    let is_number = |text: &str| text.trim().parse::<f64>().is_ok();
    if let Some((first, last)) = text.split_once("..") {
        return is_number(first) && is_number(last.trim_start_matches(['.', '=']));
    }
    let call = text
        .trim()
        .strip_suffix(')')
        .and_then(|it| it.split_once('('));
    call.is_some_and(|(function, arguments)| {
        let name = function.rsplit('.').next().unwrap_or(function);
        FUNCTIONS.contains(&name) && arguments.split(',').all(is_number)
    })
}

/// The values of an axis that is written as a range; none if it is not.
pub(super) fn values(path: &str, node: &Node, errors: &mut Errors) -> Option<Vec<Node>> {
    let entries = node.entries().filter(|entries| is_range(entries))?;
    match numbers(entries) {
        Ok(values) => {
            let place = &node.place;
            let node = |value| Node {
                place: place.clone(),
                shape: Shape::Scalar(value),
            };
            Some(values.into_iter().map(node).collect())
        }
        Err(message) => {
            errors.push(node.place.error(path, message));
            Some(Vec::new())
        }
    }
}

fn numbers(entries: &[Entry]) -> Result<Vec<Value>, String> {
    let get = |name: &str| {
        let found = entries.iter().find(|entry| entry.name == name);
        found.map(|entry| entry.node.value())
    };
    let given: Vec<&str> = KEYS.into_iter().filter(|key| get(key).is_some()).collect();
    if given.len() < entries.len() {
        let other = entries.iter().map(|entry| &*entry.name);
        let other: Vec<&str> = other.filter(|name| !KEYS.contains(name)).collect();
        return Err(format!(
            "{} cannot make a range; {FORMS}",
            names(other.into_iter())
        ));
    }
    match given[..] {
        ["log", "points"] => spaced(get("log").as_ref(), get("points").as_ref(), true),
        ["linear", "points"] => spaced(get("linear").as_ref(), get("points").as_ref(), false),
        ["from", "to", "step"] => stepped([get("from"), get("to"), get("step")]),
        _ => Err(format!("is no whole range; {FORMS}")),
    }
}

fn spaced(ends: Option<&Value>, points: Option<&Value>, log: bool) -> Result<Vec<Value>, String> {
    let word = if log { "log" } else { "linear" };
    let ends = ends.and_then(Value::as_array).map(Vec::as_slice);
    let pair = match ends {
        Some([first, last]) => first.as_f64().zip(last.as_f64()),
        _ => None,
    };
    let (first, last) = pair.ok_or_else(|| format!("`{word}` must be [first, last]"))?;
    if log && (first <= 0.0 || last <= 0.0) {
        return Err("`log` must be between two numbers greater than 0".to_owned());
    }
    let points = points.and_then(Value::as_u64);
    let points = points
        .filter(|points| (2..=VALUES_MAX).contains(points))
        .ok_or_else(|| format!("`points` must be a whole number from 2 to {VALUES_MAX}"))?;
    let value = |place: u64| {
        if place == 0 {
            return first;
        }
        if place + 1 == points {
            return last;
        }
        let part = place as f64 / (points - 1) as f64;
        rounded(if log {
            (first.ln() + (last.ln() - first.ln()) * part).exp()
        } else {
            first + (last - first) * part
        })
    };
    let whole = ends.is_some_and(|ends| ends.iter().all(|end| !end.is_f64()));
    Ok(of_kind((0..points).map(value).collect(), whole))
}

fn stepped(values: [Option<Value>; 3]) -> Result<Vec<Value>, String> {
    let whole = values.iter().flatten().all(|value| !value.is_f64());
    let numbers = values.map(|value| value.as_ref().and_then(Value::as_f64));
    let [Some(from), Some(to), Some(step)] = numbers else {
        return Err("`from`, `to` and `step` must be numbers".to_owned());
    };
    let steps = (to - from) / step;
    if !steps.is_finite() || steps < 0.0 {
        return Err("`step` must lead from `from` to `to`".to_owned());
    }
    // The last value counts although the steps do not add up to the last bit.
    let steps = (steps + 1e-9).floor();
    if steps >= VALUES_MAX as f64 {
        return Err(format!("has more than {VALUES_MAX} values"));
    }
    let values = (0..=steps as u64).map(|place| rounded(from + step * place as f64));
    Ok(of_kind(values.collect(), whole))
}

/// Numbers of the kind of the ends: whole ones stay whole if all are.
fn of_kind(values: Vec<f64>, whole: bool) -> Vec<Value> {
    let whole = whole
        && values
            .iter()
            .all(|value| value.fract() == 0.0 && value.abs() < 9e15);
    let kind = |value: f64| {
        if whole {
            Value::from(value as i64)
        } else {
            Value::from(value)
        }
    };
    values.into_iter().map(kind).collect()
}
