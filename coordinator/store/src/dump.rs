//! A whole store, page by page, as rows that another store can commit.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use swath_model::id::Attempt;

use crate::changes::{Changes, LogRow};
use crate::cold::{Names, Start, StoredCell};
use crate::key::{CellKey, JobKey};
use crate::{Result, StoreError};

/// One state of a store, however the store changes meanwhile.
///
/// While a snapshot is open, the database cannot discard what has been replaced
/// since: close it as soon as it is not needed.
#[async_trait]
pub trait Snapshot: Send {
    /// The same as [`crate::Store::start`].
    async fn start(&mut self) -> Result<Start>;

    /// The same as [`crate::Store::load`].
    async fn load(&mut self, names: &Names) -> Result<Vec<StoredCell>>;

    /// The same as [`crate::Store::specs`].
    async fn specs(&mut self, cells: &[CellKey]) -> Result<Vec<String>>;

    /// The next rows of a part after `after`, in the order of their keys; at
    /// most `limit`.
    async fn page(&mut self, part: Part, after: PageKey, limit: u32) -> Result<Page>;

    /// What the database itself finds wrong: damaged pages, and rows that refer
    /// to rows that do not exist. One line each, the first few only.
    async fn damage(&mut self) -> Result<Vec<String>>;

    /// Releases the state.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// A part of a store; the parts are in the order in which another store takes
/// them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The lists `new_sweeps` and `sweeps`.
    Sweeps,
    /// The list `inputs`.
    Inputs,
    /// The list `pieces`.
    Pieces,
    /// The list `shipped`.
    Shipped,
    /// The list `cells`.
    Cells,
    /// The list `sweep_cells`, with their present numbers of replicates.
    SweepCells,
    /// The list `workers`.
    Workers,
    /// The lists `new_jobs`, with their `attempts`, `dropped`, `outcomes`, `ends`
    /// and [`LogGone`], and `jobs`, without those that are as they were created.
    Jobs,
    /// The list `late`.
    Late,
    /// The list `observations`.
    Observations,
    /// Log pieces as [`CopiedLog`].
    Logs,
    /// The list `requests`, for newest sessions.
    Requests,
    /// The list `replications`.
    Replications,
    /// The list `decisions`.
    Decisions,
    /// The list `imports`.
    Imports,
    /// The list `credentials`.
    Credentials,
}

impl Part {
    /// All parts, in order.
    pub const ALL: [Self; 16] = [
        Self::Sweeps,
        Self::Inputs,
        Self::Pieces,
        Self::Shipped,
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
        Self::Credentials,
    ];

    /// The name of its rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sweeps => "sweeps",
            Self::Inputs => "files of programs",
            Self::Pieces => "pieces of these files",
            Self::Shipped => "files of sweeps",
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
            Self::Credentials => "tokens and certificates",
        }
    }

    /// The part that follows.
    pub fn next(self) -> Option<Self> {
        let mut after = Self::ALL.into_iter().skip_while(|part| *part != self);
        after.nth(1)
    }

    /// How many rows are read at once: a sweep may have megabytes of files, a
    /// piece of a file is one, and a piece of a log tens of kilobytes.
    pub const fn rows(self) -> u32 {
        match self {
            Self::Sweeps | Self::Pieces => 8,
            Self::Logs | Self::Late => 128,
            Self::Jobs | Self::Workers | Self::Replications => 1024,
            _ => 4096,
        }
    }
}

/// A place in the order of a part's rows: the row's key inside the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageKey(pub [i64; 3]);

impl PageKey {
    /// The place before every row.
    pub const FIRST: Self = Self([i64::MIN; 3]);
}

/// Some rows of a part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The rows, in the form that another store takes.
    pub rows: Changes,
    /// How many rows there are.
    pub count: u32,
    /// The key of the last row.
    pub last: Option<PageKey>,
}

impl Page {
    /// Notes that the next row has this key.
    pub const fn at(&mut self, key: [i64; 3]) -> &mut Changes {
        self.count += 1;
        self.last = Some(PageKey(key));
        &mut self.rows
    }
}

/// What only a copy of another store must write. It is written last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Copied {
    /// Log pieces that keep their places. No others are dropped for them.
    pub logs: Vec<CopiedLog>,
    /// Which log pieces were dropped.
    pub gone: Vec<LogGone>,
    /// How far the copy is; absent when it is complete.
    pub copying: Option<Copying>,
}

/// A piece of a log, with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CopiedLog {
    /// The number of the piece within the job, from 1; dropped pieces count
    /// too.
    pub position: u64,
    /// The piece.
    pub row: LogRow,
}

/// A note that the first pieces of an attempt's log were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LogGone {
    /// The job.
    pub job: JobKey,
    /// The attempt.
    pub attempt: Attempt,
    /// The number of the last dropped piece.
    pub sequence: u64,
}

/// How far a store is a copy of another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copying {
    /// The name of the other store's state.
    pub source: String,
    /// The part that is being copied.
    pub part: Part,
    /// The last row of that part that was copied.
    pub after: PageKey,
}

/// The error of a store with which no engine may start.
pub fn unfinished() -> StoreError {
    StoreError::Failed {
        message: "it is a copy that is not whole yet; repeat the `coordinator store copy` that \
                  began it, which goes on where it ended"
            .to_owned(),
        source: None,
    }
}
