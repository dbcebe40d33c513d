//! Other tools that run a program many times, where they are installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use crate::text::{Figure, progress};

/// How each is told, its module, and its name in `benches/peers.py`.
const TOOLS: [(&str, &str, &str); 4] = [
    ("Optuna, in memory", "optuna", "optuna"),
    ("Optuna, on SQLite", "optuna", "optuna-sqlite"),
    ("Ray Tune", "ray.tune", "ray"),
    ("runs of W&B, offline, no sweep", "wandb", "wandb"),
];

/// What `jobs` jobs of a second take by each of them, over `ideal` seconds.
pub(crate) fn measure(jobs: u32, ideal: f64) -> Vec<Figure> {
    let named = std::env::var_os("SWATH_BENCH_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| PathBuf::from("python3"));
    let figure = |(told, module, name): (&str, &str, &str)| {
        let what = format!("the same by {told}");
        if !has(&python, module) {
            return Figure::plain(what, format!("skipped: {module} is not installed"));
        }
        progress(&what);
        match seconds(&python, name, jobs) {
            Ok(took) => Figure::plain(what, format!("{:.2}×", took / ideal)),
            Err(why) => Figure::failed(what, why),
        }
    };
    TOOLS.map(figure).into()
}

fn has(python: &Path, module: &str) -> bool {
    let mut import = Command::new(python);
    import.args(["-c", &format!("import {module}")]);
    import.output().is_ok_and(|done| done.status.success())
}

/// The whole of its process.
fn seconds(python: &Path, name: &str, jobs: u32) -> Result<f64, String> {
    let place = TempDir::new().map_err(|error| error.to_string())?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers.py");
    let mut command = Command::new(python);
    command.arg(script).args([name, &jobs.to_string()]);
    command.current_dir(place.path()).env("HOME", place.path());
    let started = Instant::now();
    let done = command.output().map_err(|error| error.to_string())?;
    let took = started.elapsed().as_secs_f64();
    if done.status.success() {
        return Ok(took);
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    Err(said.lines().last().unwrap_or("no word").to_owned())
}
