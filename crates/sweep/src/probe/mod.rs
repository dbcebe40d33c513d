//! The sweep file of probes.

use std::fmt::Write;

use serde_json::Value;
use toml_edit::Key;

use swath_model::probe::{MEMORY_BYTES, Probe, STEP_SECONDS};
use swath_model::spec::keys;

/// Always axes, where the probes have them.
const AXES: [&str; 2] = ["model.name", "batch_size"];

/// A sweep file of these probes, which must not be empty. What they have in
/// common is fixed; each probe is a block with the rest as its axes. None where
/// a value cannot be written in TOML.
pub fn sweep_text(name: &str, title: &str, probes: &[Probe]) -> Option<String> {
    let leaves: Vec<Leaves> = probes
        .iter()
        .map(|probe| leaves_of(probe.spec.cell_tree()))
        .collect();
    let first = leaves.first()?;
    let common = |(path, value): &&(String, Value)| {
        !AXES.contains(&path.as_str())
            && leaves.iter().all(|other| {
                let found = other.iter().find(|(other, _)| other == path);
                found.is_some_and(|(_, other)| other == value)
            })
    };
    let mut fixed: Vec<&(String, Value)> = first.iter().filter(common).collect();
    // A block needs at least one axis.
    if fixed.len() == first.len() {
        fixed.pop();
    }
    let is_fixed = |path: &str| fixed.iter().any(|(fixed, _)| fixed == path);
    let mut axes: Vec<&str> = Vec::new();
    for (path, _) in leaves.iter().flatten() {
        if !is_fixed(path) && !axes.contains(&path.as_str()) {
            axes.push(path);
        }
    }
    let (name, title) = (text(name), text(title));
    let mut out = format!("[sweep]\nname = {name}\ntitle = {title}\nreplicates = 1\n\n[fixed]\n");
    for (path, value) in &fixed {
        let _ = writeln!(out, "{} = {}", key(path), toml(value)?);
    }
    for leaves in &leaves {
        out.push_str("\n[[grid]]\n");
        for (path, value) in leaves.iter().filter(|(path, _)| !is_fixed(path)) {
            let _ = writeln!(out, "{} = [{}]", key(path), toml(value)?);
        }
    }
    let rows: Vec<String> = axes.into_iter().map(text).collect();
    let columns = [STEP_SECONDS, MEMORY_BYTES].map(|name| text(&format!("metrics.{name}")));
    let (rows, columns) = (rows.join(", "), columns.join(", "));
    let _ = writeln!(out, "\n[table]\nrows = [{rows}]\ncolumns = [{columns}]");
    Some(out)
}

type Leaves = Vec<(String, Value)>;

/// The keys of a spec with their values.
fn leaves_of(tree: &Value) -> Leaves {
    let mut leaves = Vec::new();
    walk(tree, String::new(), &mut leaves);
    leaves
}

fn walk(value: &Value, path: String, leaves: &mut Leaves) {
    match value {
        Value::Object(entries) if path.is_empty() || is_open(&path) => {
            for (name, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                walk(value, format!("{path}{dot}{name}"), leaves);
            }
        }
        _ => leaves.push((path, value.clone())),
    }
}

/// Whether the values under this path are keys of their own.
fn is_open(path: &str) -> bool {
    keys::is_table(path) || path == "params" || path.starts_with("params.")
}

fn key(path: &str) -> String {
    let parts = path.split('.').map(|part| Key::new(part).to_string());
    parts.collect::<Vec<_>>().join(".")
}

fn text(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

fn toml(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => value.to_string(),
        // Swath writes numbers in the form that it reads.
        Value::Number(number) => swath_model::spec::number_text(number),
        Value::String(value) => text(value),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(toml).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Object(entries) => {
            let entries: Option<Vec<String>> = entries
                .iter()
                .map(|(name, value)| Some(format!("{} = {}", key(name), toml(value)?)))
                .collect();
            format!("{{ {} }}", entries?.join(", "))
        }
    })
}

#[cfg(test)]
mod tests;
