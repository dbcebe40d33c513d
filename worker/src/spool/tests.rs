//! The spool against crashes at every byte, and against a model.

use proptest::prelude::*;
use swath_model::id::{Attempt, JobDigest};
use swath_model::message::{Finish, Report};
use swath_model::outcome::{Fault, Measurement, Observation, Outcome, Provenance};

use super::*;

const DAY: u64 = 24 * 3600 * 1000;

fn entry(number: u64, test_error: f64) -> Entry {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let held = Held {
        job: JobDigest::from_bytes(bytes),
        attempt: Attempt(1),
    };
    let outcome = if number.is_multiple_of(3) {
        Outcome::Failed {
            fault: Fault::Crashed,
            message: "line 1\nline \"2\"\n".to_owned(),
        }
    } else {
        Outcome::Measured(Measurement {
            train_seconds: 1e-300,
            values: [("test_error", test_error), ("test_loss", 0.1 + 0.2)].into(),
            weights: None,
        })
    };
    Entry {
        finish: Finish {
            held,
            outcome,
            provenance: Provenance {
                device: "ä".to_owned(),
                ..Provenance::default()
            },
        },
        reports: vec![Report {
            held,
            observations: vec![Observation {
                epoch: 3,
                values: [("test_error", test_error), ("val/acc", 0.3)].into(),
                ..Observation::default()
            }],
            log_sequence: number,
            log: "text\n".to_owned(),
        }],
    }
}

fn open(directory: &Path, now_ms: u64) -> (Spool, Restored) {
    Spool::open(directory, &Leases::default(), now_ms).unwrap()
}

fn segment(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("outcomes-{number:08}.jsonl"))
}

#[test]
fn what_was_put_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, restored) = open(directory.path(), 0);
    assert!(restored.open.is_empty());
    let entries: Vec<_> = (1..=5).map(|number| entry(number, 0.3)).collect();
    spool.put(&entries, 0).unwrap();
    spool.acknowledge(&[entries[1].finish.held], 0).unwrap();
    drop(spool);
    let (_, restored) = open(directory.path(), 0);
    let open: Vec<_> = [0, 2, 3, 4].map(|index| entries[index].clone()).into();
    assert_eq!(restored.open, open);
    assert_eq!(restored.recent, [entries[1].clone()]);
    assert_eq!(restored.damaged, 0);
}

#[test]
fn a_torn_tail_costs_the_torn_record_only() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(directory.path(), 0);
    spool.put(&[entry(1, 1.0)], 0).unwrap();
    let whole = std::fs::read(segment(directory.path(), 1)).unwrap();
    spool.put(&[entry(2, 2.0)], 0).unwrap();
    drop(spool);
    let both = std::fs::read(segment(directory.path(), 1)).unwrap();
    let last = both.len() - 3..both.len();
    for length in (whole.len()..both.len()).step_by(23).chain(last) {
        let torn = tempfile::tempdir().unwrap();
        std::fs::write(segment(torn.path(), 1), &both[..length]).unwrap();
        let (mut spool, restored) = open(torn.path(), 0);
        // A line that lacks only its newline is complete.
        let survives = length + 1 == both.len();
        assert_eq!(restored.open.len(), 1 + usize::from(survives), "{length}");
        // What is written next is not appended to the torn end.
        spool.put(&[entry(4, 4.0)], 0).unwrap();
        drop(spool);
        let (_, restored) = open(torn.path(), 0);
        assert_eq!(restored.open.last(), Some(&entry(4, 4.0)));
    }
}

#[test]
fn a_flipped_byte_costs_its_record_only() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(directory.path(), 0);
    let entries: Vec<_> = (1..=3).map(|number| entry(number, 0.5)).collect();
    spool.put(&entries, 0).unwrap();
    drop(spool);
    let path = segment(directory.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = b"\"epoch\":3";
    let at = bytes
        .windows(needle.len())
        .position(|window| window == needle)
        .unwrap();
    bytes[at + needle.len() - 1] = b'4';
    std::fs::write(&path, bytes).unwrap();
    let (_, restored) = open(directory.path(), 0);
    assert_eq!(restored.damaged, 1);
    assert_eq!(restored.open, entries[1..]);
}

#[test]
fn acknowledged_outcomes_go_after_a_week_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(directory.path(), 0);
    let old = entry(1, 1.0);
    spool.put(std::slice::from_ref(&old), 0).unwrap();
    // A torn end makes the next start begin another segment.
    drop(spool);
    let path = segment(directory.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.push(b'x');
    std::fs::write(&path, bytes).unwrap();
    let now = modified_ms(&path);
    let (mut spool, restored) = open(directory.path(), now + 8 * DAY);
    assert_eq!(restored.open.len(), 1);
    assert!(path.exists(), "undelivered outcomes are kept however old");
    spool.acknowledge(&[old.finish.held], now).unwrap();
    spool.compact(now + 6 * DAY);
    assert!(path.exists());
    spool.compact(now + 8 * DAY);
    assert!(!path.exists());
}

#[test]
fn segments_are_bounded_and_so_is_their_sum() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(directory.path(), 0);
    spool.limits = Limits {
        segment_bytes: 4 << 10,
        kept_bytes: 64 << 10,
    };
    let mut large = entry(1, 1.0);
    large.reports[0].log = "x".repeat(4 << 10);
    for number in 0..30 {
        let mut entry = large.clone();
        entry.finish.held.attempt = Attempt(number);
        spool.put(&[entry.clone()], 0).unwrap();
        spool.acknowledge(&[entry.finish.held], 0).unwrap();
    }
    let files = std::fs::read_dir(directory.path()).unwrap().flatten();
    let sizes: Vec<_> = files.map(|file| file.metadata().unwrap().len()).collect();
    assert!(sizes.iter().sum::<u64>() <= 72 << 10);
    assert!(sizes.len() > 10);
}

