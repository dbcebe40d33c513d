//! Outcomes on the disk until the coordinator has them, and a while longer.
//!
//! The spool is a directory of append-only segments of checksummed lines. An
//! outcome is synced before it is offered, so `kill -9` loses none; a torn or
//! damaged line costs only that line. Acknowledged outcomes stay for a week, so
//! that a coordinator whose store was lost can get them again. Then whole
//! segments are deleted, oldest first.

mod identity;
mod lock;
mod record;
mod service;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use swath_model::id::StateId;
use swath_model::message::Held;

use self::lock::Lock;
use self::record::{Ended, Record};
pub use self::service::Service;
pub(crate) use self::service::now_ms;
use crate::leases::Leases;
use swath_agent::Entry;

/// How long acknowledged outcomes are kept.
pub const KEPT: Duration = Duration::from_hours(7 * 24);

/// Limits of the spool's size.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A segment that has reached this size is followed by another.
    segment_bytes: u64,
    /// The most bytes of acknowledged outcomes; above that the oldest are
    /// deleted early.
    kept_bytes: u64,
}

const LIMITS: Limits = Limits {
    segment_bytes: 8 << 20,
    kept_bytes: 128 << 20,
};

/// The most acknowledged outcomes that are handed to the agent.
const RECENT_MAX: usize = 1024;

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another worker has the directory.
    #[error(
        "the state directory {} belongs to a running worker (process {pid}); \
         stop that one, or give this one another --name or --state-dir", path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that has it, if that is known.
        pid: String,
    },
    /// The directory was removed while a worker had it.
    #[error(
        "the state directory {} was removed or replaced while this worker runs", path.display()
    )]
    Gone {
        /// The directory.
        path: PathBuf,
    },
    /// The directory is now that of another worker.
    #[error(
        "the state directory {} was replaced by another worker's; put back the one that this \
         worker began with, or remove it", path.display()
    )]
    Replaced {
        /// The directory.
        path: PathBuf,
    },
    /// The directory cannot be used.
    #[error(
        "the state directory {} cannot be {doing}: {source}; \
         give a directory that this user can write with --state-dir", path.display()
    )]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What could not be done.
        doing: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
}

impl SpoolError {
    fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            path,
            doing,
            source,
        }
    }
}

/// What the spool contained at the start.
#[derive(Debug)]
pub struct Restored {
    /// The name of the state directory.
    pub state_id: StateId,
    /// Outcomes that the coordinator does not have, oldest first.
    pub open: Vec<Entry>,
    /// The newest outcomes that the coordinator has, oldest first.
    pub recent: Vec<Entry>,
    /// Lines that could not be read.
    pub damaged: u64,
}

/// One segment.
#[derive(Debug, Default)]
struct Segment {
    bytes: u64,
    /// Outcomes in it that are not acknowledged yet.
    open: BTreeSet<Held>,
    /// When it was last written to, by the worker's clock.
    touched_ms: u64,
}

/// The open spool.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limits: Limits,
    segments: BTreeMap<u64, Segment>,
    /// The segment with the newest copy of each unacknowledged outcome.
    place: HashMap<Held, u64>,
    /// The segment that is being written.
    current: Option<(u64, File)>,
    state_id: StateId,
    /// None while the directory is not there.
    lock: Option<Lock>,
    /// Written and read with the outcomes.
    leases: Leases,
}

impl Spool {
    /// Opens the spool in `directory`, and creates it if necessary.
    ///
    /// # Errors
    ///
    /// When another worker has it open, or it cannot be written.
    pub fn open(
        directory: &Path,
        leases: &Leases,
        now_ms: u64,
    ) -> Result<(Self, Restored), SpoolError> {
        let lock = lock(directory)?;
        let mut spool = Self {
            directory: directory.to_owned(),
            limits: LIMITS,
            segments: BTreeMap::new(),
            place: HashMap::new(),
            current: None,
            state_id: identity::of(directory)?,
            lock: Some(lock),
            leases: leases.clone(),
        };
        let restored = spool.begin(now_ms)?;
        let recent = restored.recent.iter().map(|entry| entry.finish.held);
        leases.over(recent);
        Ok((spool, restored))
    }

    fn begin(&mut self, now_ms: u64) -> Result<Restored, SpoolError> {
        let directory = self.directory.clone();
        let restored = self
            .load(self.state_id)
            .map_err(SpoolError::io(&directory, "read"))?;
        // A disk that cannot be written now could not be written after hours of
        // training either.
        self.append(&[Record::Probe], now_ms)
            .map_err(SpoolError::io(&directory, "written"))?;
        self.compact(now_ms);
        Ok(restored)
    }

