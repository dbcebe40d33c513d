//! Work on many files at once, with messages on stderr when it takes long.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, guarded};
use crate::{output, process};

/// How often a wait checks whether SIGTERM came.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Shorter work is not mentioned.
const QUIET: Duration = Duration::from_secs(1);
/// Time between two lines after that.
const PERIOD: Duration = Duration::from_secs(5);

/// Reports now and then how far a long piece of work has come.
pub(super) struct Progress {
    next: Instant,
}

impl Progress {
    /// A progress that has not printed anything yet.
    pub(super) fn new() -> Self {
        Self {
            next: Instant::now() + QUIET,
        }
    }

    /// Prints `text` if it is time.
    pub(super) fn tick(&mut self, text: impl FnOnce() -> String) {
        if Instant::now() >= self.next {
            self.next = Instant::now() + PERIOD;
            output::message(&text());
        }
    }
}

/// The results of `work` on every item, in order, with one thread per core;
/// `what` names the work for people.
///
/// # Errors
///
/// The failure of the first item, in order, that fails; [`Failure::Stopped`]
/// where SIGTERM comes.
pub(super) fn in_parallel<I: Send, T: Send>(
    items: Vec<I>,
    what: &str,
    work: impl Fn(I) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let total = items.len();
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let queue = Mutex::new(items.into_iter().enumerate());
    let quit = AtomicBool::new(false);
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.next()
    };
    let worker = |sender: Sender<(usize, Result<T, Failure>)>| {
        // Items are handed out in order, so those before a failed one are done
        // too.
        while !quit.load(Ordering::Relaxed)
            && let Some((index, item)) = next()
            && sender.send((index, guarded(|| work(item)))).is_ok()
        {}
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..cores.min(total) {
            let sender = sender.clone();
            scope.spawn(|| worker(sender));
        }
        drop(sender);
        let done = collect(&receiver, total, what, &quit);
        quit.store(true, Ordering::Relaxed);
        done
    })
}

fn collect<T>(
    receiver: &Receiver<(usize, Result<T, Failure>)>,
    total: usize,
    what: &str,
    quit: &AtomicBool,
) -> Result<Vec<T>, Failure> {
    let mut results: Vec<Option<T>> = (0..total).map(|_| None).collect();
    let mut failed: Option<(usize, Failure)> = None;
    let mut progress = Progress::new();
    let mut done = 0;
    loop {
        if process::stop_requested() {
            return Err(Failure::Stopped);
        }
        match receiver.recv_timeout(LOOK) {
            Ok((index, Ok(result))) => results[index] = Some(result),
            Ok((index, Err(failure))) => {
                quit.store(true, Ordering::Relaxed);
                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                    failed = Some((index, failure));
                }
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => break,
        }
        done += 1;
        progress.tick(|| format!("{what}: {done} of {total}"));
    }
    match failed {
        Some((_, failure)) => Err(failure),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_their_order() {
        let squares = in_parallel((0..1000_u64).collect(), "squaring", |n| Ok(n * n)).unwrap();
        assert!(squares.iter().zip(0..).all(|(square, n)| *square == n * n));
        assert_eq!(squares.len(), 1000);
        assert_eq!(in_parallel(Vec::<u8>::new(), "nothing", Ok), Ok(Vec::new()));
    }

    #[test]
    fn the_first_failure_is_reported_whichever_comes_first() {
        for _ in 0..20 {
            let work = |n: u64| match n {
                40.. => Err(Failure::Invalid(n.to_string())),
                // Even if later items finish earlier.
                39 => {
                    thread::yield_now();
                    Err(Failure::Invalid(n.to_string()))
                }
                _ => Ok(n),
            };
            let failed = in_parallel((0..100).collect(), "failing", work);
            assert_eq!(failed, Err(Failure::Invalid("39".to_owned())));
        }
    }

    #[test]
    fn a_panic_is_a_failure() {
        let failed = in_parallel(vec![1], "panicking", |_| -> Result<(), _> { panic!("no") });
        assert_eq!(failed, Err(Failure::Crashed("no".to_owned())));
    }
}
