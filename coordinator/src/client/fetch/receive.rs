//! Receives single files into a directory: first under another name, so that a
//! file has its name only once it is whole.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};

use swath_files::{Directory, Sum};
use swath_model::files::{Absent, FileOrder, FilePath, Part};
use swath_model::message::Held;
use swath_proto::convert::fetched;
use swath_proto::v1::FetchFileReply;
use tokio::io::AsyncWriteExt;
use tonic::Streaming;

use crate::client::connection::Fetcher;
use crate::client::failure::{Failure, Outcome};

/// What the name of a file begins with that has not come whole.
const PART: &str = ".swath-part-";

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Written,
    /// The same file is there already.
    Same,
    /// Something else is there, and stays.
    Differs,
}

/// Where files come from and where they go to.
pub(super) struct Target {
    fetcher: Fetcher,
    directory: Directory,
    held: Held,
    /// Whether what is here and differs is replaced.
    replaces: bool,
    /// How many bytes are here.
    done: AtomicU64,
}

/// What is here of a file before it is asked for.
enum Here {
    Nothing,
    /// A file of its name.
    File(Sum),
    /// The beginning, from a time before.
    Part(Sum),
    /// Something of its name that cannot be read as a file.
    Other,
}

impl Target {
    pub(super) const fn new(
        fetcher: Fetcher,
        directory: Directory,
        held: Held,
        replaces: bool,
    ) -> Self {
        Self {
            fetcher,
            directory,
            held,
            replaces,
            done: AtomicU64::new(0),
        }
    }

    /// How many bytes are here.
    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Receives a file.
    pub(super) async fn receive(&self, path: FilePath) -> Outcome<Received> {
        let part = part_of(&path)?;
        // Reading what is here of a large file takes a while.
        let here = tokio::task::block_in_place(|| self.here(&path, &part));
        let have = match &here {
            Here::Nothing => None,
            Here::File(sum) | Here::Part(sum) => Some(sum.have()),
            Here::Other => return Ok(Received::Differs),
        };
        let order = FileOrder {
            held: self.held,
            out: None,
            path: Some(path.clone()),
            have,
        };
        let mut parts = self.fetcher.fetch(&order).await?;
        let Part::Begin { from, bytes } = self.next(&mut parts, &path).await? else {
            return Err(broken(&path, "it does not begin"));
        };
        let known = have.map_or(0, |have| have.bytes);
        if from != 0 && from != known {
            return Err(broken(&path, "it begins in the middle"));
        }
        self.done.fetch_add(from, Ordering::Relaxed);
        let sum = match here {
            Here::File(sum) if from == known && bytes == known => {
                let Part::Digest(digest) = self.next(&mut parts, &path).await? else {
                    return Err(broken(&path, "it goes on after its end"));
                };
                if digest != sum.digest() {
                    return Err(differs(&path));
                }
                return Ok(Received::Same);
            }
            // It has grown since.
            Here::File(sum) if from == known => {
                let copied = tokio::task::block_in_place(|| self.copy(&path, &part));
                copied.map_err(|error| cannot(&path, &error))?;
                sum
            }
            Here::File(_) if !self.replaces => return Ok(Received::Differs),
            Here::Part(sum) if from > 0 => sum,
            _ => Sum::default(),
        };
        self.write(&mut parts, &path, &part, sum).await?;
        let renamed = self.directory.rename(&part, &path);
        renamed.map_err(|error| cannot(&path, &error))?;
        Ok(Received::Written)
    }

    fn here(&self, path: &FilePath, part: &FilePath) -> Here {
        let sum = |mut file: File| Sum::of(&mut file, u64::MAX).ok();
        let begun = || {
            let part = self.directory.read(part).ok().and_then(sum);
            part.filter(|part| part.bytes() > 0)
        };
        match self.directory.read(path) {
            Err(Absent::NoFile) => begun().map_or(Here::Nothing, Here::Part),
            Ok(file) => match begun().filter(|_| self.replaces) {
                // It was found to differ before that was cut off.
                Some(begun) => Here::Part(begun),
                None => sum(file).map_or(Here::Other, Here::File),
            },
            Err(_) if self.replaces => Here::Nothing,
            Err(_) => Here::Other,
        }
    }

