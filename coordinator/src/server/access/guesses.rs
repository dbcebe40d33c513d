//! How many wrong tokens come from where. A secret has 256 bits, so nobody guesses
//! one; this keeps those who try from filling the logs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use swath_model::time::Timestamp;

/// How many wrong tokens of one address are looked at in a while.
const MOST: u32 = 20;
const WHILE: Duration = Duration::from_mins(1);
/// How many addresses are remembered.
const ADDRESSES_MAX: usize = 4096;

/// Wrong tokens, by the address from which they came.
#[derive(Debug, Default)]
pub(super) struct Guesses {
    since: BTreeMap<IpAddr, (Timestamp, u32)>,
    /// When old ones were last looked for. That takes time, and an attack may come from
    /// ever new addresses.
    tidied_at: Option<Timestamp>,
}

/// How often old ones are looked for, where there is no more room.
const TIDY_EVERY: Duration = Duration::from_secs(1);

impl Guesses {
    /// Counts one more; whether it is one too many.
    pub(super) fn is_one_too_many(&mut self, from: IpAddr, now: Timestamp) -> bool {
        let is_full = self.since.len() >= ADDRESSES_MAX;
        if is_full && self.tidied_at.is_none_or(|at| now.since(at) >= TIDY_EVERY) {
            self.since.retain(|_, (since, _)| now.since(*since) < WHILE);
            self.tidied_at = Some(now);
        }
        if self.since.len() >= ADDRESSES_MAX && !self.since.contains_key(&from) {
            return true;
        }
        let (since, count) = self.since.entry(from).or_insert((now, 0));
        if now.since(*since) >= WHILE {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count > MOST
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_address_may_be_wrong_so_often_in_a_minute() {
        let mut guesses = Guesses::default();
        let at = |seconds: i64| Timestamp::from_ms(seconds * 1000);
        let one = IpAddr::from(Ipv4Addr::LOCALHOST);
        let other = IpAddr::from(Ipv4Addr::BROADCAST);
        let refused = (0..10_000).filter(|_| guesses.is_one_too_many(one, at(0)));
        assert_eq!(refused.count(), 10_000 - MOST as usize);
        assert!(!guesses.is_one_too_many(other, at(0)));
        assert!(guesses.is_one_too_many(one, at(59)));
        assert!(!guesses.is_one_too_many(one, at(60)));
    }

    #[test]
    fn many_addresses_take_no_more_room() {
        let mut guesses = Guesses::default();
        for number in 0..100_000_u32 {
            let from = IpAddr::from(Ipv4Addr::from(number));
            guesses.is_one_too_many(from, Timestamp::from_ms(0));
        }
        assert_eq!(guesses.since.len(), ADDRESSES_MAX);
        let late = IpAddr::from(Ipv4Addr::BROADCAST);
        assert!(guesses.is_one_too_many(late, Timestamp::from_ms(1)));
        assert!(!guesses.is_one_too_many(late, Timestamp::from_ms(60_000)));
    }
}
