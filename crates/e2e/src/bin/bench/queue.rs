//! The store and the queue, through a real coordinator and real workers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use swath_e2e::{Process, Site, SweepText, wait_until};

use crate::disk::sync_ms;
use crate::text::{Figure, progress, quantile};

const CELLS: u32 = 13_020;
const REPLICATES: u32 = 5;
const LATENCY_SUBMITS: u32 = 100;

/// Everything about the queue.
pub(crate) fn measure() -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut site = Site::new();
    progress("the disk's sync time");
    if let Ok((p50, p99)) = sync_ms(site.path()) {
        figures.push(Figure::plain("fdatasync p50", format!("{p50:.2} ms")));
        figures.push(Figure::plain("fdatasync p99", format!("{p99:.2} ms")));
    }
    let coordinator = site.serve();
    large_sweep(&site, &coordinator, &mut figures);
    progress(&format!("{LATENCY_SUBMITS} submits to an idle worker"));
    latency(&site, &mut figures);
    if let Ok((p50, _)) = sync_ms(site.path()) {
        figures.push(Figure::plain(
            "fdatasync p50, afterwards",
            format!("{p50:.2} ms"),
        ));
    }
    figures
}

fn large_sweep(site: &Site, coordinator: &Process, figures: &mut Vec<Figure>) {
    let jobs = CELLS * REPLICATES;
    progress(&format!(
        "submit of {CELLS} cells × {REPLICATES} replicates"
    ));
    site.write("large.toml", &large(CELLS, REPLICATES));
    let started = Instant::now();
    site.ok(&["submit", "large.toml"]);
    let seconds = started.elapsed().as_secs_f64();
    let what = format!("submit of {jobs} jobs, whole command");
    figures.push(Figure::below(what, seconds, 0.5, " s"));

    progress(&format!("{jobs} null jobs at 2 slots"));
    let worker = site.worker("bench", 2, &[]);
    wait_until("every null job is done", Duration::from_mins(5), || {
        (site.count("large", "succeeded") == u64::from(jobs)).then_some(())
    });
    let rate = rate(&site.json(&["jobs", "large"]));
    figures.push(Figure::at_least(
        "null jobs per second, 2 slots",
        rate,
        15_000.0,
        "/s",
    ));
    let megabytes = resident_mb(worker.pid());
    figures.push(Figure::below(
        "worker resident, after them",
        megabytes,
        50.0,
        " MB",
    ));

    progress("table of it");
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let started = Instant::now();
            site.ok(&["table", "large", "-o", "csv"]);
            started.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    let what = format!("table of {CELLS} cells × {REPLICATES}, whole command, median of 7");
    figures.push(Figure::below(what, quantile(&mut times, 0.5), 200.0, " ms"));
    let megabytes = resident_mb(coordinator.pid());
    figures.push(Figure::below(
        format!("coordinator resident, {jobs} jobs"),
        megabytes,
        120.0,
        " MB",
    ));
}

/// A sweep file with this many cells (a multiple of 20) of jobs that do
/// nothing.
pub(crate) fn large(cells: u32, replicates: u32) -> String {
    let text = SweepText::null("large", 1).replicates(replicates);
    let (x, y) = (list(cells / 20), list(20));
    text.grid(&format!("\"params.x\" = {x:?}\n\"params.y\" = {y:?}\n"))
        .to_string()
}

fn list(count: u32) -> Vec<u32> {
    (0..count).collect()
}

/// Jobs per second from the first grant to the last end.
fn rate(document: &Value) -> f64 {
    let empty = Vec::new();
    let jobs = document["jobs"].as_array().unwrap_or(&empty);
    let of = |key: &'static str| jobs.iter().filter_map(move |job| job[key].as_f64());
    let first = of("granted_at").fold(f64::INFINITY, f64::min);
    let last = of("ended_at").fold(f64::NEG_INFINITY, f64::max);
    jobs.len() as f64 / ((last - first) / 1e3)
}

fn resident_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmRSS:")
}

/// The peak resident size of a process, in megabytes.
pub(crate) fn peak_mb(pid: u32) -> f64 {
    memory_mb(pid, "VmHWM:")
}

fn memory_mb(pid: u32, what: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix(what)?
            .split_whitespace()
            .next()?
            .parse::<f64>()
            .ok()
    });
    kilobytes.unwrap_or(f64::NAN) / 1024.0
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
fn latency(site: &Site, figures: &mut Vec<Figure>) {
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
    let what = "submit to start on an idle worker, process start included";
    figures.push(Figure::plain(
        format!("{what}, p50"),
        format!("{:.1} ms", quantile(&mut times, 0.5)),
    ));
    figures.push(Figure::below(
        format!("{what}, p99"),
        quantile(&mut times, 0.99),
        10.0,
        " ms",
    ));
}
