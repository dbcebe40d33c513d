//! The files where a program writes its numbers, read when it has ended.

mod tensorboard;

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use swath_agent::{Kinds, Row, Thinned, rows_of_json};
use swath_files::Named;
use swath_model::limits::LAST_EPOCHS_MAX;
use swath_model::message::Held;
use swath_model::program::Read;

use super::confinement::lies_in;
use crate::out::Outs;
use crate::spool::now_ms;

/// The largest JSON file that is read as a whole, in bytes.
const JSON_BYTES_MAX: u64 = 64 << 20;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The largest file of CSV that is read, in bytes.
const CSV_BYTES_MAX: u64 = 1 << 30;

/// The most rows that are kept.
const ROWS_MAX: usize = 50_000;

/// Where a program writes.
pub(super) struct Writes {
    pub(super) read: Option<Read>,
    /// Where that may be; none: anywhere.
    pub(super) readable: Option<Vec<PathBuf>>,
    pub(super) metric: String,
    pub(super) directory: Option<String>,
    pub(super) held: Option<Held>,
    pub(super) outs: Outs,
}

impl Writes {
    /// The rows that it wrote, if they are in files. Its own directory goes, if it
    /// left nothing there.
    pub(super) async fn collect(self) -> Option<Result<Thinned<Row>, String>> {
        let (directory, metric, readable) = (self.directory, self.metric, self.readable);
        let reading = self.read.map(|kind| {
            tokio::task::spawn_blocking(move || {
                let directory = directory.as_deref();
                stays_in(&kind, directory, readable.as_deref())?;
                read(&kind, directory, &metric)
            })
        });
        let rows = match reading {
            Some(reading) => reading.await.ok(),
            None => None,
        };
        if let Some(held) = self.held {
            self.outs.ended(held, now_ms());
        }
        rows
    }
}

/// Checks that what is to be read lies in one of these directories; none: it may be anywhere.
fn stays_in(read: &Read, directory: Option<&str>, roots: Option<&[PathBuf]>) -> Result<(), String> {
    let place = read.path().map(|path| seen_from(directory, path));
    match place.zip(roots) {
        Some((place, roots)) if !lies_in(&place, roots) => {
            let place = place.display();
            Err(format!(
                "`read`: {place} leads out of the program's directories"
            ))
        }
        _ => Ok(()),
    }
}

fn seen_from(directory: Option<&str>, path: &str) -> PathBuf {
    Path::new(directory.unwrap_or("")).join(path)
}

/// Reads the rows that a program with this metric has written. Paths are seen from
/// its directory.
///
/// # Errors
///
/// What was not found there, or cannot be read, for people.
fn read(read: &Read, directory: Option<&str>, metric: &str) -> Result<Thinned<Row>, String> {
    let place = |path: &str| seen_from(directory, path);
    let mut rows = Rows::new(metric);
    match read {
        Read::Stdout(_) => {}
        Read::Json(path) => json(&place(path), &mut rows)?,
        Read::Jsonl(path) => jsonl(&place(path), &mut rows)?,
        Read::Csv(path) => csv(&place(path), &mut rows)?,
        Read::Tensorboard(path) => tensorboard::read(&place(path), &mut rows)?,
    }
    Ok(rows.kept)
}

/// The rows of a program, with its metric.
#[derive(Debug)]
struct Rows<'a> {
    metric: &'a str,
    kinds: Kinds<'a>,
    kept: Thinned<Row>,
}

impl<'a> Rows<'a> {
    fn new(metric: &'a str) -> Self {
        let kept = Thinned::new(ROWS_MAX, LAST_EPOCHS_MAX);
        let kinds = Kinds::new(metric);
        Self {
            metric,
            kinds,
            kept,
        }
    }

    fn push(&mut self, mut row: Row) {
        self.kinds.settle(&mut row);
        let value = row.get(self.metric);
        self.kept.push(row, value);
    }
}

fn told<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> String {
    let path = path.display().to_string();
    move |error| format!("`read`: {path}: {error}")
}

fn open(path: &Path) -> Result<Named, String> {
    Named::open(path).map_err(|why| {
        if why.is_absent() {
            format!("`read`: the program has not written {}", path.display())
        } else {
            told(path)(why)
        }
    })
}

fn json(path: &Path, rows: &mut Rows<'_>) -> Result<(), String> {
    let mut text = String::new();
    let mut file = open(path)?.file.take(JSON_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(told(path))?;
    if text.len() as u64 > JSON_BYTES_MAX {
        let most = JSON_BYTES_MAX >> 20;
        return Err(told(path)(format!("larger than {most} MiB; write `jsonl`")));
    }
    let read = rows_of_json(&text).map_err(told(path))?;
    for row in read {
        rows.push(row);
    }
    Ok(())
}

fn jsonl(path: &Path, rows: &mut Rows<'_>) -> Result<(), String> {
    let mut reader = BufReader::new(open(path)?.file);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        number += 1;
        let taken = reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line);
        if taken.map_err(told(path))? == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        if text.trim().is_empty() {
            continue;
        }
        let read = rows_of_json(&text);
        let wrong = |error| told(path)(format!("line {number}: {error}"));
        read.map_err(wrong)?
            .into_iter()
            .for_each(|row| rows.push(row));
    }
}

fn csv(path: &Path, rows: &mut Rows<'_>) -> Result<(), String> {
    let file = open(path)?;
    // One record may be all of it.
    file.at_most(CSV_BYTES_MAX).map_err(told(path))?;
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(file.file);
    let names = reader.headers().map_err(told(path))?.clone();
    for record in reader.records() {
        let record = record.map_err(told(path))?;
        let mut row = Row::default();
        for (name, text) in names.iter().zip(&record) {
            row.add_cell(name, text);
        }
        rows.push(row);
    }
    Ok(())
}

/// Regular files under a directory whose names hold `part`, sorted.
fn files(directory: &Path, part: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && entry.file_name().to_string_lossy().contains(part) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
