//! Tables of the sweep file whose keys are a closed set.

use swath_model::suggest::nearest;

use super::error::{Errors, FileError, Place};
use super::source::{Entry, Node};

/// A table of the file with a closed set of keys.
pub(super) struct Section<'a> {
    name: &'static str,
    place: &'a Place,
    entries: &'a [Entry],
}

impl<'a> Section<'a> {
    pub(super) fn open(
        name: &'static str,
        node: &'a Node,
        known: &[&str],
        errors: &mut Errors,
    ) -> Self {
        let entries = node.entries().unwrap_or_else(|| {
            let message = format!("must be a table, [{name}]");
            errors.push(node.place.error(name, message));
            &[]
        });
        for entry in entries
            .iter()
            .filter(|entry| !known.contains(&&*entry.name))
        {
            errors.push_with(|| {
                let path = format!("{name}.{}", entry.name);
                let message = elsewhere(&path).unwrap_or_else(|| unknown(&entry.name, known));
                entry.place.error(path, message)
            });
        }
        Self {
            name,
            place: &node.place,
            entries,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        Some(&entry.node)
    }

    pub(super) fn place_of(&self, name: &str) -> &'a Place {
        self.get(name).map_or(self.place, |node| &node.place)
    }

    pub(super) fn error(&self, name: &str, message: impl Into<String>) -> FileError {
        self.place_of(name)
            .error(format!("{}.{name}", self.name), message)
    }
}

/// What to write for a key that other tools have in this place.
fn elsewhere(path: &str) -> Option<String> {
    let is_count = ["sweep.seeds", "sweep.repeats", "sweep.repetitions"].contains(&path);
    let message = "unknown key; `replicates = 3` trains each cell so often, each time with a seed \
                   of its own, and `seeds` in [program] names the seeds";
    is_count.then(|| message.to_owned())
}

pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!("unknown key; the keys are {}", names(known.iter().copied())),
    }
}

/// Names as a message lists them.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
