//! Which directories of attempts are kept: what sweeps say, and the rule that
//! follows from what all sweeps of a job say.

use serde::{Deserialize, Serialize};

use crate::id::Attempt;
use crate::job::StateName;

/// Which directories of its attempts a sweep keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// That of every attempt.
    #[default]
    All,
    /// That of the attempt that ended its job.
    Last,
    /// As [`Self::Last`], but once the sweep has ended only in its best cell.
    Best,
    /// None, once its numbers were read.
    None,
}

impl Keep {
    /// Their names in files.
    pub const NAMES: [&str; 4] = ["all", "last", "best", "none"];

    /// The rule of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::All, Self::Last, Self::Best, Self::None];
        let place = Self::NAMES.iter().position(|known| *known == name)?;
        Some(all[place])
    }

    /// Its name in files.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether it is what a sweep means that does not say.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What one sweep that holds a job wants of its directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What it says.
    pub keep: Keep,
    /// Whether the job is of its best cell; absent as long as it has none.
    pub is_best: Option<bool>,
}

impl Wish {
    fn wants(self, is_last: bool) -> bool {
        match self.keep {
            Keep::All => true,
            Keep::Last => is_last,
            Keep::Best => is_last && self.is_best.unwrap_or(true),
            Keep::None => false,
        }
    }
}

/// What is known of the job of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    /// There is such a job.
    Job {
        /// Its newest attempt.
        newest: Attempt,
        /// Its state.
        state: StateName,
        /// What the sweeps want that hold it.
        wishes: &'a [Wish],
    },
    /// It went with the last sweep that held it, and has not been submitted again.
    Deleted,
    /// Nothing: it may be of another store.
    Nothing,
}

/// Whether nobody wants the directory of an attempt any more, which its worker
/// has ended and reported.
///
/// An attempt that is still to come is one of another store, or of the same job
/// before that was deleted: nothing is known of it here. The newest attempt of a job
/// without a final state may yet count.
pub fn may_go(attempt: Attempt, known: Known<'_>) -> bool {
    match known {
        Known::Deleted => true,
        Known::Nothing => false,
        Known::Job {
            newest,
            state,
            wishes,
        } => {
            let is_last = attempt == newest;
            if wishes.is_empty() || attempt > newest || (is_last && !state.is_final()) {
                return false;
            }
            !wishes.iter().any(|wish| wish.wants(is_last))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn goes(attempt: Attempt, newest: Attempt, state: StateName, wishes: &[Wish]) -> bool {
        let job = Known::Job {
            newest,
            state,
            wishes,
        };
        may_go(attempt, job)
    }

    #[test]
    fn what_was_deleted_goes_and_what_is_unknown_stays() {
        assert!(may_go(Attempt(1), Known::Deleted));
        assert!(!may_go(Attempt(1), Known::Nothing));
    }

    fn keeps() -> impl Strategy<Value = Keep> {
        prop::sample::select(vec![Keep::All, Keep::Last, Keep::Best, Keep::None])
    }

    fn wishes() -> impl Strategy<Value = Vec<Wish>> {
        let wish = (keeps(), any::<Option<bool>>());
        let wish = wish.prop_map(|(keep, is_best)| Wish { keep, is_best });
        prop::collection::vec(wish, 0..4)
    }

    fn states() -> impl Strategy<Value = StateName> {
        prop::sample::select(StateName::ALL.to_vec())
    }

    fn attempts() -> impl Strategy<Value = Attempt> {
        (0_u32..5).prop_map(Attempt)
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in Keep::NAMES {
            let keep = Keep::from_name(name).unwrap();
            assert_eq!(keep.name(), name);
            assert_eq!(serde_json::to_value(keep).unwrap(), name);
        }
        assert_eq!(Keep::from_name("worst"), None);
    }

    proptest! {
        #[test]
        fn what_one_sweep_wants_stays(
            attempt in attempts(), newest in attempts(), state in states(),
            mut wishes in wishes(), other in (keeps(), any::<Option<bool>>()),
        ) {
            let before = goes(attempt, newest, state, &wishes);
            let nobody = wishes.is_empty();
            wishes.push(Wish { keep: other.0, is_best: other.1 });
            let after = goes(attempt, newest, state, &wishes);
            prop_assert!(before || nobody || !after, "another wish took it away");
            wishes.push(Wish { keep: Keep::All, is_best: None });
            prop_assert!(!goes(attempt, newest, state, &wishes));
        }

        #[test]
        fn the_order_of_sweeps_does_not_matter(
            attempt in attempts(), newest in attempts(), state in states(), wishes in wishes(),
        ) {
            let turned: Vec<Wish> = wishes.iter().rev().copied().collect();
            prop_assert_eq!(
                goes(attempt, newest, state, &wishes),
                goes(attempt, newest, state, &turned)
            );
        }

        #[test]
        fn what_may_count_or_is_unknown_stays(
            newest in attempts(), more in 1_u32..3, state in states(), wishes in wishes(),
        ) {
            prop_assert!(state.is_final() || !goes(newest, newest, state, &wishes));
            let later = Attempt(newest.0 + more);
            prop_assert!(!goes(later, newest, state, &wishes));
            prop_assert!(!goes(newest, newest, state, &[]));
        }

        #[test]
        fn of_ended_jobs_each_rule_keeps_what_it_says(
            newest in 2_u32..5, state in states(), is_best in any::<Option<bool>>(),
        ) {
            let gone = |attempt, keep| {
                goes(Attempt(attempt), Attempt(newest), state, &[Wish { keep, is_best }])
            };
            // Nobody needs an attempt that another one has followed but `all`.
            let earlier = [Keep::All, Keep::Last, Keep::Best, Keep::None].map(|it| gone(1, it));
            prop_assert_eq!(earlier, [false, true, true, true]);
            if state.is_final() {
                let last = [Keep::All, Keep::Last, Keep::Best, Keep::None].map(|it| gone(newest, it));
                prop_assert_eq!(last, [false, false, is_best == Some(false), true]);
            }
        }
    }
}
