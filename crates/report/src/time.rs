//! Points in time for people and for programs.

use swath_core::summary::text::duration;
use swath_core::time::Timestamp;

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
    let seconds = at.as_ms().div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Year, month and day of a day counted from 1970-01-01, by the Gregorian
/// calendar. Years are counted from March, so that a leap day ends one.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
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
