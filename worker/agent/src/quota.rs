//! Which directories of ended attempts must go because there is no room for all
//! of them.

/// The directory of an attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What it is called.
    pub name: String,
    /// When it ended, by the worker's clock.
    pub at_ms: u64,
    /// How large it is.
    pub bytes: u64,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// So many bytes may all directories of ended attempts have; 0: any number.
    pub keep_bytes: u64,
    /// So many bytes of their disk are to stay free; 0: none.
    pub keep_free: u64,
}

/// What must go, oldest first. `free` is how many bytes of the disk are free, if
/// that is known. Removing a directory makes as much room as it is large.
pub fn excess(mut ended: Vec<Ended>, quota: Quota, free: Option<u64>) -> Vec<Ended> {
    ended.sort_by(|left, right| (left.at_ms, &left.name).cmp(&(right.at_ms, &right.name)));
    let total = ended
        .iter()
        .fold(0_u64, |sum, it| sum.saturating_add(it.bytes));
    let over = match quota.keep_bytes {
        0 => 0,
        most => total.saturating_sub(most),
    };
    let lacking = free.map_or(0, |free| quota.keep_free.saturating_sub(free));
    let mut wanted = over.max(lacking);
    ended.retain(|it| {
        let goes = wanted > 0 && it.bytes > 0;
        wanted = wanted.saturating_sub(it.bytes);
        goes
    });
    ended
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ended() -> impl Strategy<Value = Vec<Ended>> {
        let one = (0_u64..20, 0_u64..100);
        prop::collection::vec(one, 0..12).prop_map(|all| {
            let all = all.into_iter().enumerate();
            all.map(|(number, (at_ms, bytes))| Ended {
                name: number.to_string(),
                at_ms,
                bytes,
            })
            .collect()
        })
    }

    fn bytes(all: &[Ended]) -> u64 {
        all.iter().map(|it| it.bytes).sum()
    }

    proptest! {
        #[test]
        fn enough_goes_and_nothing_more(
            all in ended(), keep_bytes in 0_u64..600, keep_free in 0_u64..300,
            free in prop::option::of(0_u64..300),
        ) {
            let quota = Quota { keep_bytes, keep_free };
            let gone = excess(all.clone(), quota, free);
            let left = bytes(&all) - bytes(&gone);
            let room = |left: u64| {
                let freed = bytes(&all) - left;
                let fits = keep_bytes == 0 || left <= keep_bytes;
                fits && free.is_none_or(|free| free + freed >= keep_free)
            };
            // Only a full disk that others have filled stays too full.
            prop_assert!(room(left) || left == 0);
            // The last one that went was needed too.
            if let Some(last) = gone.last() {
                prop_assert!(!room(left + last.bytes));
            }
        }

        #[test]
        fn the_oldest_go_first(all in ended(), keep_bytes in 1_u64..600) {
            let gone = excess(all.clone(), Quota { keep_bytes, keep_free: 0 }, None);
            let newest = gone.iter().map(|it| it.at_ms).max();
            let stays = |it: &&Ended| !gone.contains(it) && it.bytes > 0;
            let oldest = all.iter().filter(stays).map(|it| it.at_ms).min();
            if let (Some(newest), Some(oldest)) = (newest, oldest) {
                prop_assert!(newest <= oldest);
            }
        }

        #[test]
        fn without_limits_nothing_goes(all in ended(), free in prop::option::of(0_u64..9)) {
            prop_assert!(excess(all, Quota::default(), free).is_empty());
        }
    }
}
