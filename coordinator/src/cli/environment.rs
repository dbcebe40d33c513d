//! The environment variables of every flag, and those that other parts of
//! Swath read: the one place that names them.

pub(crate) const COORDINATOR: &str = "SWATH_COORDINATOR";
pub(crate) const DATABASE: &str = "SWATH_DATABASE";
pub(crate) const OUTPUT: &str = "SWATH_OUTPUT";
pub(crate) const COLOR: &str = "SWATH_COLOR";
pub(crate) const QUIET: &str = "SWATH_QUIET";
pub(crate) const LISTEN: &str = "SWATH_LISTEN";
pub(crate) const ADVERTISE: &str = "SWATH_ADVERTISE";
pub(crate) const IDENTITY: &str = "SWATH_IDENTITY";
pub(crate) const HOST: &str = "SWATH_HOST";
pub(crate) const TOKEN_FILE: &str = "SWATH_TOKEN_FILE";
pub(crate) const ROLE: &str = "SWATH_ROLE";
pub(crate) const TOKEN_NAME: &str = "SWATH_TOKEN_NAME";
pub(crate) const EXPIRES: &str = "SWATH_EXPIRES";
pub(crate) const USES: &str = "SWATH_USES";
pub(crate) const INTO: &str = "SWATH_INTO";
pub(crate) const POLICY: &str = "SWATH_POLICY";
pub(crate) const LOG: &str = "SWATH_LOG";
pub(crate) const LOG_FORMAT: &str = "SWATH_LOG_FORMAT";
pub(crate) const SLOTS: &str = "SWATH_SLOTS";
pub(crate) const STATE_DIR: &str = "SWATH_STATE_DIR";
pub(crate) const PRIORITY: &str = "SWATH_PRIORITY";
pub(crate) const WAIT: &str = "SWATH_WAIT";
pub(crate) const TIMEOUT: &str = "SWATH_TIMEOUT";
pub(crate) const WATCH: &str = "SWATH_WATCH";
pub(crate) const LIMIT: &str = "SWATH_LIMIT";
pub(crate) const FILES_ATTEMPT: &str = "SWATH_FILES_ATTEMPT";
pub(crate) const CONNECTIONS: &str = "SWATH_CONNECTIONS_PER_ADDRESS";
pub(crate) const FOLLOW: &str = "SWATH_FOLLOW";
pub(crate) const RAW: &str = "SWATH_RAW";
pub(crate) const DIVERGED: &str = "SWATH_DIVERGED";
pub(crate) const FAILED: &str = "SWATH_FAILED";
pub(crate) const MISSING: &str = "SWATH_MISSING";
pub(crate) const STALE: &str = "SWATH_STALE";
pub(crate) const LOCK: &str = "SWATH_LOCK";
pub(crate) const SWEEP: &str = "SWATH_SWEEP";
pub(crate) const SOURCE: &str = "SWATH_SOURCE";
pub(crate) const TABLE: &str = "SWATH_TABLE";
pub(crate) const REPLACE: &str = "SWATH_REPLACE";
pub(crate) const REPLICATES: &str = "SWATH_REPLICATES";
pub(crate) const KIND: &str = "SWATH_KIND";
pub(crate) const METRIC: &str = "SWATH_METRIC";
pub(crate) const X: &str = "SWATH_X";
pub(crate) const BY: &str = "SWATH_BY";
pub(crate) const TARGET: &str = "SWATH_TARGET";
pub(crate) const ROWS: &str = "SWATH_ROWS";
pub(crate) const COLUMNS: &str = "SWATH_COLUMNS";
pub(crate) const CELL: &str = "SWATH_CELL";
pub(crate) const SORT: &str = "SWATH_SORT";
pub(crate) const PROBE: &str = "SWATH_PROBE";
pub(crate) const RUN: &str = "SWATH_RUN";
pub(crate) const CHECK: &str = "SWATH_CHECK";
pub(crate) const ALL: &str = "SWATH_ALL";
pub(crate) const MINE: &str = "SWATH_MINE";
pub(crate) const OWNER: &str = "SWATH_OWNER";
pub(crate) const TAG: &str = "SWATH_TAG";
pub(crate) const REMOVE: &str = "SWATH_REMOVE";
pub(crate) const UNDO: &str = "SWATH_UNDO";
pub(crate) const CANCEL: &str = "SWATH_CANCEL";
pub(crate) const YES: &str = "SWATH_YES";
/// Who submits.
pub(crate) const USER: &str = "SWATH_USER";

/// Variables that belong to no flag of `coordinator`, with what they do.
pub(crate) const OTHERS: [(&str, &str); 15] = [
    (
        USER,
        "who submits a sweep and owns it from then on; default: the login name",
    ),
    (
        "SWATH_DATA_DIR",
        "where workers keep data sets; default `~/.cache/swath/data`, and \
         `/usr/share/datasets` is searched too",
    ),
    (
        "SWATH_DATA_MIRROR",
        "a base URL or a directory to fetch data sets from, instead of the public ones; `none`: \
         nothing is fetched",
    ),
    (
        "SWATH_ALLOW_DATA",
        "`--allow-data` of `worker`: what specs may name as data besides, separated by colons",
    ),
    (
        "SWATH_DATA_BYTES",
        "`--data-bytes` of `worker`: the largest file of data, and the most that it unpacks to, \
         such as `50GiB`; default: half of the memory",
    ),
    (
        "SWATH_TRAINER",
        "the trainer that workers start, instead of the one beside them",
    ),
    (
        "SWATH_TRAINER_DEVICE",
        "`--device` of `trainer`: `cpu`, the default, or `cuda:N`; a worker names it itself",
    ),
    (
        "SWATH_TRAINER_THREADS",
        "`--threads` of `trainer`: threads on the CPU; default: all cores; a worker names them itself",
    ),
    (
        "SWATH_TRAINER_CHECKPOINT_EVERY",
        "`--checkpoint-every` of `trainer`: seconds between two checkpoints; default 180; 0: not by time",
    ),
    (
        "SWATH_TRAINER_CHECKPOINT_STEPS",
        "`--checkpoint-steps` of `trainer`: optimizer steps between two checkpoints; default: by \
         time only",
    ),
    (
        "SWATH_TRAINER_GOALS",
        "`--goal` of `trainer`: test errors in percent, separated by commas; for each, the first \
         epoch that reaches it is reported",
    ),
    (
        "SWATH_LIBTORCH",
        "a libtorch to build the trainer with, instead of the one that `cargo xtask setup` fetches",
    ),
    (
        "SWATH_BENCH_PYTHON",
        "the Python with PyTorch that `cargo xtask bench` compares with; default `python3`",
    ),
    (
        "RUST_LOG",
        "what `serve` logs when neither `--log` nor `SWATH_LOG` says so",
    ),
    ("NO_COLOR", "set to anything: no colour, as `--color never`"),
];
