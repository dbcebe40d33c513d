//! The numbers by which rows refer to each other inside one database. Outside
//! of it digests are used: a key means nothing in another database.

use std::fmt;

use serde::Serialize;

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(pub i64);

        impl $name {
            /// The key after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

key! {
    /// The key of a sweep; grows in order of submission.
    SweepKey
}
key! {
    /// The key of a cell.
    CellKey
}
key! {
    /// The key of a job; grows in order of submission.
    JobKey
}
key! {
    /// The key of a file that a program is made of.
    InputKey
}
key! {
    /// The key of a worker.
    WorkerKey
}
