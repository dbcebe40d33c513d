//! The audit log: who asked for what or was refused it, when, and from where.
//!
//! One JSON document per line. Each names the BLAKE3 digest of the line before it, so
//! no line can be changed, removed or put in between without a trace.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use swath_model::text::cut;
use swath_model::time::Timestamp;

use super::Caller;
use crate::identity::AUDIT;

/// The longest text of a field, in bytes.
const FIELD_BYTES_MAX: usize = 2048;
/// The longest line that is looked for at the end of the file, in bytes.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// How many refusals are noted one by one in a while; the others are counted.
const REFUSALS_MAX: u32 = 600;
const REFUSALS_WHILE_MS: i64 = 60_000;

/// Why nothing can be noted.
#[derive(Debug, thiserror::Error)]
#[error("the audit log {path} cannot be written: {error}")]
pub(crate) struct AuditError {
    path: String,
    error: io::Error,
}

/// What is noted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// Its number, from 1.
    pub number: u64,
    /// The digest of the line before it, as hex digits; of the first line, zeros.
    pub before: String,
    /// What is said.
    #[serde(flatten)]
    pub entry: AuditEntry,
}

/// Who asked for what, or was refused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, by the coordinator's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub who: String,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Which call.
    pub call: String,
    /// What it asked for, or why it was refused.
    pub what: String,
    /// `asked`, of somebody who may ask for such things, or `refused`.
    pub verdict: String,
    /// How many further refusals were not noted one by one since the line before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_refused: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl AuditEntry {
    pub(super) fn new(
        at: Timestamp,
        caller: &Caller,
        call: &str,
        what: impl Into<String>,
        verdict: &str,
    ) -> Self {
        Self {
            at_ms: at.as_ms(),
            who: caller.principal.to_string(),
            from: caller.address.map(|it| it.to_string()),
            call: cut(call.to_owned(), FIELD_BYTES_MAX),
            what: cut(what.into(), FIELD_BYTES_MAX),
            verdict: verdict.to_owned(),
            more_refused: 0,
        }
    }
}

/// An open audit log.
#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    refusals: Mutex<Refusals>,
}

/// Since when refusals are counted, how many were noted, and how many not.
#[derive(Debug, Default)]
struct Refusals {
    since_ms: i64,
    noted: u32,
    more: u64,
}

/// The end of the log, to which nobody else writes as long as this is there.
#[derive(Debug)]
struct Tail {
    file: File,
    number: u64,
    before: blake3::Hash,
}

impl Audit {
    /// Opens the log in `directory`, which goes on where it ended.
    pub(super) fn open(directory: &Path) -> Result<Self, AuditError> {
        let path = directory.join(AUDIT);
        let audit = Self {
            path,
            refusals: Mutex::default(),
        };
        // Told at a start rather than when the first change is refused for it.
        audit.locked(|_| Ok(()))?;
        Ok(audit)
    }

    /// Works on the end of the log, which commands and other coordinators with the same
    /// identity write too.
    fn locked(&self, work: impl FnOnce(&mut Tail) -> io::Result<()>) -> Result<(), AuditError> {
        let done = Tail::open(&self.path).and_then(|mut tail| work(&mut tail));
        done.map_err(|error| AuditError {
            path: self.path.display().to_string(),
            error,
        })
    }

    /// Notes something; it is on the disk when this returns.
    pub(super) fn write(&self, entry: &AuditEntry) -> Result<(), AuditError> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = AuditEntry {
            more_refused: std::mem::take(&mut refusals.more),
            ..entry.clone()
        };
        drop(refusals);
        self.locked(|tail| {
            tail.write(&entry)?;
            tail.file.sync_data()
        })
    }

    /// Notes a refusal. Many of them are counted rather than noted, so that nobody
    /// fills the disk with them.
    fn refuse(&self, entry: &AuditEntry) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.at_ms - refusals.since_ms >= REFUSALS_WHILE_MS {
            (refusals.since_ms, refusals.noted) = (entry.at_ms, 0);
        }
        refusals.noted += 1;
        if refusals.noted > REFUSALS_MAX {
            refusals.more += 1;
            return;
        }
        let entry = AuditEntry {
            more_refused: std::mem::take(&mut refusals.more),
            ..entry.clone()
        };
        drop(refusals);
        if let Err(error) = self.locked(|tail| tail.write(&entry)) {
            tracing::error!(%error, "a refusal is not noted");
        }
    }

    pub(super) fn refused(&self, at: Timestamp, caller: &Caller, call: &str, why: &str) {
        self.refuse(&AuditEntry::new(at, caller, call, why, "refused"));
    }
}

