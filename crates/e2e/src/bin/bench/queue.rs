//! The store and the queue, through a real coordinator and real workers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use swath_e2e::usage::resident_mb;
use swath_e2e::{Process, Site, SweepText, wait_until};

use crate::disk::sync_ms;
use crate::server::Server;
use crate::text::{Checked, Figure, progress, quantile};

const CELLS: u32 = 13_020;
const REPLICATES: u32 = 5;
const LATENCY_SUBMITS: u32 = 100;

/// Who works, and what is held to be fast enough.
struct Course {
    /// How the store is told in the figures.
    store: &'static str,
    workers: u32,
    slots: u32,
    /// Null jobs per second, at least.
    rate: f64,
    /// From a submit to the start of its job, in milliseconds.
    latency: f64,
}

/// Everything about the queue, on SQLite.
pub(crate) fn on_sqlite() -> Vec<Figure> {
    let course = Course {
        store: "SQLite",
        workers: 1,
        slots: 2,
        rate: 15_000.0,
        latency: 10.0,
    };
    let mut site = Site::new();
    let coordinator = site.serve();
    measure(&course, &site, &coordinator)
}

/// The same on a Postgres server that is started for it, with more workers.
pub(crate) fn on_postgres() -> Vec<Figure> {
    let course = Course {
        store: "Postgres",
        workers: 4,
        slots: 4,
        rate: 10_000.0,
        latency: 15.0,
    };
    let measured = || -> Checked<Vec<Figure>> {
        let server = Server::start()?;
        let database = server.database("bench", None)?;
        let mut site = Site::new();
        let coordinator = site.serve_with(&database, &server.variables());
        Ok(measure(&course, &site, &coordinator))
    };
    measured().unwrap_or_else(|why| vec![Figure::lacking("the queue on Postgres", &why)])
}

fn measure(course: &Course, site: &Site, coordinator: &Process) -> Vec<Figure> {
    let mut figures = Vec::new();
    progress("the disk's sync time");
    if let Ok((p50, p99)) = sync_ms(site.path()) {
        figures.push(Figure::plain("fdatasync p50", format!("{p50:.2} ms")));
        figures.push(Figure::plain("fdatasync p99", format!("{p99:.2} ms")));
    }
    large_sweep(course, site, coordinator, &mut figures);
    progress(&format!("{LATENCY_SUBMITS} submits to an idle worker"));
    latency(course, site, &mut figures);
    if let Ok((p50, _)) = sync_ms(site.path()) {
        figures.push(Figure::plain(
            "fdatasync p50, afterwards",
            format!("{p50:.2} ms"),
        ));
    }
    figures
}

fn large_sweep(course: &Course, site: &Site, coordinator: &Process, figures: &mut Vec<Figure>) {
    let Course {
        store,
        workers: count,
        slots,
        ..
    } = *course;
    let jobs = CELLS * REPLICATES;
    progress(&format!(
        "submit of {CELLS} cells × {REPLICATES} replicates"
    ));
    let sweep = SweepText::null_grid("large", 0, CELLS).replicates(REPLICATES);
    site.write("large.toml", &sweep.to_string());
    let started = Instant::now();
    site.ok(&["submit", "large.toml"]);
    let seconds = started.elapsed().as_secs_f64();
    let what = format!("submit of {jobs} jobs, {store}, whole command");
    figures.push(Figure::below(what, seconds, 0.5, " s"));

    progress(&format!("{jobs} null jobs at {count} × {slots} slots"));
    let start = |index| site.worker(&format!("bench-{index}"), slots, &[]);
    let workers: Vec<Process> = (0..count).map(start).collect();
    wait_until("every null job is done", Duration::from_mins(5), || {
        (site.count("large", "succeeded") == u64::from(jobs)).then_some(())
    });
    let rate = rate(&site.json(&["jobs", "large"]));
    figures.push(Figure::at_least(
        format!("null jobs per second, {store}, {count} × {slots} slots"),
        rate,
        course.rate,
        "/s",
    ));
    let sizes = workers.iter().map(|worker| resident_mb(worker.pid()));
    figures.push(Figure::below(
        "worker resident, after them, the largest",
        sizes.fold(0.0, f64::max),
        50.0,
        " MB",
    ));
    drop(workers);

    progress("table of it");
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let started = Instant::now();
            site.ok(&["table", "large", "-o", "csv"]);
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let what =
        format!("table of {CELLS} cells × {REPLICATES}, {store}, whole command, median of 7");
    figures.push(Figure::below(what, quantile(&mut times, 0.5), 200.0, " ms"));
    let megabytes = resident_mb(coordinator.pid());
    figures.push(Figure::below(
        format!("coordinator resident, {store}, {jobs} jobs"),
        megabytes,
        120.0,
        " MB",
    ));
}

/// Jobs per second from the first grant to the last end.
pub(crate) fn rate(document: &Value) -> f64 {
    let empty = Vec::new();
    let jobs = document["jobs"].as_array().unwrap_or(&empty);
    let of = |key: &'static str| jobs.iter().filter_map(move |job| job[key].as_f64());
    let first = of("granted_at").fold(f64::INFINITY, f64::min);
    let last = of("ended_at").fold(f64::NEG_INFINITY, f64::max);
    jobs.len() as f64 / ((last - first) / 1e3)
}

/// The output of the program for the latency benchmark: the time of its start
/// as its metric.
pub(crate) fn stamp() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let milliseconds = now.as_secs_f64() * 1e3;
    format!(
        "{}\n",
        json!({"event": "finished", "test_error": milliseconds, "train_seconds": 0.0})
    )
}

/// The time from when the coordinator takes a submit to when the job's own
/// program runs, on a worker that waits. In between are two commits, the
/// wake-up and the start of a process.
fn latency(course: &Course, site: &Site, figures: &mut Vec<Figure>) {
    let Ok(program) = std::env::current_exe() else {
        return;
    };
    let program = program.display().to_string();
    let _worker = site.worker("idle", 1, &[&program]);
    let mut times = Vec::new();
    for index in 0..LATENCY_SUBMITS {
        let name = format!("latency-{index}");
        let text = SweepText::command(&name, &[&program, "stamp"], 1)
            .grid(&format!("\"params.x\" = [{index}]\n"));
        site.write("latency.toml", &text.to_string());
        site.ok(&["submit", "latency.toml"]);
        let job = wait_until("the job is done", Duration::from_secs(30), || {
            let jobs = site.json(&["jobs", &name]);
            let job = jobs["jobs"][0].clone();
            (job["state"] == "succeeded").then_some(job)
        });
        let sweeps = site.json(&["status", &name]);
        let submitted = sweeps["sweeps"][0]["submitted_at"]
            .as_f64()
            .unwrap_or(f64::NAN);
        let started = job["measurement"]["test_error"]
            .as_f64()
            .unwrap_or(f64::NAN);
        times.push(started - submitted);
    }
    let store = course.store;
    let what = format!("submit to start on an idle worker, {store}, process start included");
    figures.push(Figure::plain(
        format!("{what}, p50"),
        format!("{:.1} ms", quantile(&mut times, 0.5)),
    ));
    figures.push(Figure::below(
        format!("{what}, p99"),
        quantile(&mut times, 0.99),
        course.latency,
        " ms",
    ));
}
