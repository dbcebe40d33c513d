//! Files of programs that travel with their sweeps to the workers. Each is kept
//! once, as long as a sweep needs it; what was sent for a sweep that never came
//! is kept for a day.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use swath_model::id::InputDigest;
use swath_model::message::InputFile;
use swath_model::program::{INPUTS_BYTES_MAX, INPUTS_MAX};
use swath_model::time::Timestamp;
use swath_store::{InputKey, InputPiece, NewInput, ShippedInput, Start, StoreError, SweepKey};

use super::{Ledger, Result};

/// How long a file is kept that travels with no sweep.
const IDLE_KEPT: Duration = Duration::from_hours(24);

/// Every file that is kept.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    files: BTreeMap<InputDigest, File>,
    /// The files of each sweep that has some.
    sweeps: BTreeMap<SweepKey, BTreeSet<InputDigest>>,
    /// By sweep, others that have all of its files too: what is known need not be looked
    /// at again for each cell.
    handed_on: BTreeMap<SweepKey, BTreeSet<SweepKey>>,
    /// Files that travel with no sweep, by when they came.
    idle: BTreeSet<(Timestamp, InputDigest)>,
    /// Those of them whose time is over. They go at the end of the batch, unless
    /// a call before that needs one.
    over: BTreeSet<InputDigest>,
    pub(super) last: InputKey,
}

#[derive(Debug)]
struct File {
    key: InputKey,
    bytes: u64,
    since: Timestamp,
    /// How many sweeps it travels with.
    sweeps: usize,
}

impl Inputs {
    pub(super) fn start(start: &Start) -> Self {
        let mut inputs = Self::default();
        let mut digests = BTreeMap::new();
        for row in &start.inputs {
            inputs.add(row);
            digests.insert(row.key, row.digest);
        }
        for row in &start.shipped {
            if let Some(digest) = digests.get(&row.input) {
                inputs.hold(row.sweep, *digest);
            }
        }
        inputs
    }

    fn add(&mut self, row: &NewInput) {
        self.last = self.last.max(row.key);
        self.idle.insert((row.at, row.digest));
        let file = File {
            key: row.key,
            bytes: row.bytes,
            since: row.at,
            sweeps: 0,
        };
        self.files.insert(row.digest, file);
    }

    /// Lets a file travel with a sweep; returns its key if it did not before.
    fn hold(&mut self, sweep: SweepKey, digest: InputDigest) -> Option<InputKey> {
        let file = self.files.get_mut(&digest)?;
        if !self.sweeps.entry(sweep).or_default().insert(digest) {
            return None;
        }
        file.sweeps += 1;
        self.handed_on.remove(&sweep);
        self.idle.remove(&(file.since, digest));
        self.over.remove(&digest);
        Some(file.key)
    }

    fn remove(&mut self, digest: InputDigest) -> Option<InputKey> {
        let file = self.files.remove(&digest)?;
        self.idle.remove(&(file.since, digest));
        Some(file.key)
    }

    /// Whether the counts are right, and files were handed on where it says so.
    pub(super) fn is_sound(&self) -> bool {
        let none = BTreeSet::new();
        let of = |sweep| self.sweeps.get(sweep).unwrap_or(&none);
        let mut handed_on = self.handed_on.iter();
        handed_on.all(|(from, all)| all.iter().all(|to| of(from).is_subset(of(to))))
            && self.files.iter().all(|(digest, file)| {
                let sweeps = self.sweeps.values().filter(|it| it.contains(digest));
                let is_idle = self.idle.contains(&(file.since, *digest));
                sweeps.count() == file.sweeps && is_idle == (file.sweeps == 0)
            })
    }
}

impl Ledger {
    /// Keeps files; returns how many were not kept before.
    pub fn keep_inputs(&mut self, now: Timestamp, files: Vec<InputFile>) -> u64 {
        let mut kept = 0;
        for file in files {
            self.inputs.over.remove(&file.digest);
            if self.inputs.files.contains_key(&file.digest) {
                continue;
            }
            let new = NewInput {
                key: self.inputs.last.next(),
                digest: file.digest,
                bytes: file.bytes(),
                at: now,
            };
            self.inputs.add(&new);
            self.changes.inputs.push(new);
            let pieces = (1..).zip(file.pieces);
            self.changes
                .pieces
                .extend(pieces.map(|(place, content)| InputPiece {
                    input: new.key,
                    place,
                    content,
                }));
            kept += 1;
        }
        kept
    }

    /// Refuses a sweep whose files are not all here, or are too large.
    pub(super) fn check_shipped(&self, ships: &[InputDigest]) -> Result<()> {
        let files = ships.iter().map(|digest| self.inputs.files.get(digest));
        let missing = files.clone().filter(Option::is_none).count();
        if missing > 0 {
            return Err(StoreError::Conflict(format!(
                "{missing} of the files that travel with the sweep are not here; submit it again, \
                 which sends them"
            )));
        }
        let bytes: u64 = files.flatten().map(|file| file.bytes).sum();
        if ships.len() > INPUTS_MAX || bytes > INPUTS_BYTES_MAX {
            return Err(StoreError::Conflict(format!(
                "{} files of {bytes} bytes would travel with the sweep; at most {INPUTS_MAX}, of \
                 {} MiB together",
                ships.len(),
                INPUTS_BYTES_MAX >> 20
            )));
        }
        Ok(())
    }

    /// Lets files travel with a sweep, all of which are here.
    pub(super) fn ship(&mut self, sweep: SweepKey, ships: impl IntoIterator<Item = InputDigest>) {
        for digest in ships {
            if let Some(input) = self.inputs.hold(sweep, digest) {
                self.changes.shipped.push(ShippedInput { sweep, input });
            }
        }
    }

    /// Lets the files of one sweep travel with another one too, which goes on
    /// with a cell that is started from them.
    pub(super) fn ship_on(&mut self, from: SweepKey, to: SweepKey) {
        if self.inputs.handed_on.entry(from).or_default().insert(to) {
            let files = self.inputs.sweeps.get(&from).cloned().unwrap_or_default();
            self.ship(to, files);
        }
    }

    /// Deletes the files of a sweep that travel with no other one.
    pub(super) fn unship(&mut self, sweep: SweepKey) {
        self.inputs.handed_on.remove(&sweep);
        for others in self.inputs.handed_on.values_mut() {
            others.remove(&sweep);
        }
        for digest in self.inputs.sweeps.remove(&sweep).unwrap_or_default() {
            let Some(file) = self.inputs.files.get_mut(&digest) else {
                continue;
            };
            file.sweeps -= 1;
            if file.sweeps == 0 {
                let gone = self.inputs.remove(digest);
                self.changes.deleted.inputs.extend(gone);
            }
        }
    }

    /// Notes which files no sweep has come for.
    pub(super) fn note_idle_inputs(&mut self, now: Timestamp) {
        let idle = self.inputs.idle.iter();
        let over = idle.take_while(|(since, _)| now.since(*since) > IDLE_KEPT);
        self.inputs.over.extend(over.map(|(_, digest)| *digest));
    }

    /// Deletes those of them that no call has asked for since.
    pub(super) fn delete_idle_inputs(&mut self) {
        for digest in std::mem::take(&mut self.inputs.over) {
            let gone = self.inputs.remove(digest);
            self.changes.deleted.inputs.extend(gone);
        }
    }
}
