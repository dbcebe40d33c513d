//! How long a sweep will take to finish.

use std::time::Duration;

/// What an estimate is made from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace<'a> {
    /// Seconds that each measured job of the sweep took.
    pub took: &'a [f64],
    /// Jobs that wait.
    pub queued: u64,
    /// For each job under way, the seconds since its attempt began.
    pub elapsed: &'a [f64],
    /// Slots that work on it.
    pub slots: u32,
}

/// How long until the last job ends, if jobs last as long as the measured ones
/// did on average and slots are shared evenly. None while nothing is measured
/// or nothing works on it.
pub fn remaining(pace: &Pace<'_>) -> Option<Duration> {
    let usable = |seconds: &&f64| seconds.is_finite() && **seconds >= 0.0;
    let took: Vec<f64> = pace.took.iter().filter(usable).copied().collect();
    if took.is_empty() || pace.slots == 0 {
        return None;
    }
    let mean = took.iter().sum::<f64>() / took.len() as f64;
    let left = pace.elapsed.iter().filter(usable);
    let left = left.map(|seconds| (mean - seconds).max(0.0));
    let (work, longest) = left.fold((pace.queued as f64 * mean, 0.0_f64), |(sum, most), it| {
        (sum + it, most.max(it))
    });
    // However many slots there are, one whole job takes its time.
    let whole = if pace.queued > 0 { mean } else { 0.0 };
    let seconds = (work / f64::from(pace.slots)).max(longest).max(whole);
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_shared_among_slots() {
        let pace = Pace {
            took: &[10.0, 14.0],
            queued: 6,
            elapsed: &[4.0, 20.0],
            slots: 2,
        };
        assert_eq!(remaining(&pace), Some(Duration::from_secs(40)));
        let many = Pace { slots: 100, ..pace };
        assert_eq!(remaining(&many), Some(Duration::from_secs(12)));
    }

    #[test]
    fn nothing_is_promised_without_a_ground() {
        let pace = Pace {
            queued: 3,
            slots: 2,
            ..Pace::default()
        };
        assert_eq!(remaining(&pace), None);
        let idle = Pace {
            took: &[1.0],
            slots: 0,
            ..pace.clone()
        };
        assert_eq!(remaining(&idle), None);
        let odd = Pace {
            took: &[f64::NAN],
            ..pace
        };
        assert_eq!(remaining(&odd), None);
        let done = Pace {
            took: &[1.0],
            slots: 1,
            ..Pace::default()
        };
        assert_eq!(remaining(&done), Some(Duration::ZERO));
    }
}
