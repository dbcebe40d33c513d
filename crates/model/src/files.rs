//! What attempts leave in their directories, as readers see it: plain data, the
//! same wherever the files are kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Attempt, WorkerName};
use crate::message::Held;
use crate::time::Timestamp;

/// The most files of one listing; the rest is counted.
pub const LISTED_MAX: usize = 10_000;

/// The most bytes of all paths of one listing.
pub const LISTED_BYTES_MAX: usize = 4 << 20;

/// The largest listing as JSON, in bytes.
pub const LISTING_BYTES_MAX: usize = 32 << 20;

/// The largest piece of a file in one message, in bytes.
pub const PIECE_BYTES: usize = 256 << 10;

/// The longest path below an attempt's directory, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// The name of the directory of an attempt.
pub fn directory_name(held: &Held) -> String {
    format!("{}-{}", held.job.short(), held.attempt)
}

/// Whether a directory may be that of an attempt, by its name.
pub fn is_directory_name(name: &str) -> bool {
    let is_short = |job: &str| job.len() == 12 && job.bytes().all(|it| it.is_ascii_hexdigit());
    name.split_once('-')
        .is_some_and(|(job, attempt)| is_short(job) && attempt.parse::<u32>().is_ok())
}

/// A path below a directory: names joined by slashes, none of which leads
/// elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(String);

/// A path that may lead out of its directory, or that no file has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no path of a file below a directory")]
pub struct FilePathError(String);

impl FilePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directories on the way, and the name of the file.
    pub fn parts(&self) -> (impl Iterator<Item = &str>, &str) {
        let (directories, name) = self.0.rsplit_once('/').unwrap_or(("", &self.0));
        let directories = directories.split('/').filter(|part| !part.is_empty());
        (directories, name)
    }
}

impl FromStr for FilePath {
    type Err = FilePathError;

    fn from_str(text: &str) -> Result<Self, FilePathError> {
        let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if text.len() <= PATH_BYTES_MAX && text.split('/').all(is_name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(FilePathError(text.to_owned()))
        }
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that an attempt left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// Its path below the attempt's directory.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// When its content was last changed, by the clock of its host.
    pub modified_at: Timestamp,
    /// What it is.
    #[serde(flatten)]
    pub kind: FileKind,
}

/// What an entry of a directory is. Only files can be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A symbolic link, which is told and not followed.
    Link {
        /// Where it leads.
        target: String,
    },
    /// A pipe, a socket, a device.
    Special,
    /// A file whose name is no text; the path shows it as well as it can.
    Unnamed,
}

/// What is in a directory and below.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The files in the order of their paths, at most [`LISTED_MAX`].
    pub files: Vec<FileView>,
    /// How many more there are.
    pub more: u64,
    /// The bytes of all of them.
    pub bytes: u64,
}

/// Why a file or a directory of an attempt cannot be had from the place where it
/// should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "absent", rename_all = "snake_case")]
pub enum Absent {
    /// There is no directory: the attempt left nothing, or somebody removed it.
    Nothing,
    /// It was removed.
    Removed {
        /// When, by the clock of its worker.
        at: Timestamp,
        /// Why.
        by: Remover,
    },
    /// There is no such file in it.
    NoFile,
    /// It is no regular file.
    NotRegular,
    /// It cannot be read.
    Unreadable {
        /// What the operating system said.
        message: String,
    },
}

/// By what rule a directory was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remover {
    /// Its worker had no room for it.
    Quota,
    /// No sweep wants it: see [`crate::keep`].
    Keep,
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("there is no directory of this attempt"),
            Self::Removed {
                by: Remover::Quota, ..
            } => f.write_str("removed by the quota of its worker"),
            Self::Removed {
                by: Remover::Keep, ..
            } => f.write_str("removed, as `keep` of its sweep says"),
            Self::NoFile => f.write_str("there is no such file"),
            Self::NotRegular => f.write_str("it is no regular file"),
            Self::Unreadable { message } => write!(f, "it cannot be read: {message}"),
        }
    }
}

