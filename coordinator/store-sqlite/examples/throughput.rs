//! How fast the store is on this disk: a large submit, exchanges in batches,
//! and the reads behind a table.
//!
//! `cargo run --release -p swath-store-sqlite --example throughput [FOLDER]`

#![expect(
    clippy::print_stdout,
    reason = "a measurement is for whoever started it"
)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use swath_core::id::{Owner, SweepDigest};
use swath_core::message::{
    Ack, Exchange, Finish, Held, Hello, Sources, Submission, SubmittedCell, SweepChange,
};
use swath_core::outcome::{Measurement, Outcome, Provenance};
use swath_core::policy::Policy;
use swath_core::spec::{canonical, cell_digest};
use swath_core::time::Timestamp;
use swath_core::view::WorkerAbout;
use swath_store::Store;
use swath_store_sqlite::SqliteStore;

const CELLS: usize = 13_020;
const REPLICATES: u32 = 5;
const NOW: Timestamp = Timestamp::from_ms(1_800_000_000_000);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let folder = match std::env::args().nth(1) {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    println!(
        "fdatasync p50            {:>10.2?}",
        fdatasync(folder.path())?
    );
    let path = folder.path().join("swath.db");
    let store = Arc::new(SqliteStore::open(&path, Policy::default()).await?);
    let submission = submission("grid", 0, CELLS);
    let sweep = submission.digest;
    time("submit 13,020 cells x 5", store.submit(NOW, submission)).await?;
    for (workers, batch, jobs) in [
        (1, 1, 500),
        (64, 1, 4_000),
        (64, 16, 16_000),
        (8, 64, 16_000),
        (64, 64, 20_000),
    ] {
        let before = cpu();
        let took = exchange(&store, workers, batch, jobs).await?;
        let rate = jobs as f64 / took.as_secs_f64();
        let cpu = cpu().saturating_sub(before);
        println!("{workers:>3} workers x batch {batch:>2}    {rate:>10.0} pairs/s ({cpu:.2?} cpu)");
    }
    for _ in 0..8 {
        time("results of the sweep", store.results(sweep, 0)).await?;
    }
    for _ in 0..2 {
        time("all sweeps with counts", store.sweeps()).await?;
    }
    println!("resident                 {:>10}", resident()?);
    time(
        "cancel the sweep",
        store.change_sweep(NOW, sweep, SweepChange::Cancel),
    )
    .await?;
    time(
        "submit it again",
        store.submit(NOW, self::submission("grid", 0, CELLS)),
    )
    .await?;
    time(
        "submit, half of it known",
        store.submit(NOW, self::submission("half", CELLS / 2, CELLS)),
    )
    .await?;
    println!("resident                 {:>10}", resident()?);
    println!(
        "file                     {:>7} MiB",
        path.metadata()?.len() >> 20
    );
    store.close().await?;
    time(
        "open with a check",
        SqliteStore::open(&path, Policy::default()),
    )
    .await?;
    Ok(())
}

async fn time<T, E>(what: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let (start, cpu) = (Instant::now(), cpu());
    let done = work.await?;
    let cpu = self::cpu().saturating_sub(cpu);
    println!("{what:<24} {:>10.2?} ({cpu:.2?} cpu)", start.elapsed());
    Ok(done)
}

/// Processor time of this process, in steps of 10 ms: tells a slow store from a
/// busy machine.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(") ").next().unwrap_or_default();
    let ticks = after_name.split(' ').skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn fdatasync(folder: &Path) -> Result<Duration, Error> {
    let mut file = File::create(folder.join("fdatasync"))?;
    let mut times = Vec::new();
    for _ in 0..101 {
        file.write_all(&[0; 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    Ok(times[50])
}

fn resident() -> Result<String, Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// Cells like those of a real grid, with specs of about a kilobyte.
fn submission(name: &str, first: usize, cells: usize) -> Submission {
    let cells = (first..first + cells).map(|index| {
        let rate = 0.001 * (index + 1) as f64;
        let spec = canonical(&json!({
            "dataset": {"name": "cifar10", "mean": [0.4914, 0.4822, 0.4465]},
            "model": {"name": "resnet_preact", "depth": 20, "base_channels": 16, "block_type": "basic"},
            "optimizer": {"name": "sgd", "lr": rate, "momentum": 0.9, "nesterov": true, "weight_decay": 0.0001},
            "schedule": {"name": "cosine", "min_lr": 0}, "epochs": 160, "batch_size": 128,
            "augmentation": {"random_crop": {"padding": 4}, "horizontal_flip": true},
            "notes": "x".repeat(500),
        }));
        SubmittedCell {
            digest: cell_digest(&spec),
            axes: vec![
                ("optimizer.lr".to_owned(), json!(rate)),
                ("batch_size".to_owned(), json!(128)),
                ("schedule.name".to_owned(), json!("cosine")),
            ],
            spec,
            program: None,
        }
    });
    let mut digest = [first as u8; 32];
    digest[..name.len()].copy_from_slice(name.as_bytes());
    Submission {
        digest: SweepDigest::from_bytes(digest),
        name: name.to_owned(),
        title: String::new(),
        replicates: REPLICATES,
        replicates_max: None,
        priority: 0,
        sources: Sources::default(),
        definition: json!({}),
        cells: cells.collect::<Vec<SubmittedCell>>(),
    }
}

/// Workers that each hand in a batch and take the next until all jobs are done.
async fn exchange(
    store: &Arc<SqliteStore>,
    workers: usize,
    batch: u32,
    jobs: usize,
) -> Result<Duration, Error> {
    let mut owners = Vec::new();
    for worker in 0..workers {
        let worker = format!("w{worker}").parse()?;
        let about = WorkerAbout::default();
        let hello = Hello {
            worker,
            about,
            held: Vec::new(),
        };
        let welcome = store.hello(NOW, hello.clone()).await?;
        owners.push(Owner {
            worker: hello.worker,
            session: welcome.session,
        });
    }
    let rounds = jobs / workers / batch as usize;
    let start = Instant::now();
    let tasks = owners.into_iter().map(|owner| {
        let store = Arc::clone(store);
        tokio::spawn(async move { work(&*store, owner, batch, rounds).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok(start.elapsed())
}

async fn work(store: &dyn Store, owner: Owner, batch: u32, rounds: usize) -> Result<(), Error> {
    let mut held: Vec<Held> = Vec::new();
    for round in 0..=rounds {
        let finishes: Vec<Finish> = held.iter().map(|held| measured(*held)).collect();
        let exchange = Exchange {
            owner: owner.clone(),
            request: round as u64,
            finishes,
            want: if round < rounds { batch } else { 0 },
        };
        let exchanged = store.exchange(NOW, exchange).await?;
        if exchanged.acks.iter().any(|ack| *ack != Ack::Recorded) {
            return Err("an outcome was not recorded".into());
        }
        held = exchanged.grants.iter().map(|grant| grant.held).collect();
        if round < rounds && held.len() != batch as usize {
            return Err("the queue is empty".into());
        }
    }
    Ok(())
}

fn measured(held: Held) -> Finish {
    Finish {
        held,
        outcome: Outcome::Measured(Measurement {
            test_error: 8.25,
            test_loss: Some(0.31),
            best_test_error: Some(8.125),
            train_seconds: 1234.5,
            metrics: swath_core::metrics::Metrics::new(),
            weights: None,
        }),
        provenance: Provenance {
            device: "NVIDIA H100".to_owned(),
            ..Provenance::default()
        },
    }
}