impl Tail {
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path)?;
        file.lock()?;
        let bytes = file.metadata()?.len();
        let from = bytes.saturating_sub(LINE_BYTES_MAX);
        file.seek(SeekFrom::Start(from))?;
        let mut end = Vec::new();
        (&file).take(LINE_BYTES_MAX).read_to_end(&mut end)?;
        if end.last().is_some_and(|it| *it != b'\n') {
            // Cut off by a crash: it stays, as a line that cannot be read.
            file.write_all(b"\n")?;
            end.push(b'\n');
        }
        let whole = end.strip_suffix(b"\n").unwrap_or_default();
        let last = whole.rsplit(|it| *it == b'\n').next().unwrap_or_default();
        let before = if last.is_empty() {
            blake3::Hash::from_bytes([0; 32])
        } else {
            blake3::hash(last)
        };
        let numbered = whole.rsplit(|it| *it == b'\n').enumerate();
        let mut numbered = numbered.filter_map(|(back, line)| {
            let line: AuditLine = serde_json::from_slice(line).ok()?;
            Some(line.number + back as u64)
        });
        Ok(Self {
            number: numbered.next().unwrap_or(u64::from(!last.is_empty())),
            file,
            before,
        })
    }

    fn write(&mut self, entry: &AuditEntry) -> io::Result<()> {
        let line = AuditLine {
            number: self.number + 1,
            before: self.before.to_hex().to_string(),
            entry: entry.clone(),
        };
        let mut text = serde_json::to_vec(&line)?;
        let digest = blake3::hash(&text);
        text.push(b'\n');
        self.file.write_all(&text)?;
        self.number += 1;
        self.before = digest;
        Ok(())
    }
}

/// What a check of an audit log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditVerdict {
    /// The lines that can be read.
    pub lines: Vec<AuditLine>,
    /// What is wrong, each with the number of its line.
    pub wrong: Vec<String>,
}

/// Reads an audit log and checks that its lines follow each other.
///
/// # Errors
///
/// When it cannot be read.
pub fn read_audit(path: &Path) -> io::Result<AuditVerdict> {
    let mut verdict = AuditVerdict::default();
    let mut before = blake3::Hash::from_bytes([0; 32]);
    let mut lines = BufReader::new(File::open(path)?);
    for number in 1.. {
        let mut text = Vec::new();
        let length = (&mut lines)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut text)?;
        if length == 0 {
            break;
        }
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        match serde_json::from_slice::<AuditLine>(text) {
            Err(_) => verdict.wrong.push(format!(
                "line {number} cannot be read; was it cut off by a crash?"
            )),
            Ok(line) => {
                if line.before != before.to_hex().as_str() {
                    verdict.wrong.push(format!(
                        "line {number} does not follow the one before it: lines were changed or \
                         removed"
                    ));
                } else if line.number != number {
                    verdict
                        .wrong
                        .push(format!("line {number} has the number {}", line.number));
                }
                verdict.lines.push(line);
            }
        }
        before = blake3::hash(text);
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests {
    use swath_model::access::Principal;

    use super::*;

    fn caller() -> Caller {
        Caller {
            principal: Principal::Anonymous,
            address: Some([10, 0, 0, 7].into()),
        }
    }

    fn entry(at: i64) -> AuditEntry {
        let at = Timestamp::from_ms(at);
        AuditEntry::new(
            at,
            &caller(),
            "/swath.v1.Control/Change",
            "cancel",
            "allowed",
        )
    }

    fn written(count: i64) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let audit = Audit::open(directory.path()).unwrap();
        for at in 0..count {
            audit.write(&entry(at)).unwrap();
        }
        let path = directory.path().join(AUDIT);
        (directory, path)
    }

    #[test]
    fn lines_follow_each_other_over_restarts() {
        let (directory, path) = written(3);
        let again = Audit::open(directory.path()).unwrap();
        again.write(&entry(9)).unwrap();
        let verdict = read_audit(&path).unwrap();
        assert_eq!(verdict.wrong, Vec::<String>::new());
        let numbers: Vec<_> = verdict.lines.iter().map(|it| it.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4]);
        assert_eq!(verdict.lines[3].entry.from.as_deref(), Some("10.0.0.7"));
    }

    #[test]
    fn every_change_leaves_a_trace() {
        let (_directory, path) = written(4);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let changed = text.replacen("cancel", "delete", 2);
        let without = [lines[0], lines[2], lines[3]].join("\n");
        let swapped = [lines[0], lines[2], lines[1], lines[3]].join("\n");
        for wrong in [changed, without, swapped] {
            std::fs::write(&path, wrong).unwrap();
            assert!(!read_audit(&path).unwrap().wrong.is_empty());
        }
    }

    #[test]
    fn a_line_that_was_cut_off_is_told_and_gone_on_from() {
        let (directory, path) = written(2);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() - 20]).unwrap();
        let audit = Audit::open(directory.path()).unwrap();
        audit.write(&entry(5)).unwrap();
        let verdict = read_audit(&path).unwrap();
        assert_eq!(verdict.wrong.len(), 1, "{verdict:?}");
        assert_eq!(verdict.lines[1].number, 3);
    }

    #[test]
    fn many_refusals_are_counted() {
        let (directory, path) = written(0);
        let audit = Audit::open(directory.path()).unwrap();
        let refuse = |at| {
            let at = Timestamp::from_ms(at);
            audit.refused(at, &caller(), "token", "unknown");
        };
        (0..10_000).for_each(|_| refuse(5));
        refuse(5 + REFUSALS_WHILE_MS);
        let lines = read_audit(&path).unwrap().lines;
        assert_eq!(lines.len(), REFUSALS_MAX as usize + 1);
        let more = lines.last().unwrap().entry.more_refused;
        assert_eq!(more, 10_000 - u64::from(REFUSALS_MAX));
    }
}
