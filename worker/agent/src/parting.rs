//! Attempts that are given back: first the coordinator gets what they reported,
//! because nothing that an attempt says counts once it is over.

use swath_model::message::{Held, Release, Report, Verdict};

/// Attempts whose reports have not all arrived yet.
#[derive(Debug, Default)]
pub(crate) struct Partings(Vec<Parting>);

#[derive(Debug)]
struct Parting {
    release: Release,
    reports: Vec<Report>,
}

impl Partings {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds an attempt; returns it if there is nothing to report of it.
    pub(crate) fn push(&mut self, release: Release, reports: Vec<Report>) -> Option<Release> {
        if reports.is_empty() {
            return Some(release);
        }
        self.0.push(Parting { release, reports });
        None
    }

    /// The reports to send now, one per attempt.
    pub(crate) fn reports(&self) -> impl Iterator<Item = &Report> {
        self.0.iter().filter_map(|parting| parting.reports.first())
    }

    /// Notes the answer to a report; returns the attempt if it is the last one, or
    /// if no more of them count.
    pub(crate) fn reported(&mut self, report: &Report, verdict: Verdict) -> Option<Release> {
        let awaited = |parting: &Parting| parting.reports.first() == Some(report);
        let at = self.0.iter().position(awaited)?;
        let left = &mut self.0[at].reports;
        left.remove(0);
        let over = left.is_empty() || verdict == Verdict::Fenced;
        over.then(|| self.0.remove(at).release)
    }

    /// Forgets an attempt that somebody else has now.
    pub(crate) fn forget(&mut self, held: Held) {
        self.0.retain(|parting| parting.release.held != held);
    }

    /// Forgets them all: their session is over, and whatever it held goes back.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The attempts, which are still held.
    pub(crate) fn held(&self) -> impl Iterator<Item = Held> + '_ {
        self.0.iter().map(|parting| parting.release.held)
    }
}
