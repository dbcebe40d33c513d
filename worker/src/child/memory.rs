//! Whether the kernel killed a process because memory ran out.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many such kills there were, by each counter that can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kills(Vec<Option<u64>>);

impl Kills {
    /// Whether a counter has risen.
    pub(super) fn rose_since(&self, before: &Self) -> bool {
        let pairs = self.0.iter().zip(&before.0);
        pairs
            .into_iter()
            .any(|(now, then)| matches!((now, then), (Some(now), Some(then)) if now > then))
    }
}

/// A reading is used for so long: to read for each of many short programs would
/// cost as much as to start them.
const RECENT: Duration = Duration::from_millis(100);

/// The counters as they were a moment ago at the earliest.
pub(super) fn recent_kills() -> Kills {
    static LAST: Mutex<Option<(Instant, Kills)>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    match &*last {
        Some((at, kills)) if at.elapsed() < RECENT => kills.clone(),
        _ => {
            let kills = kills();
            *last = Some((Instant::now(), kills.clone()));
            kills
        }
    }
}

/// Reads the counters of this process's control group (both versions) and of
/// the host.
pub(super) fn kills() -> Kills {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut files = vec!["/proc/vmstat".to_owned()];
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        match (parts.next(), parts.next()) {
            (Some(""), Some(path)) => files.push(format!("/sys/fs/cgroup{path}/memory.events")),
            (Some("memory"), Some(path)) => {
                files.push(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"));
            }
            _ => {}
        }
    }
    Kills(files.iter().map(|file| counter(file)).collect())
}

fn counter(file: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let value = |line: &str| line.strip_prefix("oom_kill ")?.trim().parse().ok();
    text.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_risen_counter_is_evidence() {
        let kills = |counts: &[Option<u64>]| Kills(counts.to_vec());
        let before = kills(&[Some(3), None]);
        assert!(kills(&[Some(4), None]).rose_since(&before));
        assert!(!kills(&[Some(3), Some(9)]).rose_since(&before));
        assert!(!super::kills().rose_since(&super::kills()));
    }
}
