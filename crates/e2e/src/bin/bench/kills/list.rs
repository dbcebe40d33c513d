//! The list beside the store: what the coordinator acknowledged, with its exact numbers.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;
use swath_proto::v1;

use crate::text::Checked;

/// What scripted workers saw of all jobs.
#[derive(Debug, Default)]
pub(crate) struct List {
    jobs: Mutex<Jobs>,
}

#[derive(Debug, Default)]
struct Jobs {
    by_digest: HashMap<Vec<u8>, Seen>,
    acknowledged: usize,
    newest: Option<Instant>,
    counts: Counts,
    /// What must not be, in words; the first few.
    faults: Vec<String>,
}

/// What must stay small, and mostly 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Jobs that were granted anew while a worker had them.
    pub(crate) reruns: usize,
    /// Outcomes that came too late.
    pub(crate) stale: usize,
    /// Outcomes that had been recorded, but not said to be.
    pub(crate) repeated: usize,
    /// Attempts that no worker heard of.
    pub(crate) unheard: usize,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// The newest attempt that a worker heard of.
    granted: u32,
    acknowledged: Option<(u32, Numbers)>,
}

/// The numbers of an outcome, bit by bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    test_error: u64,
    test_loss: u64,
    best_test_error: u64,
    train_seconds: u64,
}

/// The most faults that are kept in words.
const FAULTS: usize = 5;

impl List {
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A worker heard that it has this attempt.
    pub(crate) fn granted(&self, held: &v1::Held) {
        let mut jobs = self.jobs();
        let seen = jobs.by_digest.entry(held.job.clone()).or_default();
        let before = seen.granted;
        seen.granted = before.max(held.attempt);
        // A slow word of an older attempt may come late.
        let done = seen.acknowledged;
        if done.is_some_and(|(attempt, _)| held.attempt > attempt) {
            let fault = format!("{} was granted after its outcome", short(&held.job));
            jobs.fault(fault);
        }
        if held.attempt > before {
            jobs.counts.reruns += usize::from(before > 0);
            jobs.counts.unheard += (held.attempt - before - 1) as usize;
        }
    }

    /// The coordinator's word on an outcome.
    pub(crate) fn answered(&self, finish: &v1::Finish, ack: i32) {
        let mut jobs = self.jobs();
        match ack {
            _ if ack == v1::Ack::Recorded as i32 => jobs.acknowledge(finish),
            _ if ack == v1::Ack::AlreadyRecorded as i32 => {
                jobs.counts.repeated += 1;
                jobs.acknowledge(finish);
            }
            _ if ack == v1::Ack::Stale as i32 => jobs.counts.stale += 1,
            _ => jobs.fault(format!("an outcome was answered with {ack}")),
        }
    }

    /// How many outcomes were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.jobs().acknowledged
    }

    /// How many jobs a worker heard of.
    pub(crate) fn heard_of(&self) -> usize {
        self.jobs().by_digest.len()
    }

    /// When an outcome was last acknowledged.
    pub(crate) fn newest(&self) -> Option<Instant> {
        self.jobs().newest
    }

    pub(crate) fn counts(&self) -> Counts {
        self.jobs().counts
    }

    /// Compares with a document of jobs, which must be all jobs: each has one outcome, the acknowledged one.
    pub(crate) fn check(&self, documents: &[Value]) -> Checked {
        let jobs = self.jobs();
        if let Some(fault) = jobs.faults.first() {
            return Err(format!("{} ({} in all)", fault, jobs.faults.len()));
        }
        let mut stored = HashMap::new();
        for job in documents {
            let digest = job["digest"].as_str().unwrap_or_default().to_owned();
            if stored.insert(digest.clone(), job).is_some() {
                return Err(format!("the job {digest} is there twice"));
            }
        }
        for (digest, seen) in &jobs.by_digest {
            let Some((attempt, numbers)) = seen.acknowledged else {
                continue;
            };
            let name = hex(digest);
            let Some(job) = stored.get(&name) else {
                return Err(format!("the job {name} was acknowledged and is not there"));
            };
            let same = job["state"] == "succeeded"
                && job["attempt"] == attempt
                && Numbers::stored(&job["measurement"]) == Some(numbers);
            if !same {
                return Err(format!(
                    "acknowledged was attempt {attempt} with {numbers:?}, stored is {job}"
                ));
            }
        }
        if jobs.acknowledged != stored.len() {
            let (list, store) = (jobs.acknowledged, stored.len());
            return Err(format!("{list} outcomes acknowledged, {store} jobs stored"));
        }
        Ok(())
    }
}

