//! Many rows as two parameters of one statement: numbers as JSON, one line per row,
//! and everything that is not a number as bytes in a blob, to which the lines
//! point. SQLite's JSON would cut texts off at a NUL, and digests would have to be
//! written as text and read again.
//!
//! `jsonb_each` returns a line as SQLite has parsed it, `json_each` as text, which
//! is parsed again. The latter costs less only where lines are kept for a join.

use serde::Serialize;

/// Rows per statement.
const ROWS: usize = 4096;
/// Bytes in the blob of one statement; a single row may have more.
const BYTES: usize = 2 << 20;

/// The place of some bytes in the blob, as `substr` takes it (counting from 1).
/// In JSON it is two elements of the line; both are null for an absent value.
pub(super) type Place = (Option<usize>, Option<usize>);

/// The blob beside the lines.
#[derive(Debug)]
pub(super) struct Beside {
    bytes: Vec<u8>,
}

impl Default for Beside {
    fn default() -> Self {
        // `substr` of an empty blob would give NULL instead of an empty text.
        Self { bytes: vec![0] }
    }
}

impl Beside {
    /// Adds some bytes.
    pub(super) fn add(&mut self, bytes: impl AsRef<[u8]>) -> Place {
        let bytes = bytes.as_ref();
        let first = self.bytes.len() + 1;
        self.bytes.extend_from_slice(bytes);
        (Some(first), Some(bytes.len()))
    }

    /// Adds some bytes if there are any.
    pub(super) fn add_some(&mut self, bytes: Option<impl AsRef<[u8]>>) -> Place {
        bytes.map_or((None, None), |bytes| self.add(bytes))
    }

    /// All bytes.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes
    }
}

/// The lines as JSON, each a flat array.
pub(super) fn lines<T: Serialize>(lines: &[T]) -> String {
    crate::rows::json(lines)
}

/// Splits rows into the chunks that go into one statement each; `bytes` says
/// how many bytes of a row go into the blob.
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
