//! Whether files of programs are what their digests say.

use std::collections::BTreeMap;

use super::Finding;
use crate::changes::{InputPiece, NewInput};
use crate::key::InputKey;

/// The files that were read so far, and the one whose pieces are being read.
#[derive(Default)]
pub(super) struct Inputs {
    files: BTreeMap<InputKey, NewInput>,
    open: Option<Open>,
    /// The last file whose pieces were read; later ones come after it.
    read: InputKey,
}

/// A file, as far as its pieces were read.
struct Open {
    key: InputKey,
    pieces: u32,
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Open {
    fn new(key: InputKey) -> Self {
        Self {
            key,
            pieces: 0,
            bytes: 0,
            hasher: blake3::Hasher::new(),
        }
    }
}

impl Inputs {
    pub(super) fn add(&mut self, inputs: &[NewInput]) {
        self.files.extend(inputs.iter().map(|it| (it.key, *it)));
    }

    pub(super) fn has(&self, input: InputKey) -> bool {
        self.files.contains_key(&input)
    }

    /// Takes in pieces, which come in the order of their files and places.
    pub(super) fn pieces(&mut self, pieces: &[InputPiece]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for piece in pieces {
            if self
                .open
                .as_ref()
                .is_none_or(|open| open.key != piece.input)
            {
                findings.extend(self.close_until(Some(piece.input)));
            }
            let new = || Open::new(piece.input);
            let open = self.open.get_or_insert_with(new);
            open.pieces += 1;
            open.bytes += piece.content.len() as u64;
            open.hasher.update(&piece.content);
            if open.pieces != piece.place {
                findings.push(Finding {
                    at: format!("file {}", piece.input),
                    what: format!("its piece {} does not follow", piece.place),
                });
            }
        }
        findings
    }

    /// What is wrong with the files that were not looked at yet.
    pub(super) fn end(&mut self) -> Vec<Finding> {
        self.close_until(None)
    }

    /// Checks the open file, and those before `next` of which no piece came.
    fn close_until(&mut self, next: Option<InputKey>) -> Vec<Finding> {
        let mut findings = Vec::new();
        let open = self.open.take();
        if let Some(open) = &open
            && !self.has(open.key)
        {
            findings.push(Finding {
                at: format!("file {}", open.key),
                what: "is not there".to_owned(),
            });
        }
        for (key, input) in self.files.range(self.read.next()..) {
            if next.is_some_and(|next| *key >= next) {
                break;
            }
            self.read = *key;
            let none = Open::new(*key);
            let content = open.as_ref().filter(|it| it.key == *key).unwrap_or(&none);
            let what = if content.hasher.finalize().as_bytes() != input.digest.as_bytes() {
                "its content is not that of its digest".to_owned()
            } else if content.bytes != input.bytes {
                format!("it has {} bytes and not {}", content.bytes, input.bytes)
            } else {
                continue;
            };
            let at = format!("file {}", input.digest.short());
            findings.push(Finding { at, what });
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use swath_model::program::input_digest;
    use swath_model::time::Timestamp;

    use super::*;

    fn file(key: i64, content: &[u8]) -> NewInput {
        NewInput {
            key: InputKey(key),
            digest: input_digest(content),
            bytes: content.len() as u64,
            at: Timestamp::from_ms(0),
        }
    }

    fn piece(key: i64, place: u32, content: &[u8]) -> InputPiece {
        InputPiece {
            input: InputKey(key),
            place,
            content: content.to_vec(),
        }
    }

    fn found(files: &[NewInput], pieces: &[InputPiece]) -> String {
        let mut inputs = Inputs::default();
        inputs.add(files);
        let mut findings = Vec::new();
        // Pages end anywhere.
        for piece in pieces {
            findings.extend(inputs.pieces(std::slice::from_ref(piece)));
        }
        findings.extend(inputs.end());
        let findings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        findings.join("\n")
    }

    #[test]
    fn a_file_is_its_pieces_together() {
        let files = [file(1, b""), file(2, b"abcd"), file(4, b""), file(5, b"x")];
        let pieces = [piece(2, 1, b"abc"), piece(2, 2, b"d"), piece(5, 1, b"x")];
        assert_eq!(found(&files, &pieces), "");
        assert_eq!(found(&[], &[]), "");
    }

    #[test]
    fn what_is_missing_or_changed_is_found() {
        let files = [file(1, b"a"), file(2, b"abcd"), file(3, b"x")];
        let pieces = [piece(2, 1, b"abc"), piece(3, 2, b"x"), piece(9, 1, b"")];
        let [a, abcd, _] = files.map(|file| file.digest.short());
        assert_eq!(
            found(&files, &pieces),
            format!(
                "file {a}: its content is not that of its digest\n\
                 file {abcd}: its content is not that of its digest\n\
                 file 3: its piece 2 does not follow\n\
                 file 9: is not there"
            )
        );
    }
}
