//! Steering, as data: a rule looks at the results of a sweep, and says what is to
//! be done. The rules themselves are in swath-results; the ledger applies what
//! they say, if what they looked at is still so.

use crate::replication::{Bounds, Decision, Verdict};

/// The rule by which the results of a sweep steer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Cells get more replicates until neighbours in the order of their medians
    /// are told apart; see [`crate::replication`].
    Ranked(Bounds),
}

/// What a rule says about a sweep.
#[derive(Clone, Debug, PartialEq)]
pub enum Steering {
    /// A cell gets a replicate.
    Add(Decision),
    /// Nothing more is to be trained.
    Settle(Verdict),
}