    /// Begins a file with what is here of it.
    fn copy(&self, path: &FilePath, part: &FilePath) -> std::io::Result<()> {
        let from = self.directory.read(path);
        let mut from = from.map_err(|why| std::io::Error::other(why.to_string()))?;
        let mut to = self.directory.append(part)?;
        to.set_len(0)?;
        std::io::copy(&mut from, &mut to)?;
        Ok(())
    }

    /// Writes the rest of a file, whose beginning with this digest is there.
    async fn write(
        &self,
        parts: &mut Streaming<FetchFileReply>,
        path: &FilePath,
        part: &FilePath,
        mut sum: Sum,
    ) -> Outcome<()> {
        let failed = |error: std::io::Error| cannot(path, &error);
        let mut file = self.directory.append(part).map_err(failed)?;
        file.set_len(sum.bytes()).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut file = tokio::fs::File::from_std(file);
        loop {
            match self.next(parts, path).await? {
                Part::Piece(piece) => {
                    sum.update(&piece);
                    file.write_all(&piece).await.map_err(failed)?;
                    let length = piece.len() as u64;
                    self.done.fetch_add(length, Ordering::Relaxed);
                }
                Part::Digest(digest) if digest == sum.digest() => {
                    return file.flush().await.map_err(failed);
                }
                Part::Digest(_) => {
                    // What is wrong must not be gone on with.
                    let _gone = self.directory.remove(part);
                    return Err(differs(path));
                }
                Part::Begin { .. } | Part::Absent(_) => {
                    return Err(broken(path, "it begins twice"));
                }
            }
        }
    }

    /// The next part of a file. The coordinator says why there is none.
    async fn next(&self, parts: &mut Streaming<FetchFileReply>, path: &FilePath) -> Outcome<Part> {
        let message = parts.message().await;
        let message = message.map_err(|status| self.fetcher.failed(&status))?;
        let message = message.ok_or_else(|| broken(path, "it does not end"))?;
        fetched(message).map_err(|error| broken(path, error))
    }
}

/// The name of a file until it is whole.
fn part_of(path: &FilePath) -> Outcome<FilePath> {
    let (directories, name) = path.parts();
    let mut sum = Sum::default();
    sum.update(name.as_bytes());
    let short = u64::from_be_bytes(std::array::from_fn(|at| sum.digest()[at]));
    let name = format!("{PART}{short:016x}");
    let parts: Vec<&str> = directories.chain([&*name]).collect();
    parts.join("/").parse().map_err(Failure::error)
}

fn broken(path: &FilePath, why: impl std::fmt::Display) -> Failure {
    Failure::error(format!("`{path}` did not come whole: {why}"))
}

fn differs(path: &FilePath) -> Failure {
    Failure::error(format!("`{path}` arrived otherwise than it was sent"))
}

fn cannot(path: &FilePath, error: &std::io::Error) -> Failure {
    let why = match swath_files::absent(error) {
        Absent::NotRegular => "a link or something else than a directory is on the way".to_owned(),
        _ => error.to_string(),
    };
    Failure::error(format!("cannot write `{path}`: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lies_beside_its_file_under_a_short_name() {
        let part = |path: &str| part_of(&path.parse().unwrap()).unwrap().to_string();
        // So it was called yesterday too: what was cut off then goes on.
        insta::assert_snapshot!(part("figures/model.bin"), @"figures/.swath-part-5817df92307886cd");
        let long = "x".repeat(255);
        assert!(part(&long).len() < 40);
        assert!(part("a/b/c").starts_with("a/b/.swath-part-"));
        assert_ne!(part("a"), part("b"));
    }
}
