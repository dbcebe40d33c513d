//! Failed jobs, grouped by how they failed.

use std::collections::BTreeMap;

use swath_model::judge::headline;
use swath_model::outcome::Fault;
use swath_model::view::JobView;
use swath_report::{counted, visible};

/// More kinds than this would push the rest off the screen.
const KINDS_MAX: usize = 10;

/// One line per kind of failure, the most frequent first. Divergence is a
/// result, not a failure. `asked` follows the words of a command.
pub(crate) fn lines(jobs: &[JobView], asked: &str) -> Vec<String> {
    let mut kinds: BTreeMap<(Fault, &str), (u64, &JobView)> = BTreeMap::new();
    for job in jobs {
        let Some(fault) = job.fault.filter(|fault| *fault != Fault::Diverged) else {
            continue;
        };
        let kind = kinds
            .entry((fault, headline(&job.message)))
            .or_insert((0, job));
        kind.0 += 1;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    let more = kinds.len().saturating_sub(KINDS_MAX);
    let shown = kinds.into_iter().take(KINDS_MAX);
    let mut lines: Vec<String> = shown
        .map(|((fault, headline), (count, job))| {
            let line = line(fault, headline, count);
            let id = job.digest.short();
            format!("{line} (see `coordinator explain {id}{asked}`)")
        })
        .collect();
    if more > 0 {
        lines.push(format!("and {more} more kinds of failure"));
    }
    lines
}

fn line(fault: Fault, headline: &str, count: u64) -> String {
    let reason = match headline {
        "" => String::new(),
        headline => format!(": {}", visible(headline)),
    };
    let jobs = counted(count, "job");
    format!("{jobs} failed, {fault}{reason}")
}
