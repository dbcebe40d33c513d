//! Files of programs that travel with their sweeps.

use std::time::Duration;

use swath_model::id::InputDigest;
use swath_model::needs::Needs;
use swath_model::program::{INPUT_PIECE_BYTES, Launch, Shipped};

use super::bench::Bench;
use super::call::Call;
use super::script::sweep;
use crate::{InputFile, Part, Result, StoreError, Submission};

/// A sweep that is started from these files.
fn shipped(name: &str, cells: &[u32], files: &[InputFile]) -> Submission {
    let mut submission = sweep(name, cells, 1);
    submission.ships = files.iter().map(|file| file.digest).collect();
    for cell in &mut submission.cells {
        cell.needs = Needs {
            launch: Launch {
                shipped: Some(Shipped::default()),
                ..Launch::default()
            },
            ..Needs::default()
        };
    }
    submission
}

/// Files of every shape: of no piece, of one, and of two.
fn files() -> [InputFile; 3] {
    let long: Vec<u8> = (0..INPUT_PIECE_BYTES + 5).map(|at| at as u8).collect();
    [&b""[..], b"print(1)", &long].map(InputFile::new)
}

async fn keep(bench: &mut Bench, files: &[InputFile]) -> u64 {
    let kept: Result<u64> = bench.step(Call::KeepInputs(files.to_vec())).await;
    kept.unwrap()
}

async fn kept(bench: &Bench, files: &[InputFile]) -> usize {
    let digests: Vec<InputDigest> = files.iter().map(|file| file.digest).collect();
    let kept = bench.both("kept", async |store| store.kept(&digests).await);
    kept.await.unwrap().len()
}

async fn is_refused(bench: &mut Bench, submission: Submission) -> bool {
    let submitted: Result<crate::Submitted> = bench.step(Call::Submit(submission)).await;
    matches!(submitted, Err(StoreError::Conflict(_)))
}

/// A file is kept once, can be read piece by piece, and goes with the last sweep
/// that needs it.
pub async fn files_go_with_the_last_sweep_that_needs_them(bench: &mut Bench) {
    let files = files();
    assert_eq!(keep(bench, &files[..2]).await, 2);
    assert_eq!(keep(bench, &files).await, 1);
    for file in &files {
        for place in 0..=3 {
            let piece = bench.store().piece(file.digest, place).await.unwrap();
            let wanted = place.checked_sub(1);
            let wanted = wanted.and_then(|at| file.pieces.get(at as usize));
            assert_eq!(piece.as_ref(), wanted, "piece {place}");
        }
    }
    let (s, t) = (
        shipped("s", &[1], &files[..2]),
        shipped("t", &[2], &files[1..]),
    );
    bench.submit(&s).await;
    bench.submit(&t).await;
    assert!(bench.submit(&s).await.existed);
    bench.delete(s.digest, true).await.unwrap();
    assert_eq!(kept(bench, &files).await, 2);
    assert_eq!(kept(bench, &files[..1]).await, 0);
    bench.delete(t.digest, true).await.unwrap();
    assert_eq!(kept(bench, &files).await, 0);
    let mut snapshot = bench.store().snapshot().await.unwrap();
    for part in [Part::Inputs, Part::Pieces, Part::Shipped] {
        let page = snapshot.page(part, crate::PageKey::FIRST, 10).await;
        assert_eq!(page.unwrap().count, 0, "{}", part.name());
    }
    snapshot.close().await.unwrap();
    // It may come again.
    assert_eq!(keep(bench, &files).await, 3);
    bench.submit(&s).await;
}

/// Nothing is stored of a sweep whose files are not all here, or are too much.
pub async fn a_sweep_without_its_files_is_refused(bench: &mut Bench) {
    let files = files();
    keep(bench, &files[1..]).await;
    assert!(is_refused(bench, shipped("s", &[1], &files)).await);
    let mut large = shipped("s", &[1], &files[2..]);
    large.ships = vec![files[2].digest; 64];
    assert!(is_refused(bench, large).await);
    assert_eq!(bench.jobs(crate::JobQuery::default()).await.len(), 0);
    keep(bench, &files).await;
    let s = shipped("s", &[1], &files);
    bench.submit(&s).await;
    assert!(bench.submit(&s).await.existed);
}

/// What no sweep came for goes after a day; what one needs stays.
pub async fn files_without_a_sweep_go_after_a_day(bench: &mut Bench) {
    let files = files();
    keep(bench, &files).await;
    bench.submit(&shipped("s", &[1], &files[..1])).await;
    bench.pass(Duration::from_hours(24));
    bench.tick().await;
    assert_eq!(kept(bench, &files).await, 3);
    bench.pass_ms(1);
    bench.tick().await;
    assert_eq!(kept(bench, &files).await, 1);
    assert!(is_refused(bench, shipped("t", &[2], &files)).await);
    assert_eq!(keep(bench, &files).await, 2);
    bench.submit(&shipped("t", &[2], &files)).await;
}

/// A cell that is started from the files of a sweep keeps them when the sweep
/// goes and another one goes on with the cell.
pub async fn a_cell_that_stays_keeps_its_files(bench: &mut Bench) {
    let files = files();
    keep(bench, &files).await;
    let (s, t) = (shipped("s", &[1, 2], &files), sweep("t", &[2, 3], 1));
    bench.submit(&t).await;
    bench.submit(&s).await;
    bench.delete(s.digest, true).await.unwrap();
    assert_eq!(kept(bench, &files).await, 3);
    bench.delete(t.digest, true).await.unwrap();
    assert_eq!(kept(bench, &files).await, 0);
}