/// What a reader already has of a file: so many bytes of its beginning, with
/// their digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    /// How many bytes.
    pub bytes: u64,
    /// Their BLAKE3 digest.
    pub digest: [u8; 32],
}

/// An order of something in the directory of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOrder {
    /// The attempt.
    pub held: Held,
    /// The directory in which its worker has those of its attempts, if another worker
    /// is asked; absent: the own one of who is asked.
    pub out: Option<String>,
    /// Which file; absent: a [`Listing`], which is sent as a file is.
    pub path: Option<FilePath>,
    /// What need not be sent.
    pub have: Option<Have>,
}

/// A part of the answer to a [`FileOrder`]: the beginning, pieces, the digest; or
/// why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file begins.
    Begin {
        /// So many bytes are left out, because the reader has them.
        from: u64,
        /// How many bytes the whole file has now.
        bytes: u64,
    },
    /// The next piece, at most [`PIECE_BYTES`].
    Piece(Vec<u8>),
    /// The BLAKE3 digest of the whole file, which ends here.
    Digest([u8; 32]),
    /// Why the file cannot be had; the answer ends here.
    Absent(Absent),
}

/// What is known of an attempt's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptFiles {
    /// The attempt.
    pub attempt: Attempt,
    /// Its worker.
    pub worker: WorkerName,
    /// The worker's host; empty where the worker is not known any more.
    pub host: String,
    /// Where the directory is there; absent where the worker does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// When the worker was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    /// What is in it.
    #[serde(flatten)]
    pub state: FilesState,
}

/// What is in an attempt's directory, as far as it can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum FilesState {
    /// These files.
    Listed(Listing),
    /// None, and why.
    Absent(Absent),
    /// Nobody who has it is connected.
    Away {
        /// Whether its worker counts as connected and shows nobody its files: it
        /// has just ended, or is an older one.
        connected: bool,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_path_leads_out_of_its_directory() {
        for good in ["a", "a/b.txt", "a b/ü", "...", "a/..b", ".swath", "-o"] {
            assert_eq!(good.parse::<FilePath>().unwrap().as_str(), good);
        }
        for bad in [
            "", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.", "a\0",
        ] {
            assert!(bad.parse::<FilePath>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(5000).parse::<FilePath>().is_err());
    }

    proptest! {
        #[test]
        fn a_path_is_its_parts(text in "[a./\0-]{0,12}") {
            if let Ok(path) = text.parse::<FilePath>() {
                let (directories, name) = path.parts();
                let parts: Vec<&str> = directories.chain([name]).collect();
                prop_assert_eq!(parts.join("/"), text);
                prop_assert!(parts.iter().all(|part| !["", ".", ".."].contains(part)));
            }
        }
    }

    #[test]
    fn views_survive_json() {
        let state = |state| AttemptFiles {
            attempt: Attempt(2),
            worker: "gpu1".parse().unwrap(),
            host: "lab".to_owned(),
            directory: Some("/out/a-2".to_owned()),
            seen_at: None,
            state,
        };
        let at = Timestamp::from_ms(7);
        let file = |path: &str, kind| FileView {
            path: path.to_owned(),
            bytes: 3,
            modified_at: at,
            kind,
        };
        let target = "/etc".to_owned();
        let files = vec![
            file("a", FileKind::File),
            file("b", FileKind::Link { target }),
        ];
        let listing = Listing {
            files,
            more: 1,
            bytes: 9,
        };
        let by = Remover::Quota;
        for view in [
            state(FilesState::Listed(listing)),
            state(FilesState::Absent(Absent::Nothing)),
            state(FilesState::Absent(Absent::Removed { at, by })),
            state(FilesState::Away { connected: true }),
        ] {
            let text = serde_json::to_string(&view).unwrap();
            assert_eq!(
                serde_json::from_str::<AttemptFiles>(&text).unwrap(),
                view,
                "{text}"
            );
        }
    }
}
