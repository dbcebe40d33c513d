//! The environment variables of every flag, and those that other parts of
//! Swath read: the one place that names them.

pub(crate) const COORDINATOR: &str = "SWATH_COORDINATOR";
pub(crate) const DATABASE: &str = "SWATH_DATABASE";
pub(crate) const OUTPUT: &str = "SWATH_OUTPUT";
pub(crate) const COLOR: &str = "SWATH_COLOR";
pub(crate) const QUIET: &str = "SWATH_QUIET";
pub(crate) const LISTEN: &str = "SWATH_LISTEN";
pub(crate) const POLICY: &str = "SWATH_POLICY";
pub(crate) const LOG: &str = "SWATH_LOG";
pub(crate) const SLOTS: &str = "SWATH_SLOTS";
pub(crate) const STATE_DIR: &str = "SWATH_STATE_DIR";
pub(crate) const PRIORITY: &str = "SWATH_PRIORITY";
pub(crate) const WAIT: &str = "SWATH_WAIT";
pub(crate) const TIMEOUT: &str = "SWATH_TIMEOUT";
pub(crate) const WATCH: &str = "SWATH_WATCH";
pub(crate) const LIMIT: &str = "SWATH_LIMIT";
pub(crate) const FOLLOW: &str = "SWATH_FOLLOW";
pub(crate) const DIVERGED: &str = "SWATH_DIVERGED";
pub(crate) const REPLICATES: &str = "SWATH_REPLICATES";
pub(crate) const RUN: &str = "SWATH_RUN";

/// Variables that belong to no flag of `coordinator`, with what they do.
pub(crate) const OTHERS: [(&str, &str); 6] = [
    (
        "SWATH_DATA_DIR",
        "where workers keep data sets; default `~/.cache/swath/data`, and \
         `/usr/share/datasets` is looked at too",
    ),
    (
        "SWATH_DATA_MIRROR",
        "a base URL or a directory to fetch data sets from, instead of the public ones",
    ),
    (
        "SWATH_TRAINER",
        "the trainer that workers start, instead of the one beside them",
    ),
    (
        "SWATH_LIBTORCH",
        "a libtorch to build the trainer with, instead of the one that `cargo xtask setup` fetches",
    ),
    (
        "RUST_LOG",
        "what `serve` logs when neither `--log` nor `SWATH_LOG` says so",
    ),
    ("NO_COLOR", "set to anything: no colour, as `--color never`"),
];