#[test]
fn a_disk_that_refuses_is_told_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(directory.path(), 0);
    spool.put(&[entry(1, 1.0)], 0).unwrap();
    // Every write to this file fails as on a full disk.
    let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    let number = spool.current.take().unwrap().0;
    spool.current = Some((number, full));
    assert!(spool.put(&[entry(2, 2.0)], 0).is_err());
    spool.put(&[entry(2, 2.0)], 0).unwrap();
    drop(spool);
    let (_, restored) = open(directory.path(), 0);
    assert_eq!(restored.open, [entry(1, 1.0), entry(2, 2.0)]);
}

#[test]
fn a_directory_has_one_worker_whatever_is_removed_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (spool, _) = open(&path, 0);
    let refused = |wanted: bool| {
        let opened = Spool::open(&path, &Leases::default(), 0).map(drop);
        assert_eq!(
            matches!(opened, Err(SpoolError::InUse { .. })),
            wanted,
            "{opened:?}"
        );
    };
    refused(true);
    spool.look().unwrap();
    std::fs::remove_file(path.join("lock")).unwrap();
    refused(true);
    assert!(matches!(spool.look(), Err(SpoolError::Gone { .. })));
    drop(spool);
    refused(false);
}

#[test]
fn a_spool_begins_again_where_its_directory_was_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (mut spool, first) = open(&path, 0);
    spool.put(&[entry(1, 1.0)], 0).unwrap();
    std::fs::remove_dir_all(&path).unwrap();
    assert!(matches!(spool.look(), Err(SpoolError::Gone { .. })));
    spool.begin_again(0).unwrap();
    spool.look().unwrap();
    spool.put(&[entry(2, 2.0)], 0).unwrap();
    // Files alone may be removed, too.
    for file in std::fs::read_dir(&path).unwrap().flatten() {
        std::fs::remove_file(file.path()).unwrap();
    }
    assert!(spool.look().is_err());
    spool.begin_again(0).unwrap();
    spool.put(&[entry(4, 4.0)], 0).unwrap();
    drop(spool);
    let (_, restored) = open(&path, 0);
    assert_eq!(restored.open, [entry(4, 4.0)]);
    assert_eq!(restored.state_id, first.state_id);
}

#[test]
fn a_spool_leaves_another_workers_directory_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state");
    let (mut spool, _) = open(&path, 0);
    std::fs::rename(&path, directory.path().join("away")).unwrap();
    let (other, _) = open(&path, 0);
    assert!(matches!(
        spool.begin_again(0),
        Err(SpoolError::InUse { .. })
    ));
    drop(other);
    assert!(matches!(
        spool.begin_again(0),
        Err(SpoolError::Replaced { .. })
    ));
    std::fs::remove_dir_all(&path).unwrap();
    std::fs::rename(directory.path().join("away"), &path).unwrap();
    spool.begin_again(0).unwrap();
    spool.look().unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u64>),
    Acknowledge(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = 0..12_u64;
    let step = prop_oneof![
        3 => proptest::collection::vec(number.clone(), 1..4).prop_map(Step::Put),
        3 => number.prop_map(Step::Acknowledge),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_spool_keeps_exactly_what_is_not_acknowledged(steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let (mut spool, _) = open(directory.path(), 0);
        let mut model: BTreeSet<u64> = BTreeSet::new();
        for step in steps.into_iter().chain([Step::Restart]) {
            match step {
                Step::Put(numbers) => {
                    let entries: Vec<_> = numbers.iter().map(|number| entry(*number, 0.7)).collect();
                    spool.put(&entries, 0).unwrap();
                    model.extend(numbers);
                }
                Step::Acknowledge(number) => {
                    spool.acknowledge(&[entry(number, 0.0).finish.held], 0).unwrap();
                    model.remove(&number);
                }
                Step::Restart => {
                    drop(spool);
                    let (again, restored) = open(directory.path(), 0);
                    let mut found: Vec<_> = restored.open;
                    found.sort_by_key(|entry| entry.reports[0].log_sequence);
                    let expected: Vec<_> = model.iter().map(|number| entry(*number, 0.7)).collect();
                    prop_assert_eq!(found, expected);
                    let places: BTreeSet<_> = again.place.keys().copied().collect();
                    let open: BTreeSet<_> =
                        again.segments.values().flat_map(|segment| segment.open.clone()).collect();
                    prop_assert_eq!(places, open);
                    spool = again;
                }
            }
        }
    }
}

#[test]
fn a_lease_comes_back_with_its_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let leases = Leases::default();
    let (mut spool, _) = Spool::open(directory.path(), &leases, 0).unwrap();
    let (own, other) = (entry(1, 0.5), entry(2, 0.5));
    leases.keep(own.finish.held, vec![7; 32]);
    spool.put(&[own.clone(), other.clone()], 0).unwrap();
    drop(spool);
    let leases = Leases::default();
    let _opened = Spool::open(directory.path(), &leases, 0).unwrap();
    assert_eq!(leases.of(own.finish.held), [7; 32]);
    assert!(leases.of(other.finish.held).is_empty());
}
