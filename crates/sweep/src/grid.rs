//! The `[[grid]]` blocks: axes, zipped axes and exclusions.

use std::collections::BTreeSet;

use swath_model::limits::AXES_MAX;
use swath_model::spec::keys::{self, Key, Kind};
use swath_model::suggest::nearest;

use super::error::{Errors, Place};
use super::naming::{LABEL, Labels};
use super::program::as_params;
use super::range;
use super::settings::{Assigned, Bare, Formula, leaves};
use super::source::{Entry, Node, Shape};

/// One `[[grid]]` block: the product of its axes.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The axes in written order; the first varies slowest.
    pub(super) axes: Vec<Axis>,
    pub(super) excludes: Vec<Formula>,
    pub(super) labels: Option<Labels>,
    pub(super) place: Place,
}

/// What varies together: one key, or several that are zipped.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) paths: Vec<String>,
    /// One row per step of the axis, one value per path.
    pub(super) rows: Vec<Vec<Choice>>,
    place: Place,
}

/// One value of an axis.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) value: Assigned,
    pub(super) place: Place,
}

impl Block {
    /// Every path that varies in this block, in written order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.axes
            .iter()
            .flat_map(|axis| axis.paths.iter().map(String::as_str))
    }

    /// How many points the product has, including exclusions and repetitions.
    pub(super) fn size(&self) -> u128 {
        self.axes
            .iter()
            .map(|axis| axis.rows.len() as u128)
            .fold(1, u128::saturating_mul)
    }
}

/// Reads the value of `grid`: a list of blocks.
pub(super) fn read(node: &Node, bare: Bare, errors: &mut Errors) -> Vec<Block> {
    let mut blocks = Vec::new();
    for item in node.items() {
        match item.entries() {
            Some(entries) => blocks.push(block(entries, &item.place, bare, errors)),
            None => errors.push(
                item.place
                    .error("grid", "must be written as [[grid]] blocks"),
            ),
        }
    }
    blocks
}

fn block(entries: &[Entry], place: &Place, bare: Bare, errors: &mut Errors) -> Block {
    let own;
    let entries = match bare {
        Bare::Spec => entries,
        Bare::Params => {
            own = as_params(entries, &["zip", "exclude", LABEL], errors);
            &own
        }
    };
    let mut axes = Vec::new();
    let mut excludes = Vec::new();
    let mut plain = Vec::new();
    let mut labels = None;
    for entry in entries {
        match entry.name.as_str() {
            "zip" => {
                for item in entry.node.items() {
                    axes.extend(zip(item, bare, errors));
                }
            }
            "exclude" => {
                for item in entry.node.items() {
                    excludes.extend(Formula::parse(item, "exclude", bare, errors));
                }
            }
            LABEL => labels = Labels::read(&entry.node, bare, errors),
            name => match misspelt(name) {
                Some(near) => {
                    let message = format!("unknown key; did you mean `{near}`?");
                    errors.push(entry.place.error(name, message));
                }
                None => plain.push(entry.clone()),
            },
        }
    }
    for leaf in leaves(&plain, errors) {
        axes.extend(axis(&leaf.path, leaf.key, leaf.entry, bare, errors));
    }
    if entries
        .iter()
        .all(|entry| matches!(&*entry.name, "exclude" | LABEL))
    {
        let message = "has no axis; give at least one key with its values, like epochs = [10]";
        errors.push(place.error("grid", message));
    }
    axes.sort_by(|left, right| left.place.cmp(&right.place));
    let block = Block {
        axes,
        excludes,
        labels,
        place: place.clone(),
    };
    if let Some(labels) = &block.labels {
        labels.check(block.size(), errors);
    }
    report_repeated(&block, errors);
    block
}

/// The key of a block that was probably meant by `name`, if that is no key.
fn misspelt(name: &str) -> Option<&'static str> {
    if keys::find(name).is_some() || keys::is_table(name) {
        return None;
    }
    nearest(name, ["zip", "exclude", LABEL])
}

