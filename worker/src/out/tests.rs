use std::fs;

use swath_model::id::{Attempt, JobDigest};
use swath_model::time::Timestamp;

use super::*;

struct Place {
    place: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            place: tempfile::tempdir().unwrap(),
        }
    }

    fn out(&self) -> PathBuf {
        self.place.path().join("out")
    }

    /// The directories as a worker finds them, after a crash too.
    fn open(&self) -> Outs {
        Outs::open(&self.out(), self.place.path(), Quota::default()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.out()).unwrap();
        let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != OWN).collect();
        names.sort();
        names
    }
}

fn held(job: u8, attempt: u32) -> Held {
    Held {
        job: JobDigest::from_bytes([job; 32]),
        attempt: Attempt(attempt),
    }
}

fn leave(outs: &Outs, held: Held, bytes: usize, at_ms: u64) {
    outs.begin(held).unwrap();
    fs::write(outs.path(held).join("file"), vec![0; bytes]).unwrap();
    outs.ended(held, at_ms);
}

fn answer(outs: &Outs, held: Held) -> Part {
    let order = FileOrder {
        held,
        path: None,
        have: None,
    };
    let mut first = None;
    outs.answer(&order, &mut |part| {
        first.get_or_insert(part);
        true
    });
    first.unwrap()
}

#[test]
fn an_empty_directory_goes_and_a_full_one_is_known_after_a_crash() {
    let place = Place::new();
    let outs = place.open();
    leave(&outs, held(1, 1), 5, 10);
    outs.begin(held(1, 2)).unwrap();
    outs.ended(held(1, 2), 20);
    assert_eq!(outs.all_ended(), [held(1, 1)]);
    let outs = place.open();
    assert_eq!(place.names(), ["010101010101-1"]);
    assert_eq!(outs.all_ended(), [held(1, 1)]);
    assert_eq!(outs.sizes().unwrap()[0].bytes, 5);
}

#[test]
fn an_empty_directory_is_the_next_ones_and_never_two() {
    let place = Place::new();
    let outs = place.open();
    let (first, second, third) = (held(1, 1), held(2, 1), held(3, 1));
    outs.begin(first).unwrap();
    outs.begin(second).unwrap();
    outs.ended(first, 10);
    // Nobody is shown that it is still there.
    assert_eq!(answer(&outs, first), Part::Absent(Absent::Nothing));
    outs.begin(third).unwrap();
    assert_eq!(place.names(), ["020202020202-1", "030303030303-1"]);
    // The worker is killed; one of them has written something.
    fs::write(outs.path(third).join("file"), "").unwrap();
    let outs = place.open();
    assert_eq!(place.names(), ["030303030303-1"]);
    assert_eq!(outs.all_ended(), [third]);
    // What was changed is not handed on.
    outs.begin(first).unwrap();
    fs::set_permissions(outs.path(first), fs::Permissions::from_mode(0o500)).unwrap();
    outs.ended(first, 10);
    assert_eq!(place.names(), ["030303030303-1"]);
    // Nor into what is there already.
    outs.begin(first).unwrap();
    outs.ended(first, 10);
    outs.begin(third).unwrap();
    let aside = "030303030303-1.before.1";
    assert_eq!(place.names(), ["030303030303-1", aside]);
    assert!(fs::read_dir(outs.path(third)).unwrap().next().is_none());
}

/// A deleted sweep that is submitted again has the same attempts.
#[test]
fn no_seat_hands_on_the_directory_of_a_running_attempt() {
    let place = Place::new();
    let outs = place.open();
    for _ in 0..2 {
        outs.begin(held(1, 1)).unwrap();
        outs.begin(held(2, 1)).unwrap();
        let file = outs.path(held(1, 1)).join("file");
        fs::write(&file, "").unwrap();
        let mut other = fs::read_dir(outs.path(held(2, 1))).unwrap();
        assert!(other.next().is_none());
        assert!(file.exists());
        assert_ne!(answer(&outs, held(1, 1)), Part::Absent(Absent::Nothing));
        fs::remove_file(file).unwrap();
        outs.ended(held(1, 1), 1);
        outs.ended(held(2, 1), 1);
    }
}

#[test]
fn what_is_not_an_attempts_own_is_never_touched() {
    let place = Place::new();
    for name in ["mine", "010101010101", "0g0101010101-1"] {
        fs::create_dir_all(place.out().join(name)).unwrap();
    }
    fs::write(place.out().join("mine/thesis"), "years").unwrap();
    let outs = place.open();
    assert_eq!(outs.sizes().unwrap().len(), 0);
    assert_eq!(place.names(), ["010101010101", "0g0101010101-1", "mine"]);
    // However the path is written, or wherever a link leads.
    let other = tempfile::tempdir().unwrap();
    let link = place.place.path().join("link");
    std::os::unix::fs::symlink(other.path(), &link).unwrap();
    fs::create_dir(other.path().join("020202020202-1")).unwrap();
    for root in [&link, &place.out().join("../link")] {
        let outs = Outs::open(root, place.place.path(), Quota::default()).unwrap();
        assert_eq!(outs.sizes().unwrap().len(), 0);
    }
    assert!(other.path().join("020202020202-1").exists());
}

