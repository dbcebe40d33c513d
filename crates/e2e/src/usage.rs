//! What a process uses: memory and processor time.

/// Processor times are told in steps of so many milliseconds.
const TICK_MS: f64 = 10.0;

/// The resident size of a process, in megabytes.
pub fn resident_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmRSS:")
}

/// The peak resident size of a process, in megabytes.
pub fn peak_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmHWM:")
}

fn memory_mb(pid: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix(what)?
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}

/// The processor time of a process since its start, in seconds.
pub fn processor_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    ticks(&stat).map_or(f64::NAN, |ticks| ticks * TICK_MS / 1e3)
}

/// User and system time in a line of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<f64> {
    // The name may have spaces and brackets of its own.
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut times = behind_name.split(' ').skip(11);
    let user: f64 = times.next()?.parse().ok()?;
    let system: f64 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 31 9 9 20 0";
        assert_eq!(ticks(stat), Some(281.0));
        assert_eq!(ticks("7 (a) S 1"), None);
    }
}
