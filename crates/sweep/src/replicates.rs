//! How often the cells of a sweep are trained.

use serde_json::Value;
use swath_model::replication::{Bounds, UNTIL_RANKED};
use swath_model::spec::keys;

use super::error::Errors;
use super::section::{Section, unknown};
use super::source::{Node, Shape};

/// How often a cell is trained unless the file says otherwise: the least number
/// whose median is not moved by a single outlier.
pub const REPLICATES_DEFAULT: u32 = 3;
/// A greater number is a mistake.
const REPLICATES_MAX: u32 = 10_000;
const KEYS: [&str; 3] = ["min", "max", "until"];

/// Reads `sweep.replicates`, a number or `{ min, max, until }`: how often each
/// cell is trained and, where results decide, how often at most. `seeds` is how
/// many seeds the file names.
pub(super) fn read(
    section: &Section<'_>,
    seeds: Option<u32>,
    errors: &mut Errors,
) -> (u32, Option<u32>) {
    let (min, max) = number(section, seeds, errors);
    if let Some(seeds) = seeds
        && max.unwrap_or(min) > seeds
    {
        let message = format!("is more than the {seeds} `seeds` of [program]; name more seeds");
        errors.push(section.error("replicates", message));
    }
    (min, max)
}

fn number(section: &Section<'_>, seeds: Option<u32>, errors: &mut Errors) -> (u32, Option<u32>) {
    match section.get("replicates") {
        None => (seeds.unwrap_or(REPLICATES_DEFAULT), None),
        Some(node) if matches!(node.shape, Shape::Table(_)) => {
            let bounds = adaptive(node, errors);
            bounds.map_or((REPLICATES_DEFAULT, None), |it| (it.min, Some(it.max)))
        }
        Some(node) => {
            let fixed = count(node, "", errors);
            (fixed.unwrap_or(REPLICATES_DEFAULT), None)
        }
    }
}

/// A number of replicates.
fn count(node: &Node, key: &str, errors: &mut Errors) -> Option<u32> {
    let value = node.value();
    let checked = checked(&value);
    checked
        .map_err(|message| errors.push(node.place.error(format!("sweep.replicates{key}"), message)))
        .ok()
}

/// A number of replicates, or what is wrong with it.
pub(super) fn checked(value: &Value) -> Result<u32, String> {
    let count = value.as_u64().and_then(|it| u32::try_from(it).ok());
    let count = count.filter(|it| (1..=REPLICATES_MAX).contains(it));
    count.ok_or_else(|| {
        let what = keys::describe(value);
        format!("must be a whole number from 1 to {REPLICATES_MAX}, not {what}")
    })
}

fn adaptive(node: &Node, errors: &mut Errors) -> Option<Bounds> {
    let before = errors.len();
    let entries = node.entries().unwrap_or_default();
    let get = |name: &str| Some(&entries.iter().find(|it| it.name == name)?.node);
    for entry in entries.iter().filter(|it| !KEYS.contains(&&*it.name)) {
        let path = format!("sweep.replicates.{}", entry.name);
        errors.push(entry.place.error(path, unknown(&entry.name, &KEYS)));
    }
    let mut bound = |name: &str| {
        if let Some(node) = get(name) {
            return count(node, &format!(".{name}"), errors);
        }
        let message =
            format!("is missing; write {{ min = 3, max = 10, until = \"{UNTIL_RANKED}\" }}");
        errors.push(
            node.place
                .error(format!("sweep.replicates.{name}"), message),
        );
        None
    };
    let (min, max) = (bound("min"), bound("max"));
    let until = get("until");
    if until.and_then(Node::text) != Some(UNTIL_RANKED) {
        let message = format!(
            "must be \"{UNTIL_RANKED}\": until neighbours in the order of medians are told apart"
        );
        let place = until.map_or(&node.place, |it| &it.place);
        errors.push(place.error("sweep.replicates.until", message));
    }
    let bounds = Bounds {
        min: min?,
        max: max?,
    };
    let place = get("max").map_or(&node.place, |it| &it.place);
    if let Some(message) = wrong(bounds) {
        errors.push(place.error("sweep.replicates.max", message));
    }
    (errors.len() == before).then_some(bounds)
}

/// What is wrong with these bounds.
fn wrong(bounds: Bounds) -> Option<String> {
    let Bounds { min, max } = bounds;
    if max < min {
        return Some(format!(
            "is less than `min`, {min}; raise it, or lower `min`"
        ));
    }
    if max == min {
        return Some(format!(
            "is `min`, so results decide nothing; write `replicates = {min}`, or raise it"
        ));
    }
    (!bounds.can_decide()).then(|| {
        format!(
            "can never decide: the least p of {max} runs against {max} is {:.3}, and after each \
             of up to {} looks a pair is decided only at p <= {:.3}; use at least {}",
            bounds.least_p(),
            bounds.looks(),
            bounds.level(),
            bounds.deciding_max()
        )
    })
}
