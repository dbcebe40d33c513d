//! New rows by `COPY`, in its binary format: a submit has a hundred thousand,
//! which the server takes in while the next ones are encoded.
//!
//! Format: PostgreSQL documentation, `COPY`, "Binary Format".

use crate::error::Result;
use crate::session::{Session, in_time};

/// So many rows are better inserted by a statement. The end of a `COPY` is a
/// short message of its own, which TCP keeps back until the server's system
/// confirms the rows: after 40 ms, unless more is under way.
pub(super) const FEW: usize = 1024;

/// The signature, no flags, and no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Follows the last line.
const TRAILER: &[u8] = &(-1_i16).to_be_bytes();

/// Encoded lines.
#[derive(Debug)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Appends a line with these values, as the server's receive functions take
    /// them: numbers are big-endian and as long as their column's type, NULL has
    /// the length −1.
    pub(super) fn push<const COLUMNS: usize>(&mut self, values: [Option<&[u8]>; COLUMNS]) {
        self.0.extend((COLUMNS as i16).to_be_bytes());
        for value in values {
            let length = value.map_or(-1, |value| value.len() as i32);
            self.0.extend(length.to_be_bytes());
            self.0.extend(value.unwrap_or_default());
        }
    }
}

/// Inserts `rows` into a table that is named with its columns; `encode` makes a
/// line of each.
pub(super) async fn rows<R: Sync>(
    session: &mut Session,
    columns: &str,
    rows: &[R],
    encode: impl Fn(&R, &mut Lines) + Send,
) -> Result<()> {
    let mut copying = session.copy_in(columns).await?;
    let mut lines = Lines(HEADER.to_vec());
    for chunk in rows.chunks(FEW) {
        for row in chunk {
            encode(row, &mut lines);
        }
        in_time(copying.send(&*lines.0)).await?;
        lines.0.clear();
    }
    in_time(copying.send(TRAILER)).await?;
    in_time(copying.finish()).await?;
    Ok(())
}
