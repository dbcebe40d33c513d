//! A walk through a whole snapshot, and the census that it makes.

use serde::Serialize;

use crate::changes::Changes;
use crate::dump::{Page, PageKey, Part, Snapshot};
use crate::{Result, StoreError};

/// Called during the walk with the part that is being read, and how many of its
/// rows were read.
pub type Progress<'a> = &'a mut (dyn FnMut(Part, u64) + Send);

/// A place in the walk through a snapshot.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The part that comes next; none after the last one.
    pub(crate) part: Option<Part>,
    pub(crate) after: PageKey,
    read: u64,
}

impl Walk {
    pub(crate) const fn new() -> Self {
        Self::from(Part::Sweeps, PageKey::FIRST)
    }

    pub(crate) const fn from(part: Part, after: PageKey) -> Self {
        Self {
            part: Some(part),
            after,
            read: 0,
        }
    }

    /// The next page, or none at the end. After an error the place is
    /// unchanged.
    pub(crate) async fn next(
        &mut self,
        snapshot: &mut dyn Snapshot,
        progress: &mut (dyn FnMut(Part, u64) + Send),
    ) -> Result<Option<(Part, Page)>> {
        while let Some(part) = self.part {
            let page = snapshot.page(part, self.after, part.rows()).await?;
            if let Some(last) = page.last {
                self.after = last;
                self.read += u64::from(page.count);
                progress(part, self.read);
                return Ok(Some((part, page)));
            }
            self.skip();
        }
        Ok(None)
    }

    /// Skips the rest of the part.
    pub(crate) fn skip(&mut self) {
        *self = Self {
            part: self.part.and_then(Part::next),
            after: PageKey::FIRST,
            read: 0,
        };
    }
}

/// How many rows each part has, and a digest over all of them. Two stores with
/// the same rows have the same digest, whatever kind of database they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    parts: Vec<(Part, u64, blake3::Hash)>,
}

impl Census {
    /// Walks through a snapshot.
    ///
    /// # Errors
    ///
    /// When the snapshot cannot be read to its end.
    pub async fn take(snapshot: &mut dyn Snapshot, progress: Progress<'_>) -> Result<Self> {
        let mut counting = Counting::default();
        let mut walk = Walk::new();
        while let Some((part, page)) = walk.next(snapshot, progress).await? {
            counting.add(part, &page)?;
        }
        Ok(counting.end())
    }

    /// The rows of each part, in order.
    pub fn counts(&self) -> impl Iterator<Item = (Part, u64)> + '_ {
        self.parts.iter().map(|(part, count, _)| (*part, *count))
    }

    /// The digest over all rows: 64 hex digits.
    pub fn digest(&self) -> String {
        let mut all = blake3::Hasher::new();
        for (_, count, hash) in &self.parts {
            all.update(&count.to_le_bytes());
            all.update(hash.as_bytes());
        }
        all.finalize().to_hex().to_string()
    }

    /// The parts that differ, each with both numbers of rows.
    pub fn differences(&self, other: &Self) -> Vec<(Part, u64, u64)> {
        let pairs = self.parts.iter().zip(&other.parts);
        pairs
            .filter(|(one, two)| one != two)
            .map(|(one, two)| (one.0, one.1, two.1))
            .collect()
    }
}

/// A census that is being made.
#[derive(Debug)]
pub(crate) struct Counting {
    parts: Vec<(Part, u64, blake3::Hasher)>,
    line: Vec<u8>,
}

impl Default for Counting {
    fn default() -> Self {
        let part = |part| (part, 0, blake3::Hasher::new());
        Self {
            parts: Part::ALL.into_iter().map(part).collect(),
            line: Vec::new(),
        }
    }
}

impl Counting {
    pub(crate) fn add(&mut self, part: Part, page: &Page) -> Result<()> {
        let Some((_, count, hasher)) = self.parts.iter_mut().find(|(it, ..)| *it == part) else {
            return Ok(());
        };
        *count += u64::from(page.count);
        let mut adding = Adding {
            hasher,
            line: &mut self.line,
        };
        adding.all(part, &page.rows)
    }

    pub(crate) fn end(self) -> Census {
        let parts = self.parts.into_iter();
        Census {
            parts: parts
                .map(|(part, count, hasher)| (part, count, hasher.finalize()))
                .collect(),
        }
    }
}

struct Adding<'a> {
    hasher: &'a mut blake3::Hasher,
    line: &'a mut Vec<u8>,
}

impl Adding<'_> {
    /// Hashes the rows of a page. Page boundaries must not matter: the rows of
    /// a part are in several lists, so every row that belongs to a row of
    /// another list is hashed with that row's key, and each list has a hash of
    /// its own.
    fn all(&mut self, part: Part, rows: &Changes) -> Result<()> {
        match part {
            Part::Sweeps => {
                for (new, row) in rows.new_sweeps.iter().zip(&rows.sweeps) {
                    self.row(&(new, row))?;
                }
                Ok(())
            }
            Part::Inputs => self.rows(&rows.inputs),
            Part::Pieces => self.rows(&rows.pieces),
            Part::Shipped => self.rows(&rows.shipped),
            Part::Cells => self.rows(&rows.cells),
            Part::SweepCells => self.rows(&rows.sweep_cells),
            Part::Workers => self.rows(&rows.workers),
            Part::Jobs => self.jobs(rows),
            Part::Late => self.rows(&rows.late),
            Part::Observations => self.rows(&rows.observations),
            Part::Logs => self.rows(rows.copied.as_ref().map_or(&[][..], |it| &it.logs)),
            Part::Requests => self.rows(&rows.requests),
            Part::Replications => self.rows(&rows.replications),
            Part::Decisions => self.rows(&rows.decisions),
            Part::Imports => self.rows(&rows.imports),
            Part::Credentials => self.rows(&rows.credentials),
        }
    }

    /// Hashes jobs one by one, each with what belongs to it.
    fn jobs(&mut self, rows: &Changes) -> Result<()> {
        let gone = rows.copied.as_ref().map_or(&[][..], |it| &it.gone);
        let (mut attempts, mut outcomes) = (&rows.attempts[..], &rows.outcomes[..]);
        let (mut ends, mut jobs, mut gone) = (&rows.ends[..], &rows.jobs[..], gone);
        let mut dropped = &rows.dropped[..];
        for new in &rows.new_jobs {
            let of = (
                take(&mut attempts, |row| row.job == new.key),
                take(&mut dropped, |row| row.job == new.key),
                take(&mut outcomes, |row| row.job == new.key),
                take(&mut ends, |row| row.job == new.key),
                take(&mut jobs, |row| row.key == new.key),
                take(&mut gone, |row| row.job == new.key),
            );
            self.row(&(new, of))?;
        }
        Ok(())
    }

    fn rows<T: Serialize>(&mut self, rows: &[T]) -> Result<()> {
        rows.iter().try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: &impl Serialize) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut *self.line, row).map_err(|error| StoreError::Failed {
            message: "a row cannot be written as JSON".to_owned(),
            source: Some(Box::new(error)),
        })?;
        self.line.push(b'\n');
        self.hasher.update(self.line);
        Ok(())
    }
}

/// Takes the first rows for which `of` is true; `rows` is then what follows.
pub(crate) fn take<'a, T>(rows: &mut &'a [T], of: impl Fn(&T) -> bool) -> &'a [T] {
    let end = rows.iter().position(|row| !of(row)).unwrap_or(rows.len());
    let (first, rest) = rows.split_at(end);
    *rows = rest;
    first
}