impl Jobs {
    fn acknowledge(&mut self, finish: &v1::Finish) {
        let Some((held, numbers)) = finish.held.as_ref().zip(Numbers::told(finish)) else {
            return;
        };
        self.newest = Some(Instant::now());
        let seen = self.by_digest.entry(held.job.clone()).or_default();
        match seen.acknowledged {
            None => {
                seen.acknowledged = Some((held.attempt, numbers));
                self.acknowledged += 1;
            }
            Some(known) if known == (held.attempt, numbers) => {}
            Some(known) => self.fault(format!(
                "two outcomes of {} were acknowledged: {known:?} and attempt {}",
                short(&held.job),
                held.attempt
            )),
        }
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }
}

impl Numbers {
    fn told(finish: &v1::Finish) -> Option<Self> {
        let Some(v1::finish::Outcome::Measured(told)) = &finish.outcome else {
            return None;
        };
        let bits = |name| told.values.get(name).map(|value| value.to_bits());
        Some(Self {
            test_error: bits("test_error")?,
            test_loss: bits("test_loss")?,
            best_test_error: bits("best_test_error")?,
            train_seconds: told.train_seconds.to_bits(),
        })
    }

    fn stored(measurement: &Value) -> Option<Self> {
        let bits = |key: &str| Some(measurement[key].as_f64()?.to_bits());
        Some(Self {
            test_error: bits("test_error")?,
            test_loss: bits("test_loss")?,
            best_test_error: bits("best_test_error")?,
            train_seconds: bits("train_seconds")?,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn short(bytes: &[u8]) -> String {
    hex(bytes).chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn finish(attempt: u32, test_error: f64) -> v1::Finish {
        let measurement = v1::Measurement {
            values: [
                ("test_error".to_owned(), test_error),
                ("test_loss".to_owned(), 0.1),
                ("best_test_error".to_owned(), test_error),
            ]
            .into(),
            train_seconds: 1.0,
            ..v1::Measurement::default()
        };
        v1::Finish {
            held: Some(v1::Held {
                job: vec![7; 32],
                attempt,
                lease: Vec::new(),
            }),
            outcome: Some(v1::finish::Outcome::Measured(measurement)),
            provenance: None,
        }
    }

    fn stored(attempt: u32, test_error: f64) -> Value {
        json!({"digest": "07".repeat(32), "attempt": attempt, "state": "succeeded", "measurement": {
            "test_error": test_error, "test_loss": 0.1, "best_test_error": test_error, "train_seconds": 1.0,
        }})
    }

    #[test]
    fn what_is_lost_doubled_or_changed_is_found() {
        let recorded = v1::Ack::Recorded as i32;
        let list = List::default();
        list.answered(&finish(1, 0.3), recorded);
        list.answered(&finish(1, 0.3), v1::Ack::AlreadyRecorded as i32);
        assert_eq!(list.check(&[stored(1, 0.3)]), Ok(()));
        assert!(list.check(&[]).is_err(), "lost");
        let last_bit = f64::from_bits(0.3_f64.to_bits() + 1);
        assert!(list.check(&[stored(1, last_bit)]).is_err(), "changed");
        assert!(list.check(&[stored(2, 0.3)]).is_err(), "another attempt");
        let twice = [stored(1, 0.3), stored(1, 0.3)];
        assert!(list.check(&twice).is_err(), "doubled");
        list.answered(&finish(2, 0.4), recorded);
        assert!(list.check(&[stored(1, 0.3)]).is_err(), "two acknowledged");
    }

    #[test]
    fn a_job_that_is_granted_anew_is_counted() {
        let list = List::default();
        let held = |attempt| v1::Held {
            job: vec![7; 32],
            attempt,
            lease: Vec::new(),
        };
        list.granted(&held(1));
        list.granted(&held(1));
        assert_eq!(list.counts().reruns, 0, "the same grant, heard twice");
        list.granted(&held(3));
        assert_eq!((list.counts().reruns, list.counts().unheard), (1, 1));
    }
}