#[test]
fn a_place_that_is_anothers_or_holds_the_state_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    let _own = place.open();
    let state = other.place.path();
    for root in [place.out(), state.to_owned(), state.join("..")] {
        let opened = Outs::open(&root, state, Quota::default());
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_running_attempt_keeps_its_directory() {
    let place = Place::new();
    let outs = place.open();
    outs.begin(held(1, 1)).unwrap();
    outs.remove(held(1, 1), Remover::Quota, 5);
    assert_eq!(place.names(), ["010101010101-1"]);
    assert!(outs.sizes().unwrap().is_empty());
}

#[test]
fn what_was_removed_is_told_also_after_a_crash() {
    let place = Place::new();
    let outs = place.open();
    leave(&outs, held(1, 1), 5, 10);
    outs.remove(held(1, 1), Remover::Quota, 77);
    assert!(place.names().is_empty());
    let removed = Part::Absent(Absent::Removed {
        at: Timestamp::from_ms(77),
        by: Remover::Quota,
    });
    assert_eq!(answer(&outs, held(1, 1)), removed);
    assert_eq!(answer(&place.open(), held(1, 1)), removed);
    assert_eq!(answer(&outs, held(1, 2)), Part::Absent(Absent::Nothing));
}

#[test]
fn a_removal_that_a_crash_cut_off_is_ended() {
    let place = Place::new();
    let outs = place.open();
    leave(&outs, held(1, 1), 5, 10);
    outs.0.notes.removed(held(1, 1), Remover::Keep, 11).unwrap();
    assert_eq!(place.names().len(), 1);
    let outs = place.open();
    assert!(place.names().is_empty());
    assert!(outs.all_ended().is_empty());
}

/// The directories that the quota may take, oldest first.
fn removable(outs: &Outs) -> Vec<(String, u64)> {
    let mut sizes = outs.sizes().unwrap();
    sizes.sort_by_key(|it| it.at_ms);
    sizes.into_iter().map(|it| (it.name, it.bytes)).collect()
}

#[test]
fn directories_of_others_are_left_alone() {
    let (place, shared) = (Place::new(), tempfile::tempdir().unwrap());
    let open = || Outs::open(shared.path(), place.place.path(), Quota::default()).unwrap();
    fs::create_dir(shared.path().join("020202020202-1")).unwrap();
    leave(&open(), held(1, 1), 5, 10);
    let outs = open();
    assert_eq!(outs.all_ended(), [held(1, 1)]);
    outs.remove(held(2, 1), Remover::Quota, 5);
    assert_eq!(removable(&outs), [("010101010101-1".to_owned(), 5)]);
    assert!(shared.path().join("020202020202-1").exists());
}

#[test]
fn what_another_worker_made_anew_is_left_to_it() {
    let (one, other, shared) = (Place::new(), Place::new(), tempfile::tempdir().unwrap());
    let open = |it: &Place| Outs::open(shared.path(), it.place.path(), Quota::default()).unwrap();
    let (one, other) = (open(&one), open(&other));
    leave(&one, held(1, 1), 5, 10);
    one.begin(held(2, 1)).unwrap();
    for again in [held(1, 1), held(2, 1)] {
        other.begin(again).unwrap();
    }
    one.remove(held(1, 1), Remover::Quota, 11);
    one.ended(held(2, 1), 12);
    assert!(other.path(held(1, 1)).exists() && other.path(held(2, 1)).exists());
    assert!(one.all_ended().is_empty());
}

#[test]
fn nothing_of_another_store_is_read_as_an_attempts_own() {
    let place = Place::new();
    let outs = place.open();
    leave(&outs, held(1, 1), 5, 10);
    leave(&outs, held(1, 1), 6, u64::MAX);
    let (own, aside) = ("010101010101-1", "010101010101-1.before.1");
    assert_eq!(place.names(), [own, aside]);
    // There may be no room for it.
    let wanted = [(aside.to_owned(), 5), (own.to_owned(), 6)];
    assert_eq!(removable(&outs), wanted);
    outs.give_up(aside, 1);
    assert_eq!(place.names(), [own]);
    outs.give_up(own, 1);
    assert!(place.names().is_empty());
    assert!(matches!(
        answer(&outs, held(1, 1)),
        Part::Absent(Absent::Removed { .. })
    ));
}

#[test]
fn what_was_left_before_there_were_notes_is_the_workers_own() {
    let place = Place::new();
    fs::create_dir_all(place.out().join("0a0b0c0d0e0f-2")).unwrap();
    fs::write(place.out().join("0a0b0c0d0e0f-2/file"), "four").unwrap();
    let outs = place.open();
    assert_eq!(removable(&outs), [("0a0b0c0d0e0f-2".to_owned(), 4)]);
    assert!(outs.all_ended().is_empty());
}
