//! Reading a store that has seen years of work: the time of whole commands and the memory of the coordinator, on SQLite
//! and, with the same rows, on Postgres.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use swath_e2e::usage::peak_mb;
use swath_e2e::{Process, Site, SweepText, binary};

use crate::server::Server;
use crate::text::{Checked, Figure, progress, quantile};

const REPLICATES: u32 = 5;
/// How many cells the large sweep has, and each of the others.
const LARGE: u32 = 13_020;
const CELLS: u32 = 188;
/// Observations per job.
const EPOCHS: u32 = 20;
const RUNS: usize = 7;
/// A command may take so many times as long on Postgres as on SQLite.
const RATIO: f64 = 2.0;

/// A coordinator on one of the databases, and where commands ask it.
struct Side {
    name: &'static str,
    site: Site,
    coordinator: Process,
}

/// Everything about reading a store of so many sweeps, two of which are submitted and the others cloned. 1,000 sweeps are
/// more than a million jobs and 20 million observations.
pub(crate) fn measure(sweeps: u32) -> Vec<Figure> {
    let sweeps = sweeps.max(3);
    let jobs = REPLICATES * (LARGE + (sweeps - 1) * CELLS);
    let mut site = Site::new();
    let mut figures = Vec::new();
    let what = format!("store with {sweeps} sweeps, {jobs} jobs, {EPOCHS} observations per job");
    progress(&what);
    let started = Instant::now();
    if let Err(why) = fill(&mut site, sweeps - 2) {
        return vec![Figure::failed(what, why)];
    }
    let took = started.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(site.path().join("swath.db")).map_or(0, |file| file.len());
    let value = format!("{:.2} GB, filled in {took:.0} s", bytes as f64 / 1e9);
    figures.push(Figure::plain(what, value));

    progress("a copy of it in Postgres");
    let what = "copy of it to Postgres, compared and checked";
    let started = Instant::now();
    let copied = copy(&site);
    let took = started.elapsed().as_secs_f64();
    figures.push(match &copied {
        Ok(_) => Figure::plain(what, format!("{took:.0} s")),
        Err(why) => Figure::lacking(what, why),
    });
    let mut sides = vec![Side {
        name: "SQLite",
        coordinator: site.serve(),
        site,
    }];
    if let Ok((server, database)) = &copied {
        let mut site = Site::new();
        sides.push(Side {
            name: "Postgres",
            coordinator: site.serve_with(database, &server.variables()),
            site,
        });
    }
    reads(&sides, &mut figures);
    figures
}

/// Two submitted sweeps, and what `fill` adds to them.
fn fill(site: &mut Site, clones: u32) -> Checked {
    let filler = binary("examples/fill");
    let coordinator = site.serve();
    let large = SweepText::null_grid("large", 0, LARGE).replicates(REPLICATES);
    site.write("large.toml", &large.to_string());
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
        .args([clones.to_string(), EPOCHS.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A Postgres server with the rows of the site's database, as it is when it has been vacuumed once.
fn copy(site: &Site) -> Checked<(Server, String)> {
    let server = Server::start()?;
    let database = server.database("bench", None)?;
    let mut command = site.coordinator();
    command.args(["store", "copy", "sqlite:swath.db", &database]);
    command.envs(server.variables());
    let output = command.output().map_err(|error| error.to_string())?;
    // The digests of the clones are not those of their specs, so the check that follows the comparison objects.
    let said = String::from_utf8_lossy(&output.stderr);
    if !said.contains("both are the same") {
        return Err(said.into_owned());
    }
    server.sql("bench", "VACUUM ANALYZE")?;
    Ok((server, database))
}

fn reads(sides: &[Side], figures: &mut Vec<Figure>) {
    let replicates = LARGE * REPLICATES;
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
            format!("table of {LARGE} cells × {REPLICATES}"),
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
        timed(sides, &words, &what, Some(goal), figures);
    }
    plan(sides, figures);
    let what = format!("jobs of a sweep of {}", CELLS * REPLICATES);
    timed(sides, &["jobs", "small-1"], &what, None, figures);
    for side in sides {
        figures.push(Figure::below(
            format!(
                "coordinator's peak resident memory, {}, after all of this",
                side.name
            ),
            peak_mb(side.coordinator.pid()),
            500.0,
            " MB",
        ));
    }
}

/// Plans every published table against that store.
fn plan(sides: &[Side], figures: &mut Vec<Figure>) {
    let files = shipped();
    if files.is_empty() {
        let what = "plan of all published tables";
        figures.push(Figure::plain(what, "no sweeps/ here"));
        return;
    }
    let mut words = vec!["plan"];
    words.extend(files.iter().filter_map(|file| file.to_str()));
    words.extend(["-o", "json"]);
    let what = format!("plan of all published tables, {} files", files.len());
    timed(sides, &words, &what, Some(1000.0), figures);
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

/// The median wall time of a command on each side, in turn, and how they compare. The goal in milliseconds is SQLite's.
fn timed(sides: &[Side], words: &[&str], what: &str, goal: Option<f64>, figures: &mut Vec<Figure>) {
    progress(what);
    let mut times = vec![Vec::new(); sides.len()];
    for _ in 0..RUNS {
        for (side, times) in sides.iter().zip(&mut times) {
            let started = Instant::now();
            let output = side.site.run(words);
            times.push(started.elapsed().as_secs_f64() * 1e3);
            if output.code != Some(0) {
                let what = format!("{what}, {}", side.name);
                figures.push(Figure::failed(what, output.stderr));
                return;
            }
        }
    }
    let medians: Vec<f64> = times.iter_mut().map(|it| quantile(it, 0.5)).collect();
    for (index, (side, milliseconds)) in sides.iter().zip(&medians).enumerate() {
        let what = format!("{what}, {}, whole command, median of {RUNS}", side.name);
        figures.push(match goal.filter(|_| index == 0) {
            Some(goal) => Figure::below(what, *milliseconds, goal, " ms"),
            None => Figure::plain(what, format!("{milliseconds:.0} ms")),
        });
    }
    if let [sqlite, postgres] = medians[..] {
        figures.push(Figure::at_most(
            format!("{what}, Postgres over SQLite"),
            postgres / sqlite,
            RATIO,
            "×",
        ));
    }
}
