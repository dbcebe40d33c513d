use std::fs;
use std::os::unix::fs::PermissionsExt;

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
        self.open_in(&self.out(), "w").unwrap()
    }

    /// The same with `--out`, and under this name.
    fn open_in(&self, out: &Path, name: &str) -> io::Result<Outs> {
        let (state, name) = (self.place.path(), name.parse().unwrap());
        // What its spool does.
        let id = u128::from_ne_bytes(std::array::from_fn(|at| {
            blake3::hash(state.as_os_str().as_encoded_bytes()).as_bytes()[at]
        }));
        Outs::open(out, state, (&name, StateId(id)), Quota::default())
    }

    fn names(&self) -> Vec<String> {
        names(&self.out())
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The only directory that has ended.
fn left(outs: &Outs) -> Left {
    let all = outs.all_ended();
    assert_eq!(all.len(), 1);
    all[0]
}

fn all_held(outs: &Outs) -> Vec<Held> {
    outs.all_ended().iter().map(|left| left.held).collect()
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
    answer_of(outs, held, None)
}

/// The answer where the attempt's worker has its directories there.
fn answer_of(outs: &Outs, held: Held, out: Option<&Path>) -> Part {
    let order = FileOrder {
        held,
        out: out.map(|out| out.to_string_lossy().into_owned()),
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
    assert_eq!(all_held(&outs), [held(1, 1)]);
    let outs = place.open();
    assert_eq!(place.names(), ["010101010101-1"]);
    assert_eq!(all_held(&outs), [held(1, 1)]);
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
    assert_eq!(all_held(&outs), [third]);
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
    let others = ["0g0101010101-1", "010101010101", "mine", "mine.gone.1"];
    for name in others {
        fs::create_dir_all(place.out().join(name)).unwrap();
    }
    fs::write(place.out().join("mine/thesis"), "years").unwrap();
    let outs = place.open();
    assert_eq!(outs.sizes().unwrap().len(), 0);
    assert_eq!(
        names(outs.root()),
        ["010101010101", "0g0101010101-1", "mine", "mine.gone.1"]
    );
    // Somebody's directory for other things, however the path is written, or wherever
    // a link leads.
    let other = tempfile::tempdir().unwrap();
    let link = place.place.path().join("link");
    std::os::unix::fs::symlink(other.path(), &link).unwrap();
    fs::create_dir(other.path().join("020202020202-1")).unwrap();
    for root in [&link, &place.out().join("../link")] {
        let outs = place.open_in(root, "w").unwrap();
        leave(&outs, held(1, 1), 5, 10);
        assert_eq!(removable(&outs), [("010101010101-1".to_owned(), 5)]);
        outs.remove(left(&outs), Remover::Keep, 11);
    }
    assert_eq!(names(other.path()).len(), 2);
    assert!(other.path().join("020202020202-1").exists());
}

#[test]
fn a_place_that_holds_the_state_is_refused() {
    let place = Place::new();
    let state = place.place.path();
    for root in [state.to_owned(), state.join(".."), place.out().join("..")] {
        let opened = place.open_in(&root, "w");
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn a_running_attempt_keeps_its_directory() {
    let place = Place::new();
    let outs = place.open();
    outs.begin(held(1, 1)).unwrap();
    outs.give_up("010101010101-1", 5);
    assert_eq!(place.names(), ["010101010101-1"]);
    assert!(outs.sizes().unwrap().is_empty());
}

#[test]
fn what_was_removed_is_told_also_after_a_crash() {
    let place = Place::new();
    let outs = place.open();
    leave(&outs, held(1, 1), 5, 10);
    outs.remove(left(&outs), Remover::Quota, 77);
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
    leave(&outs, held(2, 1), 5, 10);
    // First there is the note, then the directory has another name.
    for held in [held(1, 1), held(2, 1)] {
        outs.0.notes.removed(held, Remover::Keep, 11).unwrap();
    }
    set_aside(&outs.path(held(2, 1)), Aside::Removed).unwrap();
    assert_eq!(place.names(), ["010101010101-1", "020202020202-1.gone.1"]);
    let outs = place.open();
    assert!(place.names().is_empty());
    assert!(outs.all_ended().is_empty());
}

/// A job that was deleted and submitted again has the same attempts.
#[test]
fn what_was_made_anew_does_not_go_for_what_was_asked_before() {
    let place = Place::new();
    let outs = place.open();
    leave(&outs, held(1, 1), 5, 10);
    let asked = left(&outs);
    leave(&outs, held(1, 1), 6, 20);
    outs.remove(asked, Remover::Keep, 30);
    assert_eq!(
        outs.path(held(1, 1)).join("file").metadata().unwrap().len(),
        6
    );
    // It may begin while the one before is removed.
    outs.remove(left(&outs), Remover::Keep, 40);
    outs.begin(held(1, 1)).unwrap();
    assert!(outs.path(held(1, 1)).exists());
}

/// The directories that the quota may take, oldest first.
fn removable(outs: &Outs) -> Vec<(String, u64)> {
    let mut sizes = outs.sizes().unwrap();
    sizes.sort_by_key(|it| it.at_ms);
    sizes.into_iter().map(|it| (it.name, it.bytes)).collect()
}

#[test]
fn workers_that_share_a_place_leave_each_other_alone() {
    let (one, other, shared) = (Place::new(), Place::new(), tempfile::tempdir().unwrap());
    let out = shared.path();
    let (a, b) = (
        one.open_in(out, "a").unwrap(),
        other.open_in(out, "b").unwrap(),
    );
    let both = names(out);
    assert!(
        both[0].starts_with("a.") && both[1].starts_with("b."),
        "{both:?}"
    );
    // The same attempt, as one of a job that was deleted and submitted again.
    for (outs, bytes) in [(&a, 5), (&b, 6)] {
        leave(outs, held(1, 1), bytes, 10);
        assert_eq!(
            removable(outs),
            [("010101010101-1".to_owned(), bytes as u64)]
        );
    }
    a.remove(left(&a), Remover::Keep, 11);
    assert!(b.path(held(1, 1)).exists());
    // Another one shows what is there of a worker that is away.
    let is_listed = |part| matches!(part, Part::Begin { .. });
    assert!(is_listed(answer_of(&a, held(1, 1), Some(b.root()))));
    let removed = answer(&a, held(1, 1));
    assert!(matches!(removed, Part::Absent(Absent::Removed { .. })));
    let nothing = Part::Absent(Absent::Nothing);
    for elsewhere in ["/etc", "", "/", "..", &format!("{}/..", out.display())] {
        let answered = answer_of(&a, held(1, 1), Some(Path::new(elsewhere)));
        assert_eq!(answered, nothing, "{elsewhere}");
    }
}

#[test]
fn a_worker_keeps_its_place_under_another_name_and_another_gets_one_of_its_own() {
    let (place, shared) = (Place::new(), tempfile::tempdir().unwrap());
    let out = shared.path();
    let outs = place.open_in(out, "a").unwrap();
    leave(&outs, held(1, 1), 5, 10);
    let renamed = place.open_in(out, "b").unwrap();
    assert_eq!(renamed.root(), outs.root());
    assert_eq!(all_held(&renamed), [held(1, 1)]);
    // The state of the first one was lost.
    let next = Place::new().open_in(out, "a").unwrap();
    assert!(next.all_ended().is_empty());
    assert_ne!(next.root(), outs.root());
}

/// As older versions left it: the directories of all workers in one.
#[test]
fn what_was_left_before_is_moved_if_it_is_the_workers_own_and_shown_if_not() {
    let (place, shared) = (Place::new(), tempfile::tempdir().unwrap());
    let out = shared.path();
    for name in ["010101010101-1", "020202020202-1"] {
        fs::create_dir(out.join(name)).unwrap();
        fs::write(out.join(name).join("file"), "four").unwrap();
    }
    let notes = Notes::open(&place.place.path().join("attempts")).unwrap();
    notes.write(held(1, 1)).unwrap();
    let outs = place.open_in(out, "a").unwrap();
    assert_eq!(all_held(&outs), [held(1, 1)]);
    assert_eq!(removable(&outs), [("010101010101-1".to_owned(), 4)]);
    assert!(out.join("020202020202-1").exists());
    assert!(matches!(
        answer_of(&outs, held(2, 1), Some(out)),
        Part::Begin { .. }
    ));
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
