//! The history of a training in files, with a line per finished epoch.
//!
//! `history.jsonl` has what spec and seed determine, so an interrupted training
//! leaves the same bytes as an uninterrupted one; `timing.jsonl` has what the
//! machine determines.

use std::path::{Path, PathBuf};

use serde::Serialize;
use swath_model::outcome::Observation;
use swath_model::protocol::TrainerEvent;

use crate::failure::Failure;
use crate::{files, output};

/// The history files of a directory.
pub(crate) struct History {
    facts: PathBuf,
    timing: PathBuf,
    /// Whether the files have all epochs so far; false after a failed write.
    whole: bool,
}

/// The metric that depends on the machine.
const SPEED: &str = "images_per_second";

/// A line of `timing.jsonl`.
#[derive(Serialize)]
struct Timing {
    epoch: u32,
    step: u64,
    seconds: Option<f64>,
    images_per_second: Option<f64>,
}

impl History {
    /// The files of `directory`, which then have exactly `epochs`.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where they cannot be written.
    pub(crate) fn begin(directory: &Path, epochs: &[Observation]) -> Result<Self, Failure> {
        let mut history = Self {
            facts: directory.join("history.jsonl"),
            timing: directory.join("timing.jsonl"),
            whole: false,
        };
        history.rewrite(epochs)?;
        Ok(history)
    }

    /// Adds the last of `epochs`. If it cannot be written now, it is written
    /// with a later epoch or at the end.
    pub(crate) fn add(&mut self, epochs: &[Observation]) {
        let added = match epochs.last() {
            Some(last) if self.whole => self.append(last),
            _ => self.rewrite(epochs),
        };
        self.whole = added.is_ok();
        if let Err(failure) = added {
            output::message(&format!(
                "warning: {failure}; the history of this epoch is written with the next one"
            ));
        }
    }

    /// Writes what could not be written before.
    ///
    /// # Errors
    ///
    /// [`Failure::Crashed`] where that still fails.
    pub(crate) fn finish(&mut self, epochs: &[Observation]) -> Result<(), Failure> {
        if self.whole {
            Ok(())
        } else {
            self.rewrite(epochs)
        }
    }

    fn append(&self, epoch: &Observation) -> Result<(), Failure> {
        files::append(&self.facts, line(&facts(epoch))?.as_bytes())?;
        files::append(&self.timing, line(&timing(epoch))?.as_bytes())
    }

    fn rewrite(&mut self, epochs: &[Observation]) -> Result<(), Failure> {
        let mut lines = [String::new(), String::new()];
        for epoch in epochs {
            lines[0].push_str(&line(&facts(epoch))?);
            lines[1].push_str(&line(&timing(epoch))?);
        }
        files::write_atomically(&self.facts, lines[0].as_bytes())?;
        files::write_atomically(&self.timing, lines[1].as_bytes())?;
        self.whole = true;
        Ok(())
    }
}

/// An epoch without its times.
fn facts(epoch: &Observation) -> TrainerEvent {
    TrainerEvent::Epoch(Observation {
        seconds: None,
        values: epoch.values.without(&[SPEED]),
        ..*epoch
    })
}

fn timing(epoch: &Observation) -> Timing {
    Timing {
        epoch: epoch.epoch,
        step: epoch.step,
        seconds: epoch.seconds,
        images_per_second: epoch.values.get(SPEED),
    }
}

fn line(value: &impl Serialize) -> Result<String, Failure> {
    let mut line =
        serde_json::to_string(value).map_err(|error| Failure::Crashed(error.to_string()))?;
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn epochs(count: u32) -> Vec<Observation> {
        let epoch = |epoch| Observation {
            epoch,
            step: u64::from(epoch) * 7,
            seconds: Some(f64::from(epoch)),
            values: [("test_error", 10.0 / f64::from(epoch)), (SPEED, 1e3)].into(),
        };
        (1..=count).map(epoch).collect()
    }

    #[test]
    fn lines_are_added_cut_off_and_free_of_the_clock() {
        let directory = tempfile::tempdir().unwrap();
        let read = |name| fs::read_to_string(directory.path().join(name)).unwrap();
        let mut history = History::begin(directory.path(), &[]).unwrap();
        assert_eq!(read("history.jsonl"), "");
        for count in 1..=3 {
            history.add(&epochs(count));
        }
        let whole = read("history.jsonl");
        assert_eq!(whole.lines().count(), 3);
        assert!(!whole.contains("second"), "{whole}");
        assert_eq!(
            read("timing.jsonl").lines().last(),
            Some(r#"{"epoch":3,"step":21,"seconds":3.0,"images_per_second":1000.0}"#)
        );
        History::begin(directory.path(), &epochs(1))
            .unwrap()
            .add(&epochs(2));
        assert_eq!(read("history.jsonl").lines().count(), 2);
        assert!(whole.starts_with(&read("history.jsonl")));
    }

    #[test]
    fn what_could_not_be_written_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let mut history = History::begin(directory.path(), &[]).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        history.add(&epochs(1));
        assert!(history.finish(&epochs(1)).is_err());
        fs::remove_dir(&path).unwrap();
        history.add(&epochs(2));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        history.finish(&epochs(2)).unwrap();
    }
}
