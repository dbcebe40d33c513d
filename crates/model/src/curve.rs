//! The learning curve of a job, of what its attempts have told.

use std::collections::BTreeMap;

use crate::id::Attempt;

/// What counts of the epochs of a job.
///
/// An attempt counts from its first epoch on, where it began anew or went on from a
/// checkpoint of an earlier one. What earlier attempts told of those epochs and of
/// later ones is of a training that did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Curve<T> {
    newest: Option<Attempt>,
    epochs: BTreeMap<u32, T>,
}

impl<T> Default for Curve<T> {
    fn default() -> Self {
        Self {
            newest: None,
            epochs: BTreeMap::new(),
        }
    }
}

impl<T> Curve<T> {
    /// Takes in what an attempt told of an epoch, if it told anything; to be called
    /// in the order of attempts, and of an attempt in the order of epochs.
    pub fn see(&mut self, attempt: Attempt, epoch: u32, told: Option<T>) {
        if self.newest.replace(attempt) != Some(attempt) {
            self.epochs.split_off(&epoch);
        }
        if let Some(told) = told {
            self.epochs.insert(epoch, told);
        }
    }

    /// What counts, by epoch.
    pub fn epochs(&self) -> &BTreeMap<u32, T> {
        &self.epochs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counts_from_its_first_epoch_on() {
        let mut curve = Curve::default();
        let mut see = |attempt, told: &[(u32, Option<char>)]| {
            for (epoch, told) in told {
                curve.see(Attempt(attempt), *epoch, *told);
            }
            let told = curve.epochs().iter();
            told.map(|(epoch, told)| format!("{epoch}{told}"))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let first = [(1, Some('a')), (2, Some('a')), (3, Some('a'))];
        assert_eq!(see(1, &first), "1a 2a 3a");
        // From a checkpoint; it has not measured its first epoch.
        assert_eq!(see(2, &[(2, None), (4, Some('b'))]), "1a 4b");
        // Anew.
        assert_eq!(see(4, &[(1, Some('d'))]), "1d");
    }
}