    /// Whether the directory is still the one that was opened.
    ///
    /// # Errors
    ///
    /// When it is not.
    pub fn look(&self) -> Result<(), SpoolError> {
        if self.lock.as_ref().is_some_and(Lock::is_in_place) {
            return Ok(());
        }
        let path = self.directory.clone();
        Err(SpoolError::Gone { path })
    }

    /// Begins again in a directory that was removed. Only what is put from now on is in it.
    ///
    /// # Errors
    ///
    /// When it is another worker's by now, or cannot be written.
    pub fn begin_again(&mut self, now_ms: u64) -> Result<(), SpoolError> {
        // This process may have locked what is still there of it.
        self.lock = None;
        let lock = lock(&self.directory)?;
        identity::restore(&self.directory, self.state_id)?;
        self.segments.clear();
        self.place.clear();
        self.current = None;
        self.begin(now_ms)?;
        self.lock = Some(lock);
        Ok(())
    }

    fn load(&mut self, state_id: StateId) -> io::Result<Restored> {
        let mut restored = Restored {
            state_id,
            open: Vec::new(),
            recent: Vec::new(),
            damaged: 0,
        };
        let mut entries: HashMap<Held, (u64, Entry)> = HashMap::new();
        let mut done: HashSet<Held> = HashSet::new();
        let mut order = 0_u64;
        for number in self.segment_numbers()? {
            let path = self.path(number);
            let bytes = std::fs::read(&path)?;
            let touched_ms = modified_ms(&path);
            let mut segment = Segment {
                bytes: bytes.len() as u64,
                open: BTreeSet::new(),
                touched_ms,
            };
            for line in bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
            {
                match record::read(line) {
                    Some(Record::Outcome(ended)) => {
                        let lease = ended.lease();
                        let entry = ended.into_entry();
                        let held = entry.finish.held;
                        self.leases.keep(held, lease);
                        // A copy after the acknowledgement means that the
                        // coordinator had lost it and needs it again.
                        done.remove(&held);
                        self.move_to(held, number, &mut segment);
                        order += 1;
                        entries.insert(held, (order, entry));
                    }
                    Some(Record::Acknowledged { job, attempt, .. }) => {
                        let held = Held { job, attempt };
                        done.insert(held);
                        segment.open.remove(&held);
                        self.close(held);
                    }
                    Some(Record::Probe) => {}
                    None => restored.damaged += 1,
                }
            }
            self.segments.insert(number, segment);
            self.current = self.reopen(number, &bytes)?;
        }
        let mut entries: Vec<_> = entries.into_values().collect();
        entries.sort_by_key(|(order, _)| *order);
        for (_, entry) in entries {
            if done.contains(&entry.finish.held) {
                restored.recent.push(entry);
            } else {
                restored.open.push(entry);
            }
        }
        let excess = restored.recent.len().saturating_sub(RECENT_MAX);
        restored.recent.drain(..excess);
        Ok(restored)
    }

    /// Goes on with the last segment, unless its end is torn.
    fn reopen(&self, number: u64, bytes: &[u8]) -> io::Result<Option<(u64, File)>> {
        if bytes.last().is_some_and(|last| *last != b'\n') {
            return Ok(None);
        }
        let file = OpenOptions::new().append(true).open(self.path(number))?;
        Ok(Some((number, file)))
    }

    /// Notes that the newest copy of this outcome is in segment `number`.
    fn move_to(&mut self, held: Held, number: u64, segment: &mut Segment) {
        self.close(held);
        segment.open.insert(held);
        self.place.insert(held, number);
    }

    fn close(&mut self, held: Held) {
        if let Some(number) = self.place.remove(&held)
            && let Some(segment) = self.segments.get_mut(&number)
        {
            segment.open.remove(&held);
        }
    }

    /// Writes outcomes and syncs them. An empty list only checks whether the
    /// disk can be written.
    ///
    /// # Errors
    ///
    /// When the disk refuses; nothing then counts as written.
    pub fn put(&mut self, entries: &[Entry], now_ms: u64) -> io::Result<()> {
        let mut records: Vec<_> = entries
            .iter()
            .map(|entry| {
                Record::Outcome(Box::new(Ended::new(
                    entry,
                    &self.leases.of(entry.finish.held),
                )))
            })
            .collect();
        if records.is_empty() {
            records.push(Record::Probe);
        }
        let number = self.append(&records, now_ms)?;
        let mut segment = self.segments.remove(&number).unwrap_or_default();
        for entry in entries {
            self.move_to(entry.finish.held, number, &mut segment);
        }
        self.segments.insert(number, segment);
        Ok(())
    }

