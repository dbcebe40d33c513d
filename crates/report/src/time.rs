//! Points in time for people and for programs.

use chrono::{DateTime, SecondsFormat, Utc};
use swath_model::text::duration;
use swath_model::time::Timestamp;

/// How long ago `then` was: `3 m 20 s ago`, `now`, `in 12 s`.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let (past, ahead) = (now.since(then), then.since(now));
    if past.as_secs() == 0 && ahead.as_secs() == 0 {
        "now".to_owned()
    } else if ahead.is_zero() {
        format!("{} ago", duration(past.as_secs_f64()))
    } else {
        format!("in {}", duration(ahead.as_secs_f64()))
    }
}

/// `at` as RFC 3339 in UTC with whole seconds: `2026-03-01T12:00:00Z`.
pub fn utc(at: Timestamp) -> String {
    // A time beyond chrono's range can only come from damaged data.
    let at = DateTime::from_timestamp_millis(at.as_ms()).unwrap_or(DateTime::<Utc>::MAX_UTC);
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(Timestamp::from_ms(ms)), text);
        }
    }

    #[test]
    fn ages() {
        let at = Timestamp::from_ms;
        assert_eq!(ago(at(0), at(200_000)), "3 m 20 s ago");
        assert_eq!(ago(at(500), at(0)), "now");
        assert_eq!(ago(at(12_000), at(0)), "in 12 s");
    }
}
