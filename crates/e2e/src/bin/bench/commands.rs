//! Jobs of a real program: what a job costs beside the start of its process.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use swath_e2e::{Site, SweepText, wait_until};

use crate::peers;
use crate::text::{Figure, progress, quantile};

const JOBS: u32 = 1_000;
const SLOTS: u32 = 2;
/// What a job of the first part runs: it only says that it is done.
const DONE: &str = r#"echo '{"event":"finished","test_error":1.0,"train_seconds":0.0}'"#;
const SLEEPS: u32 = 400;
const SLEEP_SECONDS: f64 = 0.1;
const LONGER: u32 = 60;
const TIMES: u32 = 3;

/// Everything about programs.
pub(crate) fn measure() -> Vec<Figure> {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let _worker = site.worker("commands", SLOTS, &["sh"]);
    wait_until("the worker is there", Duration::from_secs(30), || {
        let workers = site.json(&["workers"]);
        (!workers["workers"].as_array()?.is_empty()).then_some(())
    });
    let mut figures = Vec::new();
    progress(&format!("{JOBS} starts of the program alone"));
    let bare = bare_ms();
    figures.push(Figure::plain(
        "start of `sh -c echo`, 2 at a time, each",
        format!("{bare:.2} ms"),
    ));
    progress(&format!("{JOBS} jobs of it"));
    let each = seconds(&site, "echoes", DONE, JOBS) * 1e3 / f64::from(JOBS);
    figures.push(Figure::at_most(
        "job of `sh -c echo`, 2 slots, each",
        each,
        1.3,
        " ms",
    ));
    progress(&format!("{SLEEPS} jobs of {SLEEP_SECONDS} s"));
    let script = format!("sleep {SLEEP_SECONDS}; {DONE}");
    let took = seconds(&site, "sleeps", &script, SLEEPS);
    let ideal = f64::from(SLEEPS) * SLEEP_SECONDS / f64::from(SLOTS);
    figures.push(Figure::at_most(
        format!("{SLEEPS} jobs of {SLEEP_SECONDS} s, 2 slots, over the ideal {ideal} s"),
        took / ideal,
        1.03,
        "×",
    ));
    let ideal = f64::from(LONGER / SLOTS);
    figures.push(Figure::at_most(
        format!("{LONGER} jobs of 1 s, `coordinator run` as a whole, over the ideal {ideal} s"),
        whole_run(&site) / ideal,
        1.03,
        "×",
    ));
    figures.extend(peers::measure(LONGER, ideal));
    figures
}

/// Seconds that `coordinator run` takes for jobs of a program that sleeps for a
/// second and prints its number: the median of several times.
fn whole_run(site: &Site) -> f64 {
    let values: Vec<u32> = (0..LONGER).collect();
    let text = format!(
        "[sweep]\nname = \"longer\"\nreplicates = 1\n[program]\nmetric = \"acc\"\n\
         command = [\"sh\", \"-c\", \"sleep 1; echo acc=0.{{x}}\"]\nread = {{ stdout = 'acc=(.*)' }}\n\
         [[grid]]\nx = {values:?}\n"
    );
    site.write("longer.toml", &text);
    let mut took = Vec::new();
    for time in 1..=TIMES {
        progress(&format!("{LONGER} jobs of 1 s, {time} of {TIMES}"));
        let database = format!("longer-{time}.db");
        let slots = SLOTS.to_string();
        let started = Instant::now();
        let output = site.run(&[
            "run",
            "longer.toml",
            "--database",
            &database,
            "--slots",
            &slots,
        ]);
        took.push(started.elapsed().as_secs_f64());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
    }
    quantile(&mut took, 0.5)
}

/// Milliseconds per start and end of the program, on as many threads as there
/// are slots.
fn bare_ms() -> f64 {
    let started = Instant::now();
    let run = || {
        for _ in 0..JOBS / SLOTS {
            // What it prints is read, as a worker reads it.
            let _printed = Command::new("sh").args(["-c", DONE]).output();
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..SLOTS {
            threads.spawn(run);
        }
    });
    started.elapsed().as_secs_f64() * 1e3 / f64::from(JOBS)
}

/// Seconds from the first grant to the last end of so many jobs that run `script`.
fn seconds(site: &Site, name: &str, script: &str, jobs: u32) -> f64 {
    let values: Vec<u32> = (0..jobs).collect();
    let text = SweepText::command(name, &["sh", "-c", script], 1)
        .grid(&format!("\"params.x\" = {values:?}\n"));
    site.write(&format!("{name}.toml"), &text.to_string());
    site.ok(&["submit", &format!("{name}.toml")]);
    wait_until("every job is done", Duration::from_mins(5), || {
        (site.count(name, "succeeded") == u64::from(jobs)).then_some(())
    });
    let document = site.json(&["jobs", name]);
    let empty = Vec::new();
    let listed = document["jobs"].as_array().unwrap_or(&empty);
    let of = |key: &'static str| {
        listed
            .iter()
            .filter_map(move |job: &Value| job[key].as_f64())
    };
    let first = of("granted_at").fold(f64::INFINITY, f64::min);
    let last = of("ended_at").fold(f64::NEG_INFINITY, f64::max);
    (last - first) / 1e3
}
