//! Downloads the pinned wheels through the user's own pip configuration (index, mirror, proxy, certificates).

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::pins::{GLIBC_MINORS, PYTHON_TAGS, WHEELS, Wheel};
use crate::process::{is_installed, last_line, output, say};
use crate::progress::Meter;

const PROGRAM: &str = include_str!("wheel.py");

/// The exit code of wheel.py for a server that refuses a plain download but may accept
/// pip's.
const REFUSED: i32 = 3;

/// Downloads the wheels into `downloads` and verifies them; returns the files
/// in the order of the pins.
pub(crate) fn wheels(downloads: &Path) -> Result<Vec<PathBuf>> {
    require_pip()?;
    let urls = match resolve() {
        Ok(urls) => urls,
        Err(error) if format!("{error:#}").contains("no such option") => {
            say(
                "this pip is older than 22.2 and cannot tell where a file lies, so it downloads by itself (not resumable)",
            );
            return WHEELS
                .iter()
                .map(|wheel| through_pip(wheel, downloads))
                .collect();
        }
        Err(error) => return Err(error),
    };
    WHEELS
        .iter()
        .zip(urls)
        .map(|(wheel, url)| download(wheel, &url, downloads))
        .collect()
}

fn require_pip() -> Result<()> {
    if !is_installed(Command::new("python3").arg("--version")) {
        bail!(
            "python3 is needed to fetch libtorch: install it with pip (Debian, Ubuntu: apt-get install python3 python3-pip)"
        );
    }
    let asked = output(Command::new("python3").args(["-m", "pip", "--version"]));
    asked.map(drop).context(
        "pip is needed to fetch libtorch: install it (Debian, Ubuntu: apt-get install python3-pip)",
    )
}

/// A pip command with everything that decides which files it takes.
fn pip(verb: &str, wheels: &[Wheel]) -> Command {
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "pip",
        verb,
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
    ]);
    command.args(["--only-binary", ":all:"]).args(PYTHON_TAGS);
    for minor in GLIBC_MINORS {
        command.args(["--platform", &format!("manylinux_2_{minor}_x86_64")]);
    }
    command.args(["--platform", "manylinux2014_x86_64"]);
    command.args(wheels.iter().map(Wheel::requirement));
    command
}

/// The address of each wheel, from the user's package index.
fn resolve() -> Result<Vec<String>> {
    let mut ask = pip("install", &WHEELS);
    // Nothing is installed, but pip before 23.1 still wants a target for another Python's wheels.
    ask.args([
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        "--report",
        "-",
        "--target",
    ])
    .arg(std::env::temp_dir());
    let done = ask
        .stdin(Stdio::null())
        .output()
        .context("cannot start python3 -m pip")?;
    if !done.status.success() {
        bail!(
            "pip cannot find libtorch's wheels ({}): check the network and pip's configuration (`python3 -m pip config list`), \
             or set SWATH_LIBTORCH to a libtorch 2.13",
            last_line(&String::from_utf8_lossy(&done.stderr))
        );
    }
    let report = serde_json::from_slice(&done.stdout).context("pip's report is not JSON")?;
    WHEELS.iter().map(|wheel| url_in(&report, wheel)).collect()
}

/// The address of one wheel in pip's report. A digest other than the pinned one is noticed here, before the
/// download.
fn url_in(report: &Value, wheel: &Wheel) -> Result<String> {
    let items = report["install"]
        .as_array()
        .context("pip's report has no list `install`")?;
    let normal = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
    let found = items.iter().find(|item| {
        item["metadata"]["name"]
            .as_str()
            .is_some_and(|name| normal(name) == wheel.project)
    });
    let source =
        &found.with_context(|| format!("pip's report lacks {}", wheel.project))?["download_info"];
    let offered = source["archive_info"]["hashes"]["sha256"]
        .as_str()
        .unwrap_or(wheel.sha256);
    if offered != wheel.sha256 {
        bail!(
            "pip's package index offers {} with SHA-256 {offered} where {} is pinned: use another index",
            wheel.requirement(),
            wheel.sha256
        );
    }
    source["url"]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("pip's report has no address for {}", wheel.project))
}

