//! Judgements over more than one job: is this worker broken, is this sweep
//! broken, how urgent is a job.

mod row;

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::cause::PauseCause;
use crate::id::{Attempt, CellDigest, JobDigest};
use crate::outcome::Fault;
use crate::policy::Policy;
use crate::view::SweepKind;

pub use self::row::{
    Failure, ROW_MAX, cordon, ends_with_a_measurement, excused, lengthened, weight,
};

/// The policy under which a job of this urgency takes an outcome. A probe that
/// ran out of memory has found what it was to find; another attempt would only
/// exhaust another worker's memory.
pub fn policy_for(policy: &Policy, urgency: Option<Urgency>, fault: Option<Fault>) -> Policy {
    let found = fault == Some(Fault::OutOfMemory) && urgency == Some(Urgency::Probe);
    Policy {
        charged_max: if found { 1 } else { policy.charged_max },
        ..policy.clone()
    }
}

/// The last fault of one job of a sweep. Two are equal if they are alike: the same
/// but for the numbers and paths of the attempt that their headlines tell.
#[derive(Clone, Debug)]
pub struct LastFault {
    /// The fault.
    pub fault: Fault,
    /// The first line of its message.
    pub headline: String,
}

impl LastFault {
    /// The words of the headline. `#` stands for paths with digits, and for words
    /// with digits in what the headline quotes, behind its first colon: a program
    /// that prints its loss tells another one in each job.
    fn pattern(&self) -> impl Iterator<Item = &str> {
        let (fact, quoted) = self
            .headline
            .split_once(": ")
            .unwrap_or((&self.headline, ""));
        let varies = |word: &str| word.bytes().any(|byte| byte.is_ascii_digit());
        let fact = fact.split_whitespace().map(move |word| match word {
            path if path.contains('/') && varies(path) => "#",
            word => word,
        });
        let quoted = quoted.split_whitespace();
        fact.chain(quoted.map(move |word| if varies(word) { "#" } else { word }))
    }
}

impl Ord for LastFault {
    fn cmp(&self, other: &Self) -> Ordering {
        let same = || self.pattern().cmp(other.pattern());
        self.fault.cmp(&other.fault).then_with(same)
    }
}

