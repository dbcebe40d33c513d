//! How long the table of a large sweep takes, from stored results to text:
//! `cargo run --release -p swath-report --example large_table`.

use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use swath_model::id::{CellDigest, JobDigest, Replicate, SweepDigest};
use swath_model::job::StateName;
use swath_model::metrics::Metrics;
use swath_model::outcome::{Fault, Measurement, Provenance};
use swath_model::time::Timestamp;
use swath_model::view::{CellResults, Counts, ReplicateResult, SweepRecord, SweepState, SweepView};
use swath_report::{Format, Records, Style, results};
use swath_results::table::{Results, TableError};

const CELLS: u64 = 13_020;
const REPLICATES: u32 = 5;
const TIMES: usize = 15;

fn sweep() -> SweepRecord {
    let view = SweepView {
        digest: SweepDigest::from_bytes([7; 32]),
        name: "large".to_owned(),
        title: "A large sweep".to_owned(),
        state: SweepState::Finished,
        kind: swath_model::view::SweepKind::Training,
        paused: None,
        cells: CELLS,
        replicates: REPLICATES,
        replication: None,
        priority: 0,
        counts: Counts::default(),
        submitted_at: Timestamp::from_ms(0),
        finished_at: None,
        version: 1,
        label: swath_model::label::Label::default(),
    };
    SweepRecord {
        view,
        definition: json!({"layout": {"list": {
            "rows": ["batch_size", "optimizer.lr", "schedule.name", "epochs"],
            "columns": ["test_error", "train_time"],
        }}}),
    }
}

fn replicate(cell: u64, number: u32) -> ReplicateResult {
    // Any spread will do, as long as it is the same each time.
    let spread = (cell * 7919 + u64::from(number) * 104_729) % 1000;
    let diverged = spread < 20;
    let mut digest = [number as u8; 32];
    digest[..8].copy_from_slice(&cell.to_le_bytes());
    ReplicateResult {
        replicate: Replicate(number),
        job: JobDigest::from_bytes(digest),
        seed: cell * 100 + u64::from(number),
        state: if diverged {
            StateName::Failed
        } else {
            StateName::Succeeded
        },
        fault: diverged.then_some(Fault::Diverged),
        measurement: (!diverged).then(|| Measurement {
            values: Metrics::from([
                ("test_error", 5.0 + spread as f64 / 100.0),
                ("test_loss", 0.3),
                ("best_test_error", 5.0),
            ]),
            train_seconds: 300.0 + spread as f64,
            weights: None,
        }),
        last_values: Vec::new(),
        provenance: Some(Arc::new(Provenance {
            device: if spread > 990 { "NVIDIA A" } else { "NVIDIA B" }.to_owned(),
            ..Provenance::default()
        })),
        imported: None,
    }
}

fn cells() -> Vec<CellResults> {
    (0..CELLS)
        .map(|index| {
            let mut digest = [1; 32];
            digest[..8].copy_from_slice(&index.to_le_bytes());
            CellResults {
                index,
                cell: CellDigest::from_bytes(digest),
                axes: vec![
                    ("batch_size".to_owned(), json!(1 << (index % 10))),
                    ("optimizer.lr".to_owned(), json!(index as f64 * 1e-4)),
                    ("schedule.name".to_owned(), json!("cosine")),
                    ("epochs".to_owned(), json!(200)),
                ],
                replicates: (1..=REPLICATES)
                    .map(|number| replicate(index, number))
                    .collect(),
            }
        })
        .collect()
}

/// Median and least time that `work` takes, in milliseconds. What it returns is
/// dropped outside the measured time.
fn time<G, T>(mut given: impl FnMut() -> G, mut work: impl FnMut(G) -> T) -> (f64, f64) {
    let mut spent = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let given = given();
        let begin = Instant::now();
        let made = work(given);
        spent.push(begin.elapsed().as_secs_f64() * 1e3);
        drop(made);
    }
    spent.sort_unstable_by(f64::total_cmp);
    (spent[TIMES / 2], spent[0])
}

#[expect(clippy::print_stdout, reason = "an example prints what it measured")]
fn main() -> Result<(), TableError> {
    let (sweep, cells) = (sweep(), cells());
    let (median, least) = time(|| cells.clone(), |cells| Results::new(&sweep, cells));
    println!("summing up {median:6.1} ms median, {least:6.1} ms least");
    let summed = Results::new(&sweep, cells)?;
    let (median, least) = time(|| (), |()| summed.table());
    println!("laying out {median:6.1} ms median, {least:6.1} ms least");
    for format in Format::ALL {
        let bytes = results(&summed, format, &Style::PIPE)?.len();
        let (median, least) = time(|| (), |()| results(&summed, format, &Style::PIPE));
        println!("{format:<10} {median:6.1} ms median, {least:6.1} ms least, {bytes} bytes");
    }
    let parquet = || {
        let mut bytes = Vec::new();
        Records::new(&summed)
            .write_parquet(&mut bytes)
            .map(|()| bytes.len())
    };
    let bytes = parquet().unwrap_or(0);
    let (median, least) = time(|| (), |()| parquet());
    println!("parquet    {median:6.1} ms median, {least:6.1} ms least, {bytes} bytes");
    Ok(())
}
