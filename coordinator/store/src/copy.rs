//! Copying from one store to another, of any kind.

use std::fmt::Write;

use crate::changes::Changes;
use crate::cold::Start;
use crate::dump::{Copied, Copying, Snapshot};
use crate::walk::{Census, Progress, Walk};
use crate::{Result, Store, StoreError, Term};

/// Copies everything in `from` to `to`, which the caller leads in `term`, and
/// compares both row by row.
///
/// A copy that ended early goes on where it stopped: its progress is kept in
/// `to` together with its rows. No engine starts with `to` until the copy is
/// complete.
///
/// # Errors
///
/// [`StoreError::Conflict`] when `to` holds something else, or an unfinished
/// copy of another state, or when both differ in the end.
pub async fn copy(
    from: &mut dyn Snapshot,
    to: &dyn Store,
    term: Term,
    progress: Progress<'_>,
) -> Result<Census> {
    let source = name_of(&from.start().await?);
    let mut walk = begin(to, &source).await?;
    while let Some((part, page)) = walk.next(from, progress).await? {
        let mut rows = page.rows;
        let mut copied = rows.copied.take().unwrap_or_default();
        copied.copying = Some(Copying {
            source: source.clone(),
            part,
            after: walk.after,
        });
        rows.copied = Some(copied);
        to.commit(term, rows).await?;
    }
    let census = compare(from, to, term, progress).await?;
    let whole = Changes {
        copied: Some(Box::new(Copied::default())),
        ..Changes::default()
    };
    to.commit(term, whole).await?;
    Ok(census)
}

/// Where the copy begins or continues.
async fn begin(to: &dyn Store, source: &str) -> Result<Walk> {
    match to.copying().await? {
        Some(copying) if copying.source == source => Ok(Walk::from(copying.part, copying.after)),
        Some(_) => Err(StoreError::Conflict(
            "the target holds an unfinished copy of another database, or of this one before it \
             went on; make the target empty and copy again"
                .to_owned(),
        )),
        None if to.start().await? == Start::default() => Ok(Walk::new()),
        None => Err(StoreError::Conflict(
            "the target is not empty; name a database that holds nothing yet".to_owned(),
        )),
    }
}

async fn compare(
    from: &mut dyn Snapshot,
    to: &dyn Store,
    term: Term,
    progress: Progress<'_>,
) -> Result<Census> {
    let wanted = Census::take(from, progress).await?;
    to.renew(term).await?;
    let mut copy = to.snapshot().await?;
    let found = Census::take(&mut *copy, progress).await;
    copy.close().await?;
    let found = found?;
    let mut differing = String::new();
    for (part, one, two) in wanted.differences(&found) {
        let name = part.name();
        let _ = write!(differing, "; {name}: {one} there, {two} in the copy");
    }
    if differing.is_empty() {
        return Ok(wanted);
    }
    Err(StoreError::Conflict(format!(
        "the copy is not the same as what was copied{differing}; make the target empty and copy \
         again"
    )))
}

/// A name for a state, by which a continued copy recognizes it.
fn name_of(start: &Start) -> String {
    /// A writer that hashes what is written to it.
    struct Hashing(blake3::Hasher);

    impl Write for Hashing {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.update(text.as_bytes());
            Ok(())
        }
    }

    let mut hashing = Hashing(blake3::Hasher::new());
    let _ = write!(hashing, "{start:?}");
    hashing.0.finalize().to_hex().to_string()
}