/// Continues or starts one download and checks it. A whole file from an earlier call is only checked.
fn download(wheel: &Wheel, url: &str, downloads: &Path) -> Result<PathBuf> {
    let part = downloads.join(format!("{}.whl.part", wheel.project));
    match run_fetch(wheel, url, &part)? {
        Fetched::Sha256(sha256) => verify_file(wheel, &sha256, &part).map(|()| part),
        Fetched::Refused(why) => {
            say(format!(
                "the server refuses a plain download ({why}): pip tries with its credentials"
            ));
            through_pip(wheel, downloads)
        }
    }
}

fn verify_file(wheel: &Wheel, sha256: &str, part: &Path) -> Result<()> {
    if sha256 == wheel.sha256 {
        return Ok(());
    }
    // If it were kept, every later call would find it complete and wrong.
    fs::remove_file(part).with_context(|| format!("cannot remove {}", part.display()))?;
    bail!(
        "the download of {} has SHA-256 {sha256} where {} is pinned, and was removed: run `cargo xtask setup` again",
        wheel.requirement(),
        wheel.sha256
    );
}

enum Fetched {
    Sha256(String),
    Refused(String),
}

fn run_fetch(wheel: &Wheel, url: &str, part: &Path) -> Result<Fetched> {
    let mut command = program("fetch");
    command.args([
        OsStr::new(url),
        part.as_os_str(),
        OsStr::new(&wheel.bytes.to_string()),
    ]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start python3")?;
    let mut meter = Meter::new(wheel.requirement());
    let mut sha256 = None;
    for line in BufReader::new(child.stdout.take().context("no stdout")?).lines() {
        match Told::parse(&line?) {
            Some(Told::Progress { done, total }) => meter.tell(done, total),
            Some(Told::Sha256(digest)) => sha256 = Some(digest),
            None => {}
        }
    }
    meter.finish();
    let done = child.wait_with_output()?;
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    match (done.status.code(), sha256) {
        (Some(0), Some(sha256)) => Ok(Fetched::Sha256(sha256)),
        (Some(REFUSED), _) => Ok(Fetched::Refused(last_line(&stderr).to_owned())),
        _ => bail!(
            "the download of {} stopped ({}): run `cargo xtask setup` again, it continues from there",
            wheel.requirement(),
            last_line(&stderr)
        ),
    }
}

/// A line of output from wheel.py.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Progress { done: u64, total: u64 },
    Sha256(String),
}

impl Told {
    fn parse(line: &str) -> Option<Self> {
        let (first, second) = line.split_once(' ')?;
        if first == "sha256" {
            return Some(Self::Sha256(second.to_owned()));
        }
        Some(Self::Progress {
            done: first.parse().ok()?,
            total: second.parse().ok()?,
        })
    }
}

/// The way without resuming, for an old pip and for an index that wants pip's credentials.
fn through_pip(wheel: &Wheel, downloads: &Path) -> Result<PathBuf> {
    let mut command = pip("download", std::slice::from_ref(wheel));
    let status = command
        .arg("--dest")
        .arg(downloads)
        .stdin(Stdio::null())
        .status()
        .context("cannot start pip")?;
    if !status.success() {
        bail!(
            "pip cannot download {}: see its message above, or set SWATH_LIBTORCH",
            wheel.requirement()
        );
    }
    let prefix = wheel.file_prefix();
    let files = fs::read_dir(downloads)?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut wheels = files.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
    });
    let file = wheels
        .next()
        .with_context(|| format!("pip left no file {prefix}*.whl"))?;
    // A complete file is only read, not fetched again, so the address is never
    // used.
    match run_fetch(wheel, "", &file)? {
        Fetched::Sha256(sha256) => verify_file(wheel, &sha256, &file).map(|()| file),
        Fetched::Refused(why) => bail!("{} cannot be checked: {why}", wheel.requirement()),
    }
}

/// Copies the wanted members of a wheel into `directory`.
pub(crate) fn unpack(wheel: &Path, members: &[(&str, &str)], directory: &Path) -> Result<()> {
    let mut command = program("unpack");
    command
        .args([wheel, directory])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start python3")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    for (member, target) in members {
        writeln!(stdin, "{member}\t{target}")?;
    }
    drop(stdin);
    let done = child.wait_with_output()?;
    if !done.status.success() {
        bail!("{}", last_line(&String::from_utf8_lossy(&done.stderr)));
    }
    Ok(())
}

fn program(verb: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM, verb]);
    command
}

#[cfg(test)]
mod tests;
