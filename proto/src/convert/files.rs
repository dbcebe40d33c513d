//! Orders of what is in the directories of attempts, and the answers.

use swath_model::files::{Absent, FileOrder, Have, PIECE_BYTES, Part};

use super::{DecodeError, Result, held, held_message, limited, present};
use crate::{limits, v1};

/// A BLAKE3 digest from its bytes.
///
/// # Errors
///
/// When there are not 32 bytes.
fn digest(bytes: &[u8]) -> Result<[u8; 32]> {
    let wrong = |_| DecodeError::new("digest", "must be 32 bytes");
    bytes.try_into().map_err(wrong)
}

/// An order.
///
/// # Errors
///
/// When a part is missing or wrong.
pub fn file_order(message: v1::FileOrder) -> Result<FileOrder> {
    let path = message.path.map(|path| path.parse()).transpose();
    let have = message.have.map(|it| {
        let (bytes, digest) = (it.bytes, digest(&it.digest)?);
        Ok(Have { bytes, digest })
    });
    Ok(FileOrder {
        held: held(&present("held", message.held)?)?,
        out: message
            .out
            .map(|out| limited("out", out, limits::PATH_BYTES))
            .transpose()?,
        path: path.map_err(|error| DecodeError::new("path", format!("{error}")))?,
        have: have.transpose()?,
    })
}

/// An order, encoded.
pub fn file_order_message(order: &FileOrder) -> v1::FileOrder {
    v1::FileOrder {
        held: Some(held_message(order.held)),
        out: order.out.clone(),
        path: order.path.as_ref().map(ToString::to_string),
        have: order.have.map(|have| v1::FileHave {
            bytes: have.bytes,
            digest: have.digest.to_vec(),
        }),
    }
}

fn piece(piece: Vec<u8>) -> Result<Part> {
    if piece.len() > PIECE_BYTES {
        let length = piece.len();
        let message = format!("{length} bytes; at most {PIECE_BYTES} are allowed");
        return Err(DecodeError::new("piece", message));
    }
    Ok(Part::Piece(piece))
}

const fn begin(message: v1::FileBegin) -> Part {
    let v1::FileBegin { from, bytes } = message;
    Part::Begin { from, bytes }
}

/// A part that a worker sends.
///
/// # Errors
///
/// When it is none, or wrong.
pub fn served(message: v1::ServeMessage) -> Result<Part> {
    use v1::serve_message::Part as Sent;
    match present("part", message.part)? {
        Sent::Hello(_) => Err(DecodeError::new("part", "a hello is the first")),
        Sent::Begin(it) => Ok(begin(it)),
        Sent::Piece(it) => piece(it),
        Sent::Digest(it) => Ok(Part::Digest(digest(&it)?)),
        Sent::Absent(text) => {
            let absent = serde_json::from_str(&text);
            let absent = absent.map_err(|it| DecodeError::new("absent", it.to_string()));
            Ok(Part::Absent(absent?))
        }
    }
}

/// A part for a coordinator, encoded.
pub fn serve_message(part: Part) -> v1::ServeMessage {
    use v1::serve_message::Part as Sent;
    let part = match part {
        Part::Begin { from, bytes } => Sent::Begin(v1::FileBegin { from, bytes }),
        Part::Piece(piece) => Sent::Piece(piece),
        Part::Digest(digest) => Sent::Digest(digest.to_vec()),
        // It has only text for keys, so it can be written.
        Part::Absent(absent) => Sent::Absent(serde_json::to_string(&absent).unwrap_or_default()),
    };
    v1::ServeMessage { part: Some(part) }
}

/// A part that a coordinator sends to a reader.
///
/// # Errors
///
/// When it is none, or wrong.
pub fn fetched(message: v1::FetchFileReply) -> Result<Part> {
    use v1::fetch_file_reply::Part as Sent;
    match present("part", message.part)? {
        Sent::Begin(it) => Ok(begin(it)),
        Sent::Piece(it) => piece(it),
        Sent::Digest(it) => Ok(Part::Digest(digest(&it)?)),
    }
}

/// A part for a reader, encoded; what is absent is an error there.
///
/// # Errors
///
/// Why the file cannot be had.
pub fn fetch_reply(part: Part) -> std::result::Result<v1::FetchFileReply, Absent> {
    use v1::fetch_file_reply::Part as Sent;
    let part = match part {
        Part::Begin { from, bytes } => Sent::Begin(v1::FileBegin { from, bytes }),
        Part::Piece(piece) => Sent::Piece(piece),
        Part::Digest(digest) => Sent::Digest(digest.to_vec()),
        Part::Absent(absent) => return Err(absent),
    };
    Ok(v1::FetchFileReply { part: Some(part) })
}

#[cfg(test)]
mod tests {
    use swath_model::id::{Attempt, JobDigest};
    use swath_model::message::Held;

    use super::*;

    #[test]
    fn orders_and_parts_survive_the_wire() {
        let order = FileOrder {
            held: Held {
                job: JobDigest::from_bytes([3; 32]),
                attempt: Attempt(2),
            },
            out: Some("/out/w.1".to_owned()),
            path: Some("a/b".parse().unwrap()),
            have: Some(Have {
                bytes: 7,
                digest: [1; 32],
            }),
        };
        assert_eq!(file_order(file_order_message(&order)), Ok(order.clone()));
        let mut wrong = file_order_message(&order);
        wrong.path = Some("../b".to_owned());
        assert!(file_order(wrong).is_err());
        for part in [
            Part::Begin { from: 1, bytes: 2 },
            Part::Piece(vec![1, 2]),
            Part::Digest([9; 32]),
            Part::Absent(Absent::NoFile),
        ] {
            assert_eq!(served(serve_message(part.clone())), Ok(part.clone()));
            match fetch_reply(part.clone()) {
                Ok(reply) => assert_eq!(fetched(reply), Ok(part)),
                Err(absent) => assert_eq!(part, Part::Absent(absent)),
            }
        }
        let long = serve_message(Part::Piece(vec![0; PIECE_BYTES + 1]));
        assert!(served(long).is_err());
    }
}
