//! The numbers by which rows name each other inside one database. Digests name
//! things outside; a key means nothing in another database.

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
    /// A sweep; grows in order of submission.
    SweepKey
}
key! {
    /// A cell.
    CellKey
}
key! {
    /// A job; grows in order of submission.
    JobKey
}
key! {
    /// A worker.
    WorkerKey
}
