//! What is written to a database comes back, row by row: beside it lies a store of
//! plain rows, and both give the same. A store instantiates it in its tests, as it does
//! with the suite:
//!
//! ```ignore
//! swath_store_conformance::keeping_suite!(fresh);
//! ```

use std::sync::Arc;

use serde_json::json;
use swath_engine::Engine;
use swath_model::cause::PauseCause;
use swath_model::device::Device;
use swath_model::id::Owner;
use swath_model::import::{ImportBatch, ImportRow, Imported};
use swath_model::needs::Needs;
use swath_model::offer::{Free, Offer};
use swath_model::outcome::{Fault, Outcome, Provenance};
use swath_model::policy::Policy;
use swath_model::spec::cell_digest;
use swath_model::time::Timestamp;
use swath_model::view::WorkerAbout;

use crate::script::{failed, finish, measured, observation, provenance, report, sweep};
use crate::watched::{Watch, Watched};
use crate::{Exchange, Held, Hello, Store, Submission, SubmittedCell, SweepChange};

const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

/// One test per check, for the stores that `$make` makes: an `async fn(Policy) ->
/// (impl Store, impl Sized)`.
#[macro_export]
macro_rules! keeping_suite {
    ($make:path) => {
        $crate::keeping_suite! { $make;
            texts_come_back_whatever_is_in_them,
            numbers_come_back_to_the_last_bit,
            a_nul_counts_as_one_byte,
        }
    };
    ($make:path; $($name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::keeping::run($make, $crate::keeping::$name);
            }
        )*
    };
}

/// Runs a check on a store that `make` makes.
#[doc(hidden)]
pub fn run<S: Store, G>(make: impl AsyncFn(Policy) -> (S, G), check: impl AsyncFnOnce(S)) {
    crate::runtime().block_on(async {
        let (store, _guard) = make(Policy::default()).await;
        check(store).await;
    });
}

/// Some engine with a worker, on a store that is watched.
async fn engine(store: impl Store) -> (Engine, Owner, Arc<Watch>) {
    let (watched, watch) = Watched::new(store);
    let engine = Engine::start(Arc::new(watched), Policy::default(), "here").await;
    let engine = engine.unwrap();
    let hello = Hello {
        worker: "w".parse().unwrap(),
        about: WorkerAbout {
            host: "a\0b\"ü".to_owned(),
            state_id: Some(swath_model::id::StateId(7)),
            out: Some("/lab/out".to_owned()),
            offer: Offer {
                programs: vec!["pro\0gram".to_owned(), String::new()],
                slots: vec![Device::Cpu],
                cpus: Some(8),
                ..Offer::default()
            },
            ..WorkerAbout::default()
        },
        held: Vec::new(),
        takes_name: false,
    };
    let welcome = engine.hello(NOW, hello.clone()).await.unwrap();
    let owner = Owner {
        worker: hello.worker,
        session: welcome.session,
    };
    (engine, owner, watch)
}

/// What another engine is given to begin with, and every row, is what the plain
/// rows are.
async fn comes_back(engine: &Engine, watch: &Watch) {
    engine.stop().await;
    let store = Arc::clone(engine.store());
    let again = Engine::start(Arc::clone(&store), Policy::default(), "here").await;
    again.unwrap().stop().await;
    store.snapshot().await.unwrap().close().await.unwrap();
    assert_eq!(watch.differences(), [""; 0]);
}

async fn exchange(
    engine: &Engine,
    owner: &Owner,
    request: u64,
    told: &[(Held, Outcome)],
) -> Vec<Held> {
    let finishes = told.iter().map(|(held, outcome)| {
        let mut finish = finish(*held, outcome.clone());
        finish.provenance = Provenance {
            driver: "x\0y".to_owned(),
            ..provenance()
        };
        finish
    });
    let exchange = Exchange {
        owner: owner.clone(),
        request,
        finishes: finishes.collect(),
        free: Free::cpu(9),
    };
    let grants = engine.exchange(NOW, exchange).await.unwrap().grants;
    grants.into_iter().map(|grant| grant.held).collect()
}

