//! The files where a program writes its numbers, read when it has ended.

mod tensorboard;

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use swath_agent::{Row, number, rows_of_json};
use swath_model::program::Read;

/// The largest JSON file that is read as a whole, in bytes.
const JSON_BYTES_MAX: u64 = 64 << 20;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// So many rows are kept. Of more, every second one goes, and of the next as
/// many, so that those which stay are even. The last one always stays.
const ROWS_MAX: usize = 50_000;

/// Reads the rows that a program has written. Paths are seen from its
/// directory.
///
/// # Errors
///
/// What was not found there, or cannot be read, for people.
pub(super) fn read(read: &Read, directory: Option<&str>) -> Result<Vec<Row>, String> {
    let place = |path: &str| Path::new(directory.unwrap_or("")).join(path);
    match read {
        Read::Stdout(_) => Ok(Vec::new()),
        Read::Json(path) => json(&place(path)),
        Read::Jsonl(path) => jsonl(&place(path)),
        Read::Csv(path) => csv(&place(path)),
        Read::Tensorboard(path) => tensorboard::rows(&place(path)),
    }
}

/// Rows, thinned out evenly when there are too many.
#[derive(Debug, Default)]
struct Rows {
    kept: Vec<Row>,
    last: Option<Row>,
    seen: usize,
    /// One of so many is kept; 0 stands for 1.
    every: usize,
}

impl Rows {
    fn push(&mut self, row: Row) {
        let every = self.every.max(1);
        if self.seen.is_multiple_of(every) {
            if self.kept.len() == ROWS_MAX {
                let mut place = 0;
                self.kept.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.every = every * 2;
            }
            self.kept.push(row);
            self.last = None;
        } else {
            self.last = Some(row);
        }
        self.seen += 1;
    }

    fn into_rows(mut self) -> Vec<Row> {
        self.kept.extend(self.last);
        self.kept
    }
}

fn told<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> String {
    let path = path.display().to_string();
    move |error| format!("`read`: {path}: {error}")
}

fn open(path: &Path) -> Result<File, String> {
    File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("`read`: the program has not written {}", path.display())
        }
        _ => told(path)(error),
    })
}

fn json(path: &Path) -> Result<Vec<Row>, String> {
    let mut text = String::new();
    let mut file = open(path)?.take(JSON_BYTES_MAX + 1);
    file.read_to_string(&mut text).map_err(told(path))?;
    if text.len() as u64 > JSON_BYTES_MAX {
        let most = JSON_BYTES_MAX >> 20;
        return Err(told(path)(format!("larger than {most} MiB; write `jsonl`")));
    }
    rows_of_json(&text).map_err(told(path))
}

fn jsonl(path: &Path) -> Result<Vec<Row>, String> {
    let mut reader = BufReader::new(open(path)?);
    let (mut rows, mut line, mut number) = (Rows::default(), Vec::new(), 0_u64);
    loop {
        line.clear();
        number += 1;
        let taken = reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line);
        if taken.map_err(told(path))? == 0 {
            return Ok(rows.into_rows());
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

fn csv(path: &Path) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(open(path)?);
    let names = reader.headers().map_err(told(path))?.clone();
    let mut rows = Rows::default();
    for record in reader.records() {
        let record = record.map_err(told(path))?;
        let fields = names.iter().zip(&record);
        let values = fields.filter_map(|(name, text)| Some((name.to_owned(), number(text)?)));
        rows.push(Row {
            values: values.collect(),
        });
    }
    Ok(rows.into_rows())
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