    /// Marks outcomes as acknowledged. This is not synced: a lost mark costs
    /// one more delivery, which changes nothing.
    ///
    /// # Errors
    ///
    /// When the disk refuses.
    pub fn acknowledge(&mut self, held: &[Held], now_ms: u64) -> io::Result<()> {
        let records: Vec<_> = held
            .iter()
            .map(|held| Record::Acknowledged {
                job: held.job,
                attempt: held.attempt,
                at_ms: now_ms,
            })
            .collect();
        for held in held {
            self.close(*held);
        }
        self.write(&records, now_ms, false)?;
        Ok(())
    }

    fn append(&mut self, records: &[Record], now_ms: u64) -> io::Result<u64> {
        self.write(records, now_ms, true)
    }

    fn write(&mut self, records: &[Record], now_ms: u64, sync: bool) -> io::Result<u64> {
        let mut bytes = Vec::new();
        for record in records {
            record::write(record, &mut bytes)?;
        }
        let limit = self.limits.segment_bytes;
        let full = |segment: &Segment| segment.bytes >= limit;
        if let Some((number, _)) = &self.current
            && self.segments.get(number).is_some_and(full)
        {
            self.current = None;
            self.compact(now_ms);
        }
        let (number, mut file) = match self.current.take() {
            Some(current) => current,
            None => self.begin_segment(now_ms)?,
        };
        let written = file.write_all(&bytes);
        if let Err(error) = written.and_then(|()| if sync { file.sync_data() } else { Ok(()) }) {
            // The kernel may have dropped what it could not sync: this segment
            // is left as it is, and another is begun.
            self.drop_if_empty(number);
            return Err(error);
        }
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.bytes += bytes.len() as u64;
            segment.touched_ms = now_ms;
        }
        self.current = Some((number, file));
        Ok(number)
    }

    /// A full disk must not leave one file per try.
    fn drop_if_empty(&mut self, number: u64) {
        let empty = |segment: &Segment| segment.bytes == 0;
        if self.segments.get(&number).is_some_and(empty)
            && std::fs::remove_file(self.path(number)).is_ok()
        {
            self.segments.remove(&number);
        }
    }

    fn begin_segment(&mut self, now_ms: u64) -> io::Result<(u64, File)> {
        let number = self.segments.keys().next_back().map_or(1, |last| last + 1);
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(self.path(number))?;
        // The name of a new file is durable only once its directory is synced.
        File::open(&self.directory)?.sync_all()?;
        let segment = Segment {
            touched_ms: now_ms,
            ..Segment::default()
        };
        self.segments.insert(number, segment);
        Ok((number, file))
    }

    /// Deletes segments whose outcomes are all acknowledged and old enough,
    /// oldest first: an acknowledgement never goes before its outcome.
    pub fn compact(&mut self, now_ms: u64) {
        let kept_ms = KEPT.as_millis() as u64;
        let current = self.current.as_ref().map(|(number, _)| *number);
        let mut total: u64 = self.segments.values().map(|segment| segment.bytes).sum();
        while let Some((&number, segment)) = self.segments.first_key_value() {
            let old = segment.touched_ms.saturating_add(kept_ms) <= now_ms;
            let needed = !segment.open.is_empty() || Some(number) == current;
            if needed || !(old || total > self.limits.kept_bytes) {
                return;
            }
            total -= segment.bytes;
            if let Err(error) = std::fs::remove_file(self.path(number)) {
                tracing::warn!(%error, segment = number, "an old segment of the spool cannot be deleted");
            }
            self.segments.remove(&number);
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("outcomes-{number:08}.jsonl"))
    }

    fn segment_numbers(&self) -> io::Result<BTreeSet<u64>> {
        let mut numbers = BTreeSet::new();
        for file in std::fs::read_dir(&self.directory)? {
            let name = file?.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_prefix("outcomes-"))
                .and_then(|name| name.strip_suffix(".jsonl"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        Ok(numbers)
    }
}

/// Makes the directory, if necessary, and takes it.
fn lock(directory: &Path) -> Result<Lock, SpoolError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(SpoolError::io(directory, "made"))?;
    Lock::take(directory)
}

fn modified_ms(path: &Path) -> u64 {
    let modified = std::fs::metadata(path)
        .and_then(|data| data.modified())
        .ok();
    let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_millis() as u64)
}