/// Trainers write what they like; nothing of it is cut off, and nothing of what
/// comes after it is shifted.
pub async fn texts_come_back_whatever_is_in_them(store: impl Store) {
    let (engine, owner, watch) = engine(store).await;
    let mut submission = Submission {
        title: "a\0title".to_owned(),
        definition: json!({ "a\0": "\u{1}\0" }),
        ..sweep("te\0xts", &[], 1)
    };
    for text in ["", "\0", "ä\0\"\\'b", "\u{10ffff}"] {
        let spec = serde_json::to_string(&json!({ "x": text })).unwrap();
        submission.cells.push(SubmittedCell {
            digest: cell_digest(&spec),
            axes: vec![("na\0me".to_owned(), json!(text))],
            spec: format!("{spec}\n"),
            needs: Needs {
                program: (text.len() == 1).then(|| "pro\0gram".to_owned()),
                cpus: Some(2),
                ..Needs::default()
            },
        });
    }
    let digest = submission.digest;
    engine.submit(NOW, submission).await.unwrap();
    let held = exchange(&engine, &owner, 1, &[]).await;
    assert_eq!(held.len(), 4);
    let log = "a\0log\n";
    let reports = vec![report(held[0], Vec::new(), 1, log)];
    engine.observe(NOW, owner.clone(), reports).await.unwrap();
    let messages = ["", "\0", "first\0line\nsecond", "\"ü\"\0"];
    let told = held
        .iter()
        .zip(messages)
        .map(|(held, message)| (*held, failed(Fault::Diverged, message)));
    let told: Vec<(Held, Outcome)> = told.collect();
    assert_eq!(exchange(&engine, &owner, 2, &told).await, []);
    let cause = PauseCause::FailedAlike {
        jobs: 3,
        fault: Fault::Crashed,
        headline: "he\0ad".to_owned(),
    };
    let pause = SweepChange::Pause {
        cause: cause.clone(),
    };
    engine.change_sweep(NOW, digest, pause).await.unwrap();

    let store = engine.store();
    for (held, message) in held.iter().zip(messages) {
        let job = store.job(held.job).await.unwrap().unwrap();
        assert_eq!(job.job.message, message);
        let attempt = &job.attempts[0];
        assert_eq!(attempt.message, message);
        assert_eq!(attempt.provenance.as_ref().unwrap().driver, "x\0y");
    }
    assert_eq!(store.logs(held[0].job, 0).await.unwrap()[0].text, log);
    assert_eq!(store.sweeps().await.unwrap()[0].paused, Some(cause));
    let results = store.results(digest, None).await.unwrap();
    assert_eq!(results[2].axes[0].1, json!("ä\0\"\\'b"));
    comes_back(&engine, &watch).await;
}

/// Not the nearest number of few digits, but every bit.
pub async fn numbers_come_back_to_the_last_bit(store: impl Store) {
    let (engine, owner, watch) = engine(store).await;
    // The third and the fourth are what SQLite reads wrongly from text.
    let numbers = [0.1 + 0.2, 1.0 / 3.0, 1e-300 / 7.0, 5e-324, f64::MAX, -0.0];
    let cells: Vec<u32> = (0..numbers.len() as u32).collect();
    let submission = sweep("numbers", &cells, 1);
    let cell = submission.cells[0].digest;
    engine.submit(NOW, submission).await.unwrap();
    let held = exchange(&engine, &owner, 1, &[]).await;
    let told: Vec<(Held, Outcome)> = std::iter::zip(&held, numbers)
        .map(|(held, number)| (*held, measured(number)))
        .collect();
    let seen = |number| observation(1, number);
    for (held, number) in std::iter::zip(&held, numbers) {
        let reports = vec![report(*held, vec![seen(number)], 0, "")];
        engine.observe(NOW, owner.clone(), reports).await.unwrap();
    }
    exchange(&engine, &owner, 2, &told).await;
    // SQLite keeps no sign of a zero in a column of numbers.
    let said = numbers.iter().filter(|it| **it != 0.0);
    let said = said.zip(1..).map(|(number, place)| ImportRow {
        sweep: "numbers".to_owned(),
        cell,
        place,
        number: Imported {
            test_error: *number,
            seconds: Some(number.abs()),
            runs: 1,
            replicate: None,
            seed: None,
            source: "paper".to_owned(),
            file: "f".to_owned(),
            line: 1,
        },
    });
    let batch = ImportBatch {
        rows: said.collect(),
        ..ImportBatch::default()
    };
    engine.import(NOW, batch.clone()).await.unwrap();
    // A number that is not the same to the last bit would contradict it.
    assert_eq!(engine.import(NOW, batch).await.unwrap().known, 5);
    let store = engine.store();
    for (held, number) in std::iter::zip(&held, numbers) {
        let job = store.job(held.job).await.unwrap().unwrap().job;
        let error = job.measured().map(f64::to_bits);
        assert_eq!(error, Some(number.to_bits()));
        assert_eq!(
            job.measurement.map(Outcome::Measured),
            Some(measured(number))
        );
        assert_eq!(job.progress, Some(seen(number)));
    }
    comes_back(&engine, &watch).await;
}

/// What a database keeps of a NUL in a log may be longer than it is.
pub async fn a_nul_counts_as_one_byte(store: impl Store) {
    let (engine, owner, _watch) = engine(store).await;
    let store = engine.store();
    engine.submit(NOW, sweep("logs", &[1], 1)).await.unwrap();
    let held = exchange(&engine, &owner, 1, &[]).await[0];
    let mut end = 0;
    for bytes in [100_000, 80_000, 50_000] {
        end += bytes as u64;
        let reports = vec![report(held, Vec::new(), end, &"\0".repeat(bytes))];
        engine.observe(NOW, owner.clone(), reports).await.unwrap();
    }
    let logs = store.logs(held.job, 0).await.unwrap();
    let places = logs.iter().map(|chunk| (chunk.begin, chunk.text.len()));
    let wanted = [(100_000, 80_000), (180_000, 50_000)];
    assert_eq!(places.collect::<Vec<_>>(), wanted);
    store.close().await.unwrap();
}
