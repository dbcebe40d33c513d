//! Reading a store that has seen years of work: the time of whole commands and
//! the memory of the coordinator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use swath_e2e::{Process, Site, SweepText, binary};

use crate::queue::{large, peak_mb};
use crate::text::{Figure, progress, quantile};

const REPLICATES: u32 = 5;
/// How many cells each sweep besides the large one has.
const CELLS: u32 = 188;
const RUNS: usize = 7;

/// The size of the store: 1,000 sweeps, more than a million jobs and 20 million
/// observations, or a small one for a quick run.
struct Size {
    sweeps: u32,
    cells: u32,
    epochs: u32,
}

impl Size {
    fn asked() -> Self {
        match std::env::var("SWATH_BENCH_STORE").as_deref() {
            Ok("small") => Self {
                sweeps: 50,
                cells: 1300,
                epochs: 5,
            },
            _ => Self {
                sweeps: 1000,
                cells: 13_020,
                epochs: 20,
            },
        }
    }

    /// How many jobs all sweeps have together.
    fn jobs(&self) -> u32 {
        REPLICATES * (self.cells + (self.sweeps - 1) * CELLS)
    }
}

/// Everything about reading a large store.
pub(crate) fn measure() -> Vec<Figure> {
    let size = Size::asked();
    let mut site = Site::new();
    let mut figures = Vec::new();
    progress(&format!(
        "a store with {} sweeps, {} jobs, {} observations per job",
        size.sweeps,
        size.jobs(),
        size.epochs
    ));
    let started = Instant::now();
    if let Err(why) = fill(&mut site, &size) {
        return vec![Figure::plain("a large store", why)];
    }
    let took = started.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(site.path().join("swath.db")).map_or(0, |file| file.len());
    let what = format!(
        "store with {} sweeps, {} jobs, {} observations per job",
        size.sweeps,
        size.jobs(),
        size.epochs
    );
    let value = format!("{:.2} GB, filled in {took:.0} s", bytes as f64 / 1e9);
    figures.push(Figure::plain(what, value));

    let coordinator = site.serve();
    reads(&site, &size, &coordinator, &mut figures);
    figures
}

/// Two submitted sweeps, and what `fill` adds to them.
fn fill(site: &mut Site, size: &Size) -> Result<(), String> {
    let filler = binary("examples/fill");
    let coordinator = site.serve();
    site.write("large.toml", &large(size.cells, REPLICATES));
    let small = SweepText::null("small", CELLS)
        .replicates(REPLICATES)
        .grid(&format!(
            "\"params.z\" = {:?}\n",
            (0..CELLS).collect::<Vec<_>>()
        ));
    site.write("small.toml", &small.to_string());
    site.ok(&["submit", "large.toml"]);
    site.ok(&["submit", "small.toml"]);
    drop(coordinator);
    let output = Command::new(filler)
        .arg(site.path().join("swath.db"))
        .args([(size.sweeps - 2).to_string(), size.epochs.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn reads(site: &Site, size: &Size, coordinator: &Process, figures: &mut Vec<Figure>) {
    let replicates = size.cells * REPLICATES;
    let held = [
        (vec!["sweeps"], "sweeps".to_owned(), 100.0),
        (vec!["status"], "status".to_owned(), 100.0),
        (
            vec!["status", "large"],
            "status of one sweep".to_owned(),
            100.0,
        ),
        (
            vec!["table", "large", "-o", "csv"],
            format!("table of {} cells × {REPLICATES}", size.cells),
            200.0,
        ),
        (
            vec!["table", "small", "-o", "csv"],
            format!("table of {CELLS} cells × {REPLICATES}"),
            200.0,
        ),
        (
            vec!["export", "large", "-o", "large.parquet"],
            format!("export of {replicates} replicates to Parquet"),
            2000.0,
        ),
        (
            vec!["export", "large", "-o", "large.jsonl"],
            format!("export of {replicates} replicates to JSON Lines"),
            2000.0,
        ),
        (
            vec!["export", "large", "-o", "large.csv"],
            format!("export of {replicates} replicates to CSV"),
            2000.0,
        ),
    ];
    for (words, what, goal) in held {
        figures.push(timed(site, &words, &what, Some(goal)));
    }
    figures.push(plan(site));
    let what = format!("jobs of a sweep of {}", CELLS * REPLICATES);
    figures.push(timed(site, &["jobs", "small-7"], &what, None));
    figures.push(Figure::below(
        "coordinator's peak resident memory, after all of this",
        peak_mb(coordinator.pid()),
        500.0,
        " MB",
    ));
}

/// Plans every published table against that store.
fn plan(site: &Site) -> Figure {
    let files = shipped();
    if files.is_empty() {
        return Figure::plain("plan of all published tables", "no sweeps/ here");
    }
    let mut words = vec!["plan"];
    words.extend(files.iter().filter_map(|file| file.to_str()));
    words.extend(["-o", "json"]);
    let what = format!("plan of all published tables, {} files", files.len());
    timed(site, &words, &what, Some(1000.0))
}

/// The sweep files of the repository. The benchmark runs at its root.
fn shipped() -> Vec<PathBuf> {
    let root = std::env::current_dir().unwrap_or_default();
    let files = std::fs::read_dir(Path::new(&root).join("sweeps"));
    let mut files: Vec<PathBuf> = files
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    files
}

/// The median wall time of a command, or why it could not be measured.
fn timed(site: &Site, words: &[&str], what: &str, goal: Option<f64>) -> Figure {
    progress(what);
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let output = site.run(words);
        times.push(started.elapsed().as_secs_f64() * 1e3);
        if output.code != Some(0) {
            let why = output.stderr.lines().next().unwrap_or_default();
            return Figure::plain(what, format!("failed: {why}"));
        }
    }
    let milliseconds = quantile(&mut times, 0.5);
    let what = format!("{what}, whole command, median of {RUNS}");
    match goal {
        Some(goal) => Figure::below(what, milliseconds, goal, " ms"),
        None => Figure::plain(what, format!("{milliseconds:.0} ms")),
    }
}
