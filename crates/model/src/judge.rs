//! Judgements over more than one job: is this worker broken, is this sweep
//! broken, how urgent is a job.

use crate::cause::{CordonCause, PauseCause};
use crate::id::{Attempt, JobDigest};
use crate::outcome::Fault;
use crate::policy::Policy;
use crate::view::SweepKind;

/// The different jobs that a worker has failed in a row, after one more
/// outcome: a fault, or a measurement. A measurement ends the row, see [`over`].
/// Only charged faults lengthen it, because the others are the job's own doing or
/// nobody's.
/// A job that is not `wanted` (all its sweeps are paused) was granted before
/// the pause, and what paused them is not the worker's doing. Nor is what fails
/// on other workers too, `elsewhere`: then it is the job.
pub fn streak(
    mut row: Vec<JobDigest>,
    job: JobDigest,
    fault: Option<Fault>,
    wanted: bool,
    elsewhere: bool,
    policy: &Policy,
) -> Vec<JobDigest> {
    match fault {
        None => return over(row, policy),
        Some(fault) if wanted && Policy::charges(fault) => {
            row.retain(|other| *other != job || !elsewhere);
            if !elsewhere && !row.contains(&job) {
                row.push(job);
            }
        }
        Some(_) => {}
    }
    row
}

/// A row that something has ended. One for which the worker is cordoned stays:
/// what ended it was granted before, and the worker gets jobs again as soon as one
/// of the row fails elsewhere too.
pub fn over(row: Vec<JobDigest>, policy: &Policy) -> Vec<JobDigest> {
    let is_reason = cordon(&row, policy).is_some();
    if is_reason { row } else { Vec::new() }
}

/// Whether a worker with this row of failed jobs, from which one has gone
/// because it failed elsewhere too, gets jobs again.
pub fn excused(row: &[JobDigest], cordoned: Option<&CordonCause>, policy: &Policy) -> bool {
    let for_its_row = matches!(cordoned, Some(CordonCause::FailedInARow { .. }));
    for_its_row && cordon(row, policy).is_none()
}

/// Whether a failed job of this urgency may be its worker's doing: it must be
/// wanted, and not a probe, because a probe is there to find out what fails.
pub const fn blames(urgency: Option<Urgency>) -> bool {
    matches!(urgency, Some(Urgency::Training(_)))
}

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

/// The reason to cordon a worker with this row of failed jobs, if there is one.
/// The jobs of the row are then uncharged.
pub fn cordon(row: &[JobDigest], policy: &Policy) -> Option<CordonCause> {
    let jobs = row.len() as u64;
    (jobs >= u64::from(policy.cordon_after)).then_some(CordonCause::FailedInARow { jobs })
}

/// The last fault of one job of a sweep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LastFault {
    /// The fault.
    pub fault: Fault,
    /// The first line of its message.
    pub headline: String,
}

/// The first line of a fault's message; two faults are alike if it is the same.
pub fn headline(message: &str) -> &str {
    message.lines().next().unwrap_or("").trim()
}

/// Whether this fault can be the sweep's own doing, so that pausing helps.
pub const fn may_pause(fault: Fault) -> bool {
    Policy::charges(fault) || matches!(fault, Fault::Invalid)
}

/// The reason to pause a sweep, if there is one: none of its jobs has
/// succeeded, and the first `pause_after` that came to an outcome all failed
/// alike. `faults` holds the last fault of each of its jobs that has one.
/// Divergence is a result, not a reason to stop.
pub fn pause(any_succeeded: bool, faults: &[LastFault], policy: &Policy) -> Option<PauseCause> {
    let first = faults.first()?;
    let alike = !any_succeeded && faults.iter().all(|fault| fault == first);
    alike.then(|| pause_alike(first, faults.len() as u64, policy))?
}

/// The reason to pause a sweep of which no job has succeeded and `jobs` jobs
/// have come to an outcome, all of them with this fault.
pub fn pause_alike(fault: &LastFault, jobs: u64, policy: &Policy) -> Option<PauseCause> {
    let pause = may_pause(fault.fault) && jobs >= u64::from(policy.pause_after);
    pause.then(|| PauseCause::FailedAlike {
        jobs,
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
    fn a_row_holds_different_jobs_and_ends_with_a_measurement() {
        let crashed = Some(Fault::Crashed);
        let policy = Policy::default();
        let streak = |row, job, fault, wanted| streak(row, job, fault, wanted, false, &policy);
        let row = streak(vec![], job(1), crashed, true);
        let row = streak(row, job(1), crashed, true);
        let row = streak(row, job(2), Some(Fault::Diverged), true);
        let row = streak(row, job(2), crashed, false);
        assert_eq!(row, [job(1)]);
        let row = streak(row, job(2), crashed, true);
        assert_eq!(cordon(&row, &policy), None);
        assert!(streak(row.clone(), job(4), None, true).is_empty());
        let row = streak(row, job(3), crashed, true);
        assert!(cordon(&row, &policy).is_some());
        // It is the reason of a cordon now.
        assert_eq!(streak(row.clone(), job(4), None, true), row);
    }

    #[test]
    fn what_fails_elsewhere_too_is_not_the_workers_doing() {
        let crashed = Some(Fault::Crashed);
        let row = vec![job(1), job(2)];
        let policy = Policy::default();
        let elsewhere = |row, job| streak(row, job, crashed, true, true, &policy);
        assert_eq!(elsewhere(row.clone(), job(3)), row);
        assert_eq!(elsewhere(row, job(2)), [job(1)]);
        let three = [job(1), job(2), job(3)];
        let cause = cordon(&three, &policy);
        assert!(!excused(&three, cause.as_ref(), &policy));
        assert!(excused(&three[..2], cause.as_ref(), &policy));
        let operator = CordonCause::Operator;
        assert!(!excused(&[], Some(&operator), &policy));
        assert!(!excused(&[], None, &policy));
    }

    #[test]
    fn a_sweep_is_paused_only_when_all_fail_alike() {
        let policy = Policy::default();
        let same = vec![fault(Fault::Invalid, "no data"); 3];
        let cause = PauseCause::FailedAlike {
            jobs: 3,
            fault: Fault::Invalid,
            headline: "no data".to_owned(),
        };
        assert_eq!(pause(false, &same, &policy), Some(cause));
        assert_eq!(pause(true, &same, &policy), None);
        assert_eq!(pause(false, &same[..2], &policy), None);
        let diverged = vec![fault(Fault::Diverged, "loss is NaN"); 3];
        assert_eq!(pause(false, &diverged, &policy), None);
        let mut mixed = same;
        mixed[1].headline = "other".to_owned();
        assert_eq!(pause(false, &mixed, &policy), None);
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
