//! Many rows as two parameters of one statement: numbers as JSON, a line each,
//! and whatever is not a number as bytes beside them, which the lines point
//! into. SQLite's JSON would cut texts off at a NUL, and digests would have to
//! be written as text and read again.
//!
//! `jsonb_each` gives a line as SQLite has parsed it, `json_each` as text, which is
//! parsed again. Only where lines are kept for a join that costs less.

use serde::Serialize;

/// Rows per statement.
const ROWS: usize = 4096;
/// Bytes beside the lines of one statement; one row may have more.
const BYTES: usize = 2 << 20;

/// Where some bytes lie: what `substr` takes, which counts from 1. As JSON, two
/// elements of their line; both null for what is absent.
pub(super) type Place = (Option<usize>, Option<usize>);

/// The bytes beside the lines.
#[derive(Debug)]
pub(super) struct Beside {
    bytes: Vec<u8>,
}

impl Default for Beside {
    fn default() -> Self {
        // Of a blob without any bytes `substr` makes NULL and no empty text.
        Self { bytes: vec![0] }
    }
}

impl Beside {
    /// Adds some.
    pub(super) fn add(&mut self, bytes: impl AsRef<[u8]>) -> Place {
        let bytes = bytes.as_ref();
        let first = self.bytes.len() + 1;
        self.bytes.extend_from_slice(bytes);
        (Some(first), Some(bytes.len()))
    }

    /// Adds some where there are any.
    pub(super) fn add_some(&mut self, bytes: Option<impl AsRef<[u8]>>) -> Place {
        bytes.map_or((None, None), |bytes| self.add(bytes))
    }

    /// All of them.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

/// A line as JSON: one flat array.
pub(super) fn lines<T: Serialize>(lines: &[T]) -> String {
    crate::rows::json(lines)
}

/// Rows that go into one statement each; `bytes` says how many of a row go
/// beside its line.
pub(super) fn chunks<T>(rows: &[T], bytes: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |row: &&T| {
            sum += bytes(row);
            sum <= BYTES
        };
        let count = rest.iter().take(ROWS).take_while(fits).count();
        let (chunk, after) = rest.split_at(count.max(1).min(rest.len()));
        rest = after;
        (!chunk.is_empty()).then_some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_every_row_once_within_their_limits() {
        let rows: Vec<usize> = (0..10_000).map(|row| row % 700 * 10).collect();
        let mut all = Vec::new();
        for chunk in chunks(&rows, |row| *row) {
            assert!(chunk.len() <= ROWS && chunk.iter().sum::<usize>() <= BYTES);
            all.extend_from_slice(chunk);
        }
        assert_eq!(all, rows);
        assert_eq!(chunks(&[1, 2 * BYTES, 3], |row| *row).count(), 3);
        assert_eq!(chunks(&[0; 0], |row| *row).count(), 0);
    }
}
