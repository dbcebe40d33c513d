//! A whole store, page by page, as the rows that another one commits.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use swath_model::id::Attempt;

use crate::changes::{Changes, LogRow};
use crate::cold::{Names, Start, StoredCell};
use crate::key::{CellKey, JobKey};
use crate::{Result, StoreError};

/// One state of a store, however it goes on meanwhile.
///
/// Whoever holds one keeps a database from forgetting what has been replaced
/// since: it is to be closed as soon as it is not needed any more.
#[async_trait]
pub trait Snapshot: Send {
    /// As [`crate::Store::start`].
    async fn start(&mut self) -> Result<Start>;

    /// As [`crate::Store::load`].
    async fn load(&mut self, names: &Names) -> Result<Vec<StoredCell>>;

    /// As [`crate::Store::specs`].
    async fn specs(&mut self, cells: &[CellKey]) -> Result<Vec<String>>;

    /// The next rows of a part in the order of their keys: at most `limit`,
    /// those after `after`.
    async fn page(&mut self, part: Part, after: PageKey, limit: u32) -> Result<Page>;

    /// What the database itself finds wrong: damaged pages, and rows that name
    /// others that are not there. A line each, the first few.
    async fn damage(&mut self) -> Result<Vec<String>>;

    /// Lets the store forget what is old.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// A part of a store, in the order in which another one takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// `new_sweeps` and `sweeps`.
    Sweeps,
    /// `cells`.
    Cells,
    /// `sweep_cells`, with the replicates that they have by now.
    SweepCells,
    /// `workers`.
    Workers,
    /// `new_jobs` with their `attempts`, `outcomes`, `ends` and [`LogGone`]; and
    /// `jobs`, without those that are as they were made.
    Jobs,
    /// `late`.
    Late,
    /// `observations`.
    Observations,
    /// [`CopiedLog`].
    Logs,
    /// `requests` of newest sessions.
    Requests,
    /// `replications`.
    Replications,
    /// `decisions`.
    Decisions,
    /// `imports`.
    Imports,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 12] = [
        Self::Sweeps,
        Self::Cells,
        Self::SweepCells,
        Self::Workers,
        Self::Jobs,
        Self::Late,
        Self::Observations,
        Self::Logs,
        Self::Requests,
        Self::Replications,
        Self::Decisions,
        Self::Imports,
    ];

    /// What its rows are called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sweeps => "sweeps",
            Self::Cells => "cells",
            Self::SweepCells => "cells of sweeps",
            Self::Workers => "workers",
            Self::Jobs => "jobs",
            Self::Late => "late outcomes",
            Self::Observations => "observations",
            Self::Logs => "pieces of logs",
            Self::Requests => "requests of workers",
            Self::Replications => "replications",
            Self::Decisions => "decisions",
            Self::Imports => "imported numbers",
        }
    }

    /// The part that follows.
    pub fn next(self) -> Option<Self> {
        let mut after = Self::ALL.into_iter().skip_while(|part| *part != self);
        after.nth(1)
    }

    /// Rows that are read at once: a sweep may hold megabytes of files, and a
    /// piece of a log tens of kilobytes.
    pub const fn rows(self) -> u32 {
        match self {
            Self::Sweeps => 8,
            Self::Logs | Self::Late => 128,
            Self::Jobs | Self::Workers | Self::Replications => 1024,
            _ => 4096,
        }
    }
}

/// A place in the order of the rows of a part: what its key is inside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageKey(pub [i64; 3]);

impl PageKey {
    /// Before every row.
    pub const FIRST: Self = Self([i64::MIN; 3]);
}

/// Some rows of a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// They, as another store takes them.
    pub rows: Changes,
    /// How many they are.
    pub count: u32,
    /// The key of the last one.
    pub last: Option<PageKey>,
}

/// What only a copy of another store has to write. It is written last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Copied {
    /// Log pieces that keep their places. Nothing makes room for them.
    pub logs: Vec<CopiedLog>,
    /// What of logs had to make room.
    pub gone: Vec<LogGone>,
    /// How far the copy is now; absent when it is whole.
    pub copying: Option<Copying>,
}

/// A piece of a log in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopiedLog {
    /// Counts the pieces of the job, from 1, those included that are gone.
    pub position: u64,
    /// The piece.
    pub row: LogRow,
}

/// That the first pieces of an attempt's log had to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LogGone {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// The number of the last piece that is gone.
    pub sequence: u64,
}

/// How far a store is a copy of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    /// Names the state of the other one.
    pub source: String,
    /// The part that is being copied.
    pub part: Part,
    /// The last of its rows that is copied.
    pub after: PageKey,
}

/// Why an engine cannot begin with a store.
pub fn unfinished() -> StoreError {
    StoreError::Failed {
        message: "it is a copy that is not whole yet; repeat the `coordinator store copy` that \
                  began it, which goes on where it ended"
            .to_owned(),
        source: None,
    }
}
