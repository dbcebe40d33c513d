//! How many jobs to hold in advance.

use std::time::Duration;

use swath_model::spec::Work;

/// For shorter jobs than this, more than one is held in advance.
const SHORT: f64 = 0.050;

/// For longer jobs than this none is held in advance: it would gain nothing,
/// and another worker could be training it.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// The most jobs in advance per slot.
const PREFETCH_MAX: usize = 64;

/// How long outcomes of short jobs wait for each other.
pub(crate) const GATHER: Duration = Duration::from_millis(4);

/// The weight of the newest measurement in the running mean.
const WEIGHT: f64 = 0.2;

/// The sort of a job. How long jobs of one sort take says nothing about another
/// sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Null,
    Program,
    Training,
}

impl Sort {
    pub(crate) fn of(work: &Work) -> Self {
        match work {
            Work::Null => Self::Null,
            Work::Command(_) => Self::Program,
            Work::Training(_) => Self::Training,
        }
    }

    /// The sort of a job that needs a slot.
    pub(crate) const fn for_slot(is_program: bool) -> Self {
        if is_program {
            Self::Program
        } else {
            Self::Training
        }
    }
}

/// Measures how long jobs and exchanges take.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    /// Seconds that a job of each sort takes.
    jobs: [Option<f64>; 3],
    round_trip: Option<f64>,
    /// The sorts of the newest grants, each once: the next jobs are most likely
    /// of the same sorts.
    lately: Vec<Sort>,
    /// How many of one sort came in a row.
    in_a_row: usize,
}

impl Pace {
    /// Notes how long a job took.
    pub(crate) fn job(&mut self, sort: Sort, took: Duration) {
        mix(&mut self.jobs[sort as usize], took.as_secs_f64());
    }

    /// Notes that a job failed. The next ones may fail too, and those held in
    /// bulk would be gone before anybody could stop their sweep.
    pub(crate) fn failed(&mut self, sort: Sort) {
        let job = &mut self.jobs[sort as usize];
        *job = job.map(|job| job.max(SHORT));
    }

    /// Notes that a job taken in advance did not get a slot: the measured jobs
    /// are no guide to those under way.
    pub(crate) fn misled(&mut self, sort: Sort) {
        self.jobs[sort as usize] = Some(2.0 * LONG.as_secs_f64());
    }

    /// Notes how long it took to record an outcome and get a job.
    pub(crate) fn round_trip(&mut self, took: Duration) {
        mix(&mut self.round_trip, took.as_secs_f64());
    }

    /// Notes the sorts of jobs that came together; none if the queue was empty.
    pub(crate) fn granted(&mut self, sorts: &[Sort]) {
        let before = std::mem::take(&mut self.lately);
        for sort in sorts {
            if !self.lately.contains(sort) {
                self.lately.push(*sort);
            }
        }
        self.in_a_row = match self.lately.len() {
            1 if self.lately == before => self.in_a_row.saturating_add(sorts.len()),
            1 => sorts.len(),
            _ => 0,
        };
    }

    /// How many jobs per slot to ask for in advance: as many as may be held of
    /// each sort that came lately, but no more than came before the sort
    /// changed, because surplus jobs are given back and each grant counts.
    pub(crate) fn expected(&self) -> usize {
        let sorts = self.lately.iter().map(|sort| self.prefetch(*sort));
        sorts.min().unwrap_or(0).min(self.in_a_row.max(1))
    }

    /// How many jobs of this sort per slot may be kept in advance if they are
    /// there already; any number, as long as they are short.
    pub(crate) fn tolerable(&self, sort: Sort) -> usize {
        match self.jobs[sort as usize] {
            Some(job) if job < SHORT => PREFETCH_MAX,
            _ => self.prefetch(sort),
        }
    }

    /// How many jobs of this sort per slot to hold in advance: enough for two
    /// deliveries of short jobs, one of ordinary jobs, none of long ones, and
    /// none before any is known.
    pub(crate) fn prefetch(&self, sort: Sort) -> usize {
        let Some(job) = self.jobs[sort as usize] else {
            return 0;
        };
        if job > LONG.as_secs_f64() {
            return 0;
        }
        if job >= SHORT {
            return 1;
        }
        let round_trip = self.round_trip.unwrap_or(SHORT) + GATHER.as_secs_f64();
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

    fn pace(job_ms: u64, round_trip_ms: u64) -> Pace {
        let mut pace = Pace::default();
        pace.job(Sort::Program, Duration::from_millis(job_ms));
        pace.round_trip(Duration::from_millis(round_trip_ms));
        pace
    }

    fn prefetch(job_ms: u64, round_trip_ms: u64) -> usize {
        pace(job_ms, round_trip_ms).prefetch(Sort::Program)
    }

    #[test]
    fn short_jobs_cover_two_round_trips() {
        assert_eq!(Pace::default().prefetch(Sort::Program), 0);
        assert_eq!(prefetch(0, 20), PREFETCH_MAX);
        assert_eq!(prefetch(10, 20), 5);
        assert_eq!(pace(10, 20).tolerable(Sort::Program), PREFETCH_MAX);
        assert_eq!(prefetch(49, 1), 1);
        assert_eq!(prefetch(2_000, 20), 1);
        assert_eq!(prefetch(60_000, 20), 0);
    }

    #[test]
    fn one_sort_says_nothing_of_another() {
        let mut pace = pace(0, 20);
        assert_eq!(pace.prefetch(Sort::Training), 0);
        assert_eq!(pace.expected(), 0);
        pace.granted(&[Sort::Program; 3]);
        assert_eq!(pace.expected(), 3);
        pace.granted(&[Sort::Program; 100]);
        assert_eq!(pace.expected(), PREFETCH_MAX);
        pace.granted(&[Sort::Training; 100]);
        assert_eq!(pace.expected(), 0);
        pace.job(Sort::Training, Duration::from_secs(2));
        assert_eq!(pace.expected(), 1);
        pace.granted(&[Sort::Program, Sort::Training]);
        assert_eq!(pace.expected(), 1);
        pace.granted(&[Sort::Program; 2]);
        assert_eq!(pace.expected(), 2);
        pace.misled(Sort::Program);
        assert_eq!(pace.prefetch(Sort::Training), 1);
        pace.granted(&[]);
        assert_eq!(pace.expected(), 0);
    }

    #[test]
    fn a_failure_ends_bulk_until_jobs_succeed_again() {
        let mut failed = pace(0, 20);
        failed.failed(Sort::Program);
        assert_eq!(failed.prefetch(Sort::Program), 1);
        assert_eq!(failed.tolerable(Sort::Program), 1);
        for _ in 0..20 {
            failed.job(Sort::Program, Duration::ZERO);
        }
        assert!(failed.prefetch(Sort::Program) > 30);
        let mut long = pace(60_000, 20);
        long.failed(Sort::Program);
        assert_eq!(long.prefetch(Sort::Program), 0);
    }
}
