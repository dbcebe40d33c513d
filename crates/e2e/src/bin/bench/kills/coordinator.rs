//! `kill -9` of the coordinator.

use std::thread::sleep;
use std::time::Duration;

use swath_e2e::Random;

use super::place::Place;
use crate::text::{Checked, say};

/// A kill comes at most so long after the last one.
const WITHIN_MS: u64 = 1_500;
/// Every so many kills a line is printed, and work must have gone on.
const LOOK_EVERY: u64 = 20;

pub(crate) fn on_sqlite(kills: u64, random: &mut Random) -> Checked<String> {
    let mut place = Place::start("sqlite:swath.db", &[], random);
    for kill in 1..=kills {
        // Sometimes before it listens, sometimes in the middle of a submit, mostly under load.
        sleep(Duration::from_millis(random.below(WITHIN_MS)));
        place.kill_coordinator();
        if kill % LOOK_EVERY == 0 || kill == kills {
            let acknowledged = place.load.list.acknowledged();
            let resumed = place.goes_on(1);
            say(&format!(
                "  {kill} kills, {acknowledged} outcomes acknowledged, the next one {} ms after the kill",
                resumed.as_millis()
            ));
        }
    }
    place.settle()
}
