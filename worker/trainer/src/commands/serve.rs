//! `trainer serve`: a trainer that keeps running.

use std::io::BufRead;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use swath_model::protocol::TrainerEvent;

use super::attempt::{Kept, Order, attempt, finish};
use crate::checkpoint::Mode;
use crate::cli::Serve;
use crate::failure::{Failure, guarded};
use crate::session::Session;
use crate::{output, process, provenance, spec_file};

/// How long SIGTERM may go unnoticed while nothing is trained.
const IDLE_LOOK: Duration = Duration::from_millis(50);

/// How many specs may wait unread; a worker sends one at a time.
const LINES_MAX: usize = 16;

/// Trains the specs that come in on stdin, until its end.
pub(super) fn run(args: &Serve) -> Result<(), Failure> {
    process::catch_sigterm();
    let mut session = Session::new(args.compute)?;
    output::json_line(&TrainerEvent::Ready {
        provenance: provenance::of(session.device()),
    })?;
    let lines = stdin_lines();
    while let Some(line) = next(&lines)? {
        if line.trim().is_empty() {
            continue;
        }
        let ended = guarded(|| {
            let job = spec_file::read_line(&line)?;
            let (directory, kept) = match (&args.out, &args.only_checkpoints) {
                (Some(out), _) => (Some(out), args.checkpoints.kept()),
                (None, checkpoints) => (checkpoints.as_ref(), Kept::Nothing),
            };
            let directory = directory.map(|path| path.join(job.job_digest().to_string()));
            let order = Order {
                weights: None,
                out: directory.as_deref(),
                mode: Mode::Adopt,
                pace: args.checkpoints.pace(None),
                kept,
                measures: &args.measures,
            };
            attempt(&mut session, &job, &order)
        });
        match finish(ended) {
            Err(Failure::Stopped) => return Err(Failure::Stopped),
            // It has been reported; the next spec may do better.
            Err(failure) => output::message(&failure.to_string()),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// The lines of stdin, read by a thread of their own, so that SIGTERM is
/// noticed while none comes.
fn stdin_lines() -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(LINES_MAX);
    thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The next line; none at the end of stdin.
fn next(lines: &Receiver<String>) -> Result<Option<String>, Failure> {
    loop {
        if process::stop_requested() {
            return Err(Failure::Stopped);
        }
        match lines.recv_timeout(IDLE_LOOK) {
            Ok(line) => return Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
