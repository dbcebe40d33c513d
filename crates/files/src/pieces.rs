//! Answers to orders: a file piece by piece, with its digest.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use swath_model::files::{Absent, FileOrder, Have, PIECE_BYTES, Part, directory_name};

use super::{Directory, absent};

/// The digest of a file so far.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Sum {
    /// Digests what `file` has before the position `limit`, from its start.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn of(file: &mut File, limit: u64) -> io::Result<Self> {
        let mut sum = Self::default();
        file.seek(SeekFrom::Start(0))?;
        let mut beginning = file.take(limit);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match beginning.read(&mut piece)? {
                0 => return Ok(sum),
                read => sum.update(&piece[..read]),
            }
        }
    }

    /// Adds the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// How many bytes it is of.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of these bytes.
    pub fn digest(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }

    /// What this is the digest of.
    pub fn have(&self) -> Have {
        Have {
            bytes: self.bytes,
            digest: self.digest(),
        }
    }
}

/// Takes the parts of an answer; false once nobody reads them any more.
pub type Sink<'a> = dyn FnMut(Part) -> bool + 'a;

/// Answers an order from the directories of attempts below `root`.
pub fn answer(root: &Path, order: &FileOrder, send: &mut Sink<'_>) {
    let last = match answered(root, order, send) {
        Ok(Some(digest)) => Part::Digest(digest),
        Ok(None) => return,
        Err(absent) => Part::Absent(absent),
    };
    send(last);
}

/// The digest of what was sent; none if nobody reads it any more.
fn answered(
    root: &Path,
    order: &FileOrder,
    send: &mut Sink<'_>,
) -> Result<Option<[u8; 32]>, Absent> {
    let failed = |error: io::Error| absent(&error);
    let name = directory_name(&order.held);
    let directory = Directory::open(root).and_then(|root| root.inner(&name));
    let directory = directory.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Absent::Nothing,
        _ => failed(error),
    })?;
    let Some(path) = &order.path else {
        let listing = directory.list().map_err(failed)?;
        // Views are plain data with text keys, which always have a JSON form.
        let text = serde_json::to_vec(&listing).unwrap_or_default();
        return sent(&text[..], text.len() as u64, Sum::default(), send).map_err(failed);
    };
    let mut file = directory.read(path)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let sum = begun(&mut file, bytes, order.have).map_err(failed)?;
    sent(file, bytes, sum, send).map_err(failed)
}

/// The digest of what the reader has already, if that is how the file begins; it
/// is read from there on.
fn begun(file: &mut File, bytes: u64, have: Option<Have>) -> io::Result<Sum> {
    if let Some(have) = have.filter(|have| have.bytes <= bytes) {
        let sum = Sum::of(file, have.bytes)?;
        if sum.have() == have {
            return Ok(sum);
        }
        file.seek(SeekFrom::Start(0))?;
    }
    Ok(Sum::default())
}

fn sent(
    mut rest: impl Read,
    bytes: u64,
    mut sum: Sum,
    send: &mut Sink<'_>,
) -> io::Result<Option<[u8; 32]>> {
    let from = sum.bytes();
    if !send(Part::Begin { from, bytes }) {
        return Ok(None);
    }
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        (&mut rest)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(Some(sum.digest()));
        }
        sum.update(&piece);
        if !send(Part::Piece(piece)) {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use swath_model::files::Listing;
    use swath_model::id::{Attempt, JobDigest};
    use swath_model::message::Held;

    use super::*;

    fn order(path: Option<&str>, have: Option<Have>) -> FileOrder {
        FileOrder {
            held: Held {
                job: JobDigest::from_bytes([1; 32]),
                attempt: Attempt(1),
            },
            out: None,
            path: path.map(|path| path.parse().unwrap()),
            have,
        }
    }

    /// A root whose one attempt has left a file.
    fn root(content: &[u8]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join(directory_name(&order(None, None).held));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("file"), content).unwrap();
        root
    }

    fn parts(root: &Path, order: &FileOrder) -> Vec<Part> {
        let mut parts = Vec::new();
        answer(root, order, &mut |part| {
            parts.push(part);
            true
        });
        parts
    }

    /// From where a file is sent to a reader who has `has`, and what he ends up
    /// with.
    fn received(content: &[u8], has: &[u8]) -> (u64, Vec<u8>) {
        let root = root(content);
        let mut sum = Sum::default();
        sum.update(has);
        let parts = parts(root.path(), &order(Some("file"), Some(sum.have())));
        let (mut begins, mut all, mut ended) = (None, Vec::new(), false);
        for part in parts {
            assert!(!ended, "a part after the last");
            match part {
                Part::Begin { from, bytes } => {
                    assert_eq!(bytes, content.len() as u64);
                    begins = Some(from);
                    all = has[..from as usize].to_vec();
                }
                Part::Piece(piece) => all.extend(piece),
                Part::Digest(digest) => {
                    assert_eq!(digest, *blake3::hash(content).as_bytes());
                    ended = true;
                }
                Part::Absent(why) => panic!("{why}"),
            }
        }
        assert!(ended);
        (begins.unwrap(), all)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_reader_gets_the_file(
            content in prop::collection::vec(any::<u8>(), 0..50),
            cut in 0_usize..60,
            wrong in any::<bool>(),
        ) {
            let mut has = content[..cut.min(content.len())].to_vec();
            if wrong {
                has.push(1);
            }
            let (from, all) = received(&content, &has);
            let expected = if content.starts_with(&has) { has.len() } else { 0 };
            prop_assert_eq!(from, expected as u64);
            prop_assert_eq!(all, content);
        }
    }

    #[test]
    fn a_large_file_comes_in_pieces_until_nobody_reads_them() {
        let root = root(&vec![7; PIECE_BYTES * 2 + 5]);
        let order = order(Some("file"), None);
        let lengths = parts(root.path(), &order)
            .into_iter()
            .map(|part| match part {
                Part::Piece(piece) => piece.len(),
                _ => 0,
            });
        let wanted = [0, PIECE_BYTES, PIECE_BYTES, 5, 0];
        assert_eq!(lengths.collect::<Vec<_>>(), wanted);
        let mut taken = 0;
        answer(root.path(), &order, &mut |_| {
            taken += 1;
            taken < 2
        });
        assert_eq!(taken, 2);
    }

    #[test]
    fn a_listing_travels_as_a_file_does() {
        let root = root(b"four");
        let parts = parts(root.path(), &order(None, None));
        let [
            Part::Begin { from: 0, .. },
            Part::Piece(text),
            Part::Digest(_),
        ] = &parts[..]
        else {
            panic!("{parts:?}");
        };
        let listing: Listing = serde_json::from_slice(text).unwrap();
        assert_eq!((listing.files.len(), listing.bytes), (1, 4));
    }

    #[test]
    fn what_is_not_there_is_told() {
        let root = root(b"");
        let other = parts(root.path(), &order(Some("other"), None));
        assert_eq!(other, [Part::Absent(Absent::NoFile)]);
        let mut later = order(None, None);
        later.held.attempt = Attempt(2);
        assert_eq!(parts(root.path(), &later), [Part::Absent(Absent::Nothing)]);
        let nowhere = root.path().join("nowhere");
        assert_eq!(parts(&nowhere, &later), [Part::Absent(Absent::Nothing)]);
    }
}
