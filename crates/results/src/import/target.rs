//! Which sweeps a file of numbers is meant for.

use std::collections::BTreeSet;

use swath_model::view::SweepRecord;

/// Why a file matches no sweep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTarget {
    /// There is no sweep.
    #[error("there is no sweep yet that numbers could be imported into; submit one")]
    NoSweep,
    /// There are several, and none has the file as its reference.
    #[error("no sweep names {file} as its reference; say which one it is for with `--sweep SWEEP`")]
    Unclear {
        /// The file.
        file: String,
    },
}

/// The sweeps that a file is meant for, from those `found`, oldest first: the
/// newest of each name. All of them if they were `chosen` by name; else those
/// whose published values are this very `text`; else the only one.
///
/// # Errors
///
/// When there is none, or when it is unclear.
pub fn targets(
    found: Vec<SweepRecord>,
    chosen: bool,
    file: &str,
    text: &str,
) -> Result<Vec<SweepRecord>, NoTarget> {
    let mut names = BTreeSet::new();
    let newest = found.into_iter().rev();
    let mut newest: Vec<SweepRecord> = newest.filter(|it| names.insert(it.name.clone())).collect();
    newest.reverse();
    if chosen {
        return Ok(newest);
    }
    let refers = |sweep: &SweepRecord| sweep.definition["reference"]["text"] == text;
    if newest.iter().any(refers) {
        newest.retain(refers);
        return Ok(newest);
    }
    match newest.len() {
        0 => Err(NoTarget::NoSweep),
        1 => Ok(newest),
        _ => Err(NoTarget::Unclear {
            file: file.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swath_model::id::SweepDigest;
    use swath_model::time::Timestamp;
    use swath_model::view::{Counts, SweepState, SweepView};

    use super::*;

    fn sweep(number: u8, name: &str, reference: &str) -> SweepRecord {
        let view = SweepView {
            digest: SweepDigest::from_bytes([number; 32]),
            name: name.to_owned(),
            title: String::new(),
            state: SweepState::Active,
            kind: swath_model::view::SweepKind::Training,
            paused: None,
            cells: 1,
            replicates: 1,
            replication: None,
            priority: 0,
            counts: Counts::default(),
            submitted_at: Timestamp::from_ms(0),
            finished_at: None,
            version: 1,
            label: swath_model::label::Label::default(),
        };
        SweepRecord {
            view,
            definition: json!({"reference": {"text": reference}}),
        }
    }

    fn meant(found: &[SweepRecord], chosen: bool) -> Result<Vec<u8>, NoTarget> {
        let targets = targets(found.to_vec(), chosen, "a.csv", "its text")?;
        Ok(targets.iter().map(|it| it.digest.as_bytes()[0]).collect())
    }

    #[test]
    fn the_newest_of_each_name_whose_reference_the_file_is() {
        let text = "its text";
        let all = [
            sweep(1, "a", text),
            sweep(2, "b", "another"),
            sweep(3, "a", text),
            sweep(4, "c", text),
        ];
        assert_eq!(meant(&all, false), Ok(vec![3, 4]));
        assert_eq!(meant(&all, true), Ok(vec![2, 3, 4]));
        // A sweep that was grown without its reference is not matched through
        // an older one.
        let grown = [sweep(1, "a", text), sweep(2, "a", "another")];
        assert_eq!(meant(&grown, false), Ok(vec![2]));
        let unclear = NoTarget::Unclear {
            file: "a.csv".to_owned(),
        };
        assert_eq!(meant(&all[1..2], false), Ok(vec![2]));
        let others = [sweep(1, "a", "x"), sweep(2, "b", "y")];
        assert_eq!(meant(&others, false), Err(unclear));
        assert_eq!(meant(&[], false), Err(NoTarget::NoSweep));
    }
}
