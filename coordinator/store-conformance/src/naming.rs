//! What people call sweeps: versions under a name, other names, tags and notes.

use swath_model::label::Relabel;
use swath_model::view::SweepState;

use super::bench::Bench;
use super::importing::{batch, row};
use super::script::sweep;
use crate::{StoreError, Submission, SweepChange};

async fn label(bench: &mut Bench, sweep: &Submission, change: Relabel) -> crate::Result<()> {
    let change = SweepChange::Label(change);
    bench.change_sweep(sweep.digest, change).await
}

async fn rename(bench: &mut Bench, sweep: &Submission, name: &str) -> crate::Result<()> {
    label(bench, sweep, Relabel::Rename(name.to_owned())).await
}

/// The name and version of a sweep.
async fn called(bench: &mut Bench, sweep: &Submission) -> (String, u32) {
    let view = bench.sweep(sweep.digest).await;
    (view.name, view.version)
}

/// A changed file under a known name is the next version; the same file again is
/// the version that it was, and the one that was submitted last.
pub async fn versions_count_up_under_a_name(bench: &mut Bench) {
    let (a, b, other) = (
        sweep("s", &[1], 1),
        sweep("s", &[2], 1),
        sweep("t", &[3], 1),
    );
    for (sweep, version) in [(&a, 1), (&b, 2), (&other, 1)] {
        assert_eq!(bench.submit(sweep).await.version, version);
    }
    let times = async |bench: &Bench| {
        let mut times = Vec::new();
        for sweep in [&a, &b, &other] {
            times.push(bench.sweep(sweep.digest).await.label.last_submitted_at);
        }
        times
    };
    let before = times(bench).await;
    assert!(before.is_sorted_by(|one, next| one < next), "{before:?}");
    assert_eq!(bench.submit(&a).await.version, 1);
    let after = times(bench).await;
    assert!(after[0] > after[2], "{after:?}");
    assert_eq!(after[1..], before[1..]);
    // The last one again is the last one still.
    bench.submit(&a).await;
    assert_eq!(times(bench).await, after);
}

/// Whoever submits a sweep first owns it; tags come together.
pub async fn a_submit_says_whose_it_is(bench: &mut Bench) {
    let first = Submission {
        owner: "alice".to_owned(),
        tags: vec!["b".to_owned(), "a".to_owned()],
        ..sweep("s", &[1], 1)
    };
    bench.submit(&first).await;
    let again = Submission {
        owner: "bob".to_owned(),
        tags: vec!["c".to_owned()],
        ..first.clone()
    };
    bench.submit(&again).await;
    let label = bench.sweep(first.digest).await.label;
    assert_eq!(label.owner, "alice");
    assert_eq!(label.tags, ["a", "b", "c"]);
}

/// What is said of a sweep changes without its jobs, also when it is cancelled.
pub async fn what_is_said_of_a_sweep_changes(bench: &mut Bench) {
    let (s, t) = (sweep("s", &[1], 1), sweep("t", &[1], 1));
    bench.submit(&s).await;
    bench.submit(&t).await;
    bench
        .change_sweep(s.digest, SweepChange::Cancel)
        .await
        .unwrap();
    let changes = [
        Relabel::Note("a \0 note".to_owned()),
        Relabel::Archive(true),
        Relabel::Tag {
            add: vec!["x".to_owned(), "y".to_owned()],
            remove: Vec::new(),
        },
        Relabel::Tag {
            add: Vec::new(),
            remove: vec!["x".to_owned()],
        },
    ];
    for change in changes {
        label(bench, &s, change).await.unwrap();
    }
    let view = bench.sweep(s.digest).await;
    assert_eq!(view.state, SweepState::Cancelled);
    assert_eq!(
        (&*view.label.note, view.label.archived),
        ("a \0 note", true)
    );
    assert_eq!(view.label.tags, ["y"]);
    let commits = bench.commits();
    label(bench, &s, Relabel::Archive(true)).await.unwrap();
    assert_eq!(bench.commits(), commits, "nothing changed");
}

/// A sweep takes a name that nobody has, and leaves its old one to the others.
pub async fn a_sweep_gets_another_name(bench: &mut Bench) {
    let (a, b, other) = (
        sweep("s", &[1], 1),
        sweep("s", &[2], 1),
        sweep("t", &[3], 1),
    );
    for sweep in [&a, &b, &other] {
        bench.submit(sweep).await;
    }
    let taken = rename(bench, &a, "t").await;
    assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    rename(bench, &a, "s").await.unwrap();
    assert_eq!(called(bench, &a).await, ("s".to_owned(), 1));
    rename(bench, &a, "u").await.unwrap();
    assert_eq!(called(bench, &a).await, ("u".to_owned(), 1));
    assert_eq!(called(bench, &b).await, ("s".to_owned(), 2));
    // The file of the old name is the sweep of the new one.
    assert!(bench.submit(&a).await.existed);
    assert_eq!(called(bench, &a).await, ("u".to_owned(), 1));
    let next = sweep("s", &[4], 1);
    assert_eq!(bench.submit(&next).await.version, 3);
    assert_eq!(bench.submit(&sweep("u", &[4], 1)).await.version, 2);
}

/// Imported numbers follow a sweep to its new name, and stay for those that keep
/// the old one.
pub async fn numbers_follow_a_sweep_to_its_name(bench: &mut Bench) {
    let (small, large) = (sweep("s", &[1], 1), sweep("s", &[1, 2], 1));
    bench.submit(&small).await;
    bench.submit(&large).await;
    let numbers = batch(&[row("s", 1, 1, 8.0), row("s", 2, 1, 9.0)]);
    bench.import(numbers).await.unwrap();
    let imported = async |bench: &mut Bench, sweep: &Submission| {
        let results = bench.results(sweep.digest).await;
        let replicates = results.into_iter().flat_map(|cell| cell.replicates);
        replicates.filter(|it| it.imported.is_some()).count()
    };
    rename(bench, &small, "t").await.unwrap();
    assert_eq!(imported(bench, &small).await, 1);
    assert_eq!(imported(bench, &large).await, 2);
    rename(bench, &large, "u").await.unwrap();
    assert_eq!(imported(bench, &large).await, 2);
    // Nothing is left under the old name.
    let anew = sweep("s", &[1, 3], 1);
    bench.submit(&anew).await;
    assert_eq!(imported(bench, &anew).await, 0);
}