impl PartialOrd for LastFault {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for LastFault {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for LastFault {}

/// The first line of a fault's message.
pub fn headline(message: &str) -> &str {
    message.lines().next().unwrap_or("").trim()
}

/// Whether this fault can be the sweep's own doing, so that pausing helps.
pub const fn may_pause(fault: Fault) -> bool {
    Policy::charges(fault) || matches!(fault, Fault::Invalid)
}

/// How many jobs of a sweep remember a fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// The jobs.
    pub jobs: u64,
    /// The cells that have such a job.
    pub cells: u64,
}

/// The reason to pause a sweep, if there is one: none of its jobs has
/// succeeded, and the first ones that came to an outcome all failed alike, in
/// `pause_after` different cells. Replicates of one cell compute the same thing, so
/// they say nothing of the others. `faults` holds the last fault of each of its jobs
/// that has one, with the job's cell, and `newest` is the one that has just come.
/// Divergence is a result, not a reason to stop.
pub fn pause(
    any_succeeded: bool,
    faults: &[(CellDigest, LastFault)],
    newest: &LastFault,
    on_trial: bool,
    policy: &Policy,
) -> Option<PauseCause> {
    let alike = !any_succeeded && faults.iter().all(|(_, fault)| fault == newest);
    let cells: BTreeSet<CellDigest> = faults.iter().map(|(cell, _)| *cell).collect();
    let failures = Failures {
        jobs: faults.len() as u64,
        cells: cells.len() as u64,
    };
    alike.then(|| pause_alike(newest, failures, on_trial, policy))?
}

/// The reason to pause a sweep of which no job has succeeded and so many have
/// come to an outcome, all of them with this fault. While the sweep is
/// `on_trial` on another worker, that one will tell whether it is the sweep or the
/// host on which all of this has failed.
pub fn pause_alike(
    fault: &LastFault,
    failures: Failures,
    on_trial: bool,
    policy: &Policy,
) -> Option<PauseCause> {
    let enough = failures.cells >= u64::from(policy.pause_after);
    let pause = may_pause(fault.fault) && enough && !on_trial;
    pause.then(|| PauseCause::FailedAlike {
        jobs: failures.jobs,
        fault: fault.fault,
        headline: fault.headline.clone(),
    })
}

/// The random number in 0..1 for the backoff after this attempt. It is computed
/// from job and attempt, so that every store waits alike and a test can predict
/// it, while the jobs of one bad moment still spread out.
pub fn backoff_unit(job: JobDigest, attempt: Attempt) -> f64 {
    let mut hasher = blake3::Hasher::new_derive_key("swath backoff v1");
    hasher.update(job.as_bytes());
    hasher.update(&attempt.0.to_le_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // 53 bits fill the fraction of a double exactly, so the number stays below
    // 1.
    (u64::from_le_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

/// How a sweep affects the urgency of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whether the sweep is not cancelled.
    pub live: bool,
    /// Whether its jobs are held back.
    pub paused: bool,
    /// What the sweep is for.
    pub kind: SweepKind,
    /// Jobs with a greater priority go first.
    pub priority: i32,
}

impl Wish {
    /// Whether a failure of its jobs may be their worker's doing: it must want them,
    /// and not as probes, because a probe is there to find out what fails.
    pub const fn blames(&self) -> bool {
        self.live && !self.paused && matches!(self.kind, SweepKind::Training)
    }
}

/// How urgent a job is; the greatest is granted first. Probes take only slots
/// that nothing else wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Only sweeps of probes want it.
    Probe,
    /// The greatest priority of the sweeps that want it trained.
    Training(i32),
}

/// Whether any live sweep, paused or not, needs the job: if none does, it is
/// cancelled.
pub fn needed(wishes: impl IntoIterator<Item = Wish>) -> bool {
    wishes.into_iter().any(|wish| wish.live)
}

/// A job's urgency: the greatest among the live, unpaused sweeps that want it;
/// `None` if the job is not to be granted.
pub fn urgency(wishes: impl IntoIterator<Item = Wish>) -> Option<Urgency> {
    wishes
        .into_iter()
        .filter(|wish| wish.live && !wish.paused)
        .map(|wish| match wish.kind {
            SweepKind::Probe => Urgency::Probe,
            SweepKind::Training => Urgency::Training(wish.priority),
        })
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    fn job(byte: u8) -> JobDigest {
        JobDigest::from_bytes([byte; 32])
    }

    fn fault(fault: Fault, headline: &str) -> LastFault {
        LastFault {
            fault,
            headline: headline.to_owned(),
        }
    }

    #[test]
    fn a_sweep_is_paused_only_when_all_fail_alike() {
        let policy = Policy::default();
        let cells = |fault: LastFault, cells: [u8; 3]| {
            cells.map(|cell| (CellDigest::from_bytes([cell; 32]), fault.clone()))
        };
        let same = cells(fault(Fault::Invalid, "no data"), [1, 2, 3]);
        let cause = PauseCause::FailedAlike {
            jobs: 3,
            fault: Fault::Invalid,
            headline: "no data".to_owned(),
        };
        let pause = |succeeded, faults: &[(CellDigest, LastFault)], policy: &Policy| {
            pause(succeeded, faults, &faults.last().unwrap().1, false, policy)
        };
        assert_eq!(pause(false, &same, &policy), Some(cause));
        let newest = &same[2].1;
        assert_eq!(super::pause(false, &same, newest, true, &policy), None);
        assert_eq!(pause(true, &same, &policy), None);
        assert_eq!(pause(false, &same[..2], &policy), None);
        let diverged = cells(fault(Fault::Diverged, "loss is NaN"), [1, 2, 3]);
        assert_eq!(pause(false, &diverged, &policy), None);
        let mut mixed = same.clone();
        mixed[1].1.headline = "other".to_owned();
        assert_eq!(pause(false, &mixed, &policy), None);
        // Replicates of two cells, and one of a third.
        let few = [same.clone(), cells(same[0].1.clone(), [1, 2, 2])].concat();
        assert_eq!(pause(false, &few[3..], &policy), None);
        let paused = pause(false, &few, &policy);
        assert!(matches!(
            paused,
            Some(PauseCause::FailedAlike { jobs: 6, .. })
        ));
    }

    #[test]
    fn faults_are_alike_but_for_what_each_attempt_tells_otherwise() {
        let alike =
            |left: &str, right: &str| fault(Fault::Crashed, left) == fault(Fault::Crashed, right);
        for (left, right) in [
            (
                "no line has `acc`: epoch 1/3, val 0.84",
                "no line has `acc`: epoch 2/3, val 1e-3",
            ),
            (
                "cannot read /o/4f2a-1/log.json: gone",
                "cannot read /o/77aa-3/log.json: gone",
            ),
            ("`acc` is no number: `1,5`", "`acc` is no number: `0x10`"),
        ] {
            assert!(alike(left, right), "{left}");
        }
        for (left, right) in [
            ("exit code 1: killed", "exit code 2: killed"),
            ("exit code 1: KeyError: 'lr'", "exit code 1: KeyError: 'wd'"),
            ("exit code 1", "exit code 1: 7"),
            ("no data", "other"),
        ] {
            assert!(!alike(left, right), "{left}");
        }
        assert_ne!(fault(Fault::Crashed, "x"), fault(Fault::Invalid, "x"));
    }

    #[test]
    fn backoff_units_spread_and_stay() {
        let units: Vec<f64> = (0..200).map(|n| backoff_unit(job(n), Attempt(1))).collect();
        assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = units.iter().sum::<f64>() / 200.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
        let again = |attempt| backoff_unit(job(1), Attempt(attempt)).to_bits();
        assert_ne!(again(2), units[1].to_bits());
        assert_eq!(again(1), units[1].to_bits());
    }

    #[test]
    fn a_job_is_as_urgent_as_its_most_urgent_open_sweep() {
        let wish = |live, paused, priority| Wish {
            live,
            paused,
            kind: SweepKind::Training,
            priority,
        };
        assert_eq!(
            urgency([wish(true, true, 9), wish(true, false, 1)]),
            Some(Urgency::Training(1))
        );
        assert_eq!(urgency([wish(false, false, 9)]), None);
        let probe = Wish {
            kind: SweepKind::Probe,
            ..wish(true, false, 9)
        };
        assert_eq!(urgency([probe]), Some(Urgency::Probe));
        assert_eq!(
            urgency([probe, wish(true, false, i32::MIN)]),
            Some(Urgency::Training(i32::MIN))
        );
        assert!(needed([wish(true, true, 9)]));
    }
}
