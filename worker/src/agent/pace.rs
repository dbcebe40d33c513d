//! How many jobs to hold in advance.

use std::time::Duration;

/// Jobs shorter than this need more than one in advance.
const SHORT: f64 = 0.050;

/// Jobs longer than this gain nothing from one in advance, and another worker
/// could be training it.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The most jobs in advance per slot.
const PREFETCH_MAX: usize = 64;

/// The weight of the newest measurement.
const WEIGHT: f64 = 0.2;

/// Measures jobs and exchanges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    job: Option<f64>,
    round_trip: Option<f64>,
}

impl Pace {
    /// A job took this long.
    pub(crate) fn job(&mut self, took: Duration) {
        mix(&mut self.job, took.as_secs_f64());
    }

    /// A job that was taken in advance did not get its turn: the measured jobs
    /// are no guide to those under way.
    pub(crate) fn misled(&mut self) {
        self.job = Some(2.0 * LONG.as_secs_f64());
    }

    /// Recording an outcome and taking a job took this long.
    pub(crate) fn round_trip(&mut self, took: Duration) {
        mix(&mut self.round_trip, took.as_secs_f64());
    }

    /// Jobs to hold in advance per slot: enough for two round trips of short
    /// jobs, one of ordinary jobs, none of long ones and before any is known.
    pub(crate) fn prefetch(&self) -> usize {
        let Some(job) = self.job else { return 0 };
        if job > LONG.as_secs_f64() {
            return 0;
        }
        if job >= SHORT {
            return 1;
        }
        let round_trip = self.round_trip.unwrap_or(SHORT);
        let jobs = (2.0 * round_trip / job.max(1e-6)).ceil();
        (jobs as usize).clamp(1, PREFETCH_MAX)
    }
}

fn mix(mean: &mut Option<f64>, value: f64) {
    *mean = Some(mean.map_or(value, |mean| mean + WEIGHT * (value - mean)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefetch(job_ms: u64, round_trip_ms: u64) -> usize {
        let mut pace = Pace::default();
        pace.job(Duration::from_millis(job_ms));
        pace.round_trip(Duration::from_millis(round_trip_ms));
        pace.prefetch()
    }

    #[test]
    fn short_jobs_cover_two_round_trips() {
        assert_eq!(Pace::default().prefetch(), 0);
        assert_eq!(prefetch(0, 20), PREFETCH_MAX);
        assert_eq!(prefetch(10, 20), 4);
        assert_eq!(prefetch(49, 1), 1);
        assert_eq!(prefetch(2_000, 20), 1);
        assert_eq!(prefetch(60_000, 20), 0);
    }
}
