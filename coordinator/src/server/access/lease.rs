//! What a worker proves of an attempt: that it was granted to it.
//!
//! A lease is a keyed BLAKE3 hash of the job, the attempt and the worker's name. Only coordinators with the same identity can make one, so that whoever
//! has taken a worker's name by other means still cannot speak for its attempts.

use blake3::{Hash, Hasher};
use swath_model::access::Principal;
use swath_model::id::WorkerName;
use swath_model::message::Held;
use swath_model::time::Timestamp;
use swath_proto::v1;
use tonic::Status;

use super::{Access, Caller};

/// The lease of an attempt that is granted to `worker`. Two are compared in constant
/// time.
fn lease(key: &[u8; 32], held: Held, worker: &WorkerName) -> Hash {
    let mut hasher = Hasher::new_keyed(key);
    // The name comes last: the others have one length each.
    hasher.update(held.job.as_bytes());
    hasher.update(&held.attempt.0.to_be_bytes());
    hasher.update(worker.as_str().as_bytes());
    hasher.finalize()
}

/// Which of the attempts that a worker names it has proved to hold, in order.
#[derive(Debug)]
pub(crate) struct Proven(Vec<bool>);

impl Proven {
    /// Those that are proved, of one thing for each attempt.
    pub(crate) fn only<T>(&self, all: Vec<T>) -> Vec<T> {
        let both = all.into_iter().zip(&self.0);
        both.filter_map(|(one, proved)| proved.then_some(one))
            .collect()
    }

    /// The answers to those that are proved, with `refused` for each of the others
    /// in its place.
    pub(crate) fn answers<T: Copy>(&self, answers: Vec<T>, refused: T) -> Vec<T> {
        let mut answers = answers.into_iter();
        let answer = |proved: &bool| {
            if *proved {
                answers.next().unwrap_or(refused)
            } else {
                refused
            }
        };
        self.0.iter().map(answer).collect()
    }
}

impl Access {
    /// The lease that goes with a grant; empty where nobody asks for it.
    pub(crate) fn lease_of(&self, held: Held, worker: &WorkerName) -> Vec<u8> {
        let key = self.lease_key();
        key.map_or_else(Vec::new, |key| lease(key, held, worker).as_bytes().to_vec())
    }

    /// Checks the leases of the attempts that `worker` names. What is wrong with one
    /// is noted and ends nothing else: the others are as good as before.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for what names no attempt.
    pub(crate) fn proven<'a>(
        &self,
        now: Timestamp,
        caller: &Caller,
        worker: &WorkerName,
        named: impl Iterator<Item = Option<&'a v1::Held>>,
    ) -> Result<Proven, Status> {
        let key = match &caller.principal {
            Principal::Local => None,
            _ => self.lease_key(),
        };
        let proves = |named: Option<&v1::Held>| {
            let Some(key) = key else { return Ok(true) };
            let named = named.ok_or_else(|| Status::invalid_argument("`held` is missing"))?;
            let held = swath_proto::convert::held(named)?;
            let shown = <[u8; 32]>::try_from(named.lease.as_slice());
            Ok(shown.is_ok_and(|shown| lease(key, held, worker) == shown))
        };
        let proven: Vec<bool> = named.map(proves).collect::<Result<_, Status>>()?;
        let unproven = proven.iter().filter(|proved| !**proved).count();
        if unproven > 0 {
            let why = format!("{unproven} attempts without the lease that `{worker}` got for them");
            self.refused(now, caller, "lease", &why);
        }
        Ok(Proven(proven))
    }

    fn lease_key(&self) -> Option<&[u8; 32]> {
        self.port()?;
        Some(self.identity()?.lease_key())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swath_model::id::{Attempt, JobDigest};

    use super::*;

    proptest! {
        /// A lease is good for one attempt of one job by one worker, under one key.
        #[test]
        fn a_lease_is_of_nothing_else(
            job in any::<[u8; 32]>(), attempt in any::<u32>(), bit in 0..256_usize, other in any::<u32>()
        ) {
            let held = |job, attempt| Held { job: JobDigest::from_bytes(job), attempt: Attempt(attempt) };
            let worker: WorkerName = "gpu1".parse().unwrap();
            let key = [7; 32];
            let right = lease(&key, held(job, attempt), &worker);
            let mut flipped = job;
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert_ne!(right, lease(&key, held(flipped, attempt), &worker));
            prop_assert_ne!(right, lease(&key, held(job, attempt), &"gpu10".parse().unwrap()));
            prop_assert_ne!(right, lease(&[8; 32], held(job, attempt), &worker));
            if other != attempt {
                prop_assert_ne!(right, lease(&key, held(job, other), &worker));
            }
            prop_assert!(right != [0; 32]);
        }
    }

    #[test]
    fn answers_keep_their_places() {
        let proven = Proven(vec![true, false, true]);
        assert_eq!(proven.only(vec!['a', 'b', 'c']), ['a', 'c']);
        assert_eq!(proven.answers(vec![1, 2], 0), [1, 0, 2]);
    }
}
