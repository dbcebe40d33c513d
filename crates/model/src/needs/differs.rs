//! In what two sweeps differ that share a job.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Needs;
use crate::program::Launch;

/// A key of sweep files that takes no part in the names of jobs, in which two of
/// them differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "key", rename_all = "snake_case")]
pub enum Differs {
    /// What the jobs need of a worker.
    Needs,
    /// Whether files travel with the sweep, and how.
    Ship,
    /// Where the program is started.
    Directory,
    /// How long a job may take.
    Timeout,
    /// How long it may write nothing.
    Silence,
    /// A parameter that changes nothing of what is computed.
    Local {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs => f.write_str("`needs`"),
            Self::Ship => f.write_str("`ship`"),
            Self::Directory => f.write_str("`directory`"),
            Self::Timeout => f.write_str("`timeout`"),
            Self::Silence => f.write_str("`silence`"),
            Self::Local { name } => write!(f, "`[local] {name}`"),
        }
    }
}

impl Needs {
    /// In what these needs of a job differ from those that another sweep says, as
    /// far as people say them.
    pub fn differences(&self, other: &Self) -> BTreeSet<Differs> {
        let of_worker = |it: &Self| Self {
            program: None,
            data: None,
            launch: Launch::default(),
            ..it.clone()
        };
        let (one, two) = (&self.launch, &other.launch);
        // Files that travel are started in a copy of their own.
        let in_place = one.shipped.is_none() && two.shipped.is_none();
        let plain = [
            (of_worker(self) != of_worker(other), Differs::Needs),
            (one.shipped != two.shipped, Differs::Ship),
            (
                in_place && one.directory != two.directory,
                Differs::Directory,
            ),
            (one.timeout_ms != two.timeout_ms, Differs::Timeout),
            (one.silence_ms != two.silence_ms, Differs::Silence),
        ];
        let names = one.local.keys().chain(two.local.keys());
        let local = names.filter(|name| one.local.get(*name) != two.local.get(*name));
        let local = local.map(|name| Differs::Local { name: name.clone() });
        let plain = plain
            .into_iter()
            .filter_map(|(is, what)| is.then_some(what));
        plain.chain(local).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::Shipped;

    fn told(one: &Needs, other: &Needs) -> String {
        let all = one.differences(other);
        assert_eq!(all, other.differences(one));
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        all.join(", ")
    }

    #[test]
    fn only_what_a_file_says_differs() {
        let mut one = Needs {
            cpus: Some(2),
            ..Needs::default()
        };
        one.launch.directory = Some("/a".to_owned());
        one.launch.local = [("data", "1"), ("workers", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        assert_eq!(told(&one, &one), "");
        let mut other = one.clone();
        other.launch.sweep = Some("other".to_owned());
        other.launch.wants_epochs = true;
        assert_eq!(told(&one, &other), "");
        other.cpus = None;
        other.launch.directory = None;
        other.launch.timeout_ms = Some(1);
        other.launch.silence_ms = Some(1);
        other.launch.local.remove("data");
        assert_eq!(
            told(&one, &other),
            "`needs`, `directory`, `timeout`, `silence`, `[local] data`"
        );
    }

    #[test]
    fn files_that_travel_have_no_directory() {
        let mut one = Needs::default();
        one.launch.directory = Some("/a".to_owned());
        let mut other = Needs::default();
        other.launch.shipped = Some(Shipped::default());
        assert_eq!(told(&one, &other), "`ship`");
        one.launch.shipped = Some(Shipped::default());
        assert_eq!(told(&one, &other), "");
    }
}