fn report_repeated(block: &Block, errors: &mut Errors) {
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for axis in &block.axes {
        for path in &axis.paths {
            if !seen.insert(path) {
                let message = "is an axis of this block already; \
                               join the two, or begin another [[grid]]";
                errors.push(axis.place.error(path, message));
            }
        }
    }
    if seen.len() > AXES_MAX {
        let message = format!("has {} axes; at most {AXES_MAX}", seen.len());
        errors.push(block.place.error("grid", message));
    }
}

fn axis(path: &str, key: &Key, entry: &Entry, bare: Bare, errors: &mut Errors) -> Option<Axis> {
    let rows = choices(path, key, entry, bare, errors)?
        .into_iter()
        .map(|choice| vec![choice])
        .collect();
    Some(Axis {
        paths: vec![path.to_owned()],
        rows,
        place: entry.place.clone(),
    })
}

/// The values of one axis; none if any of them is wrong.
fn choices(
    path: &str,
    key: &Key,
    entry: &Entry,
    bare: Bare,
    errors: &mut Errors,
) -> Option<Vec<Choice>> {
    let before = errors.len();
    let range = range::values(path, &entry.node, errors);
    if errors.len() > before {
        return None;
    }
    let items = range.as_deref().unwrap_or(entry.node.items());
    if items.is_empty() {
        let message = "is an axis without values; give some, or remove it";
        errors.push(entry.node.place.error(path, message));
        return None;
    }
    let lists = matches!(key.kind, Kind::List(_) | Kind::BatchSteps);
    if lists
        && !items
            .iter()
            .all(|item| matches!(item.shape, Shape::List(_)))
    {
        let message = "each value of this axis is itself a list; \
                       write a list of lists, like [[1, 2], [3, 4]]";
        errors.push(entry.node.place.error(path, message));
        return None;
    }
    let read = items.iter().filter_map(|item| {
        Some(Choice {
            value: Assigned::read(path, key.kind, item, bare, errors)?,
            place: item.place.clone(),
        })
    });
    let choices: Vec<_> = read.collect();
    (errors.len() == before).then_some(choices)
}

fn zip(node: &Node, bare: Bare, errors: &mut Errors) -> Option<Axis> {
    let Some(entries) = node.entries() else {
        let message = "must be a table of keys with equally long lists";
        errors.push(node.place.error("zip", message));
        return None;
    };
    let before = errors.len();
    let own;
    let entries = match bare {
        Bare::Spec => entries,
        Bare::Params => {
            own = as_params(entries, &[], errors);
            &own
        }
    };
    let mut columns: Vec<(String, Vec<Choice>)> = Vec::new();
    for leaf in leaves(entries, errors) {
        let range = leaf.entry.node.entries().is_some_and(range::is_range);
        if !range && !matches!(leaf.entry.node.shape, Shape::List(_)) {
            let message = "must be a list here; one value or expression for all \
                           goes beside `zip`, as an axis of its own";
            errors.push(leaf.entry.node.place.error(leaf.path, message));
            continue;
        }
        let Some(values) = choices(&leaf.path, leaf.key, leaf.entry, bare, errors) else {
            continue;
        };
        if let Some((first, others)) = columns.first()
            && others.len() != values.len()
        {
            let message = format!(
                "has {} values, but `{first}` in the same zip has {}",
                values.len(),
                others.len()
            );
            errors.push(leaf.entry.node.place.error(&leaf.path, message));
        }
        columns.push((leaf.path, values));
    }
    if entries.is_empty() {
        errors.push(
            node.place
                .error("zip", "pairs nothing; give it two keys or more"),
        );
    }
    if errors.len() > before {
        return None;
    }
    let count = columns.first().map_or(0, |(_, values)| values.len());
    let rows = (0..count).map(|row| {
        let values = columns.iter().map(|(_, values)| values[row].clone());
        values.collect()
    });
    Some(Axis {
        rows: rows.collect(),
        paths: columns.into_iter().map(|(path, _)| path).collect(),
        place: node.place.clone(),
    })
}
