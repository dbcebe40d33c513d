//! Waiting for a sweep: live progress on stderr, its table at the end.

mod feed;
mod stall;
mod view;

use std::time::Duration;

use swath_coordinator::api::Shape;
use swath_model::cause::PauseCause;
use swath_model::id::SweepDigest;
use swath_model::needs::Lack;
use swath_model::view::{SweepState, SweepView};
use swath_report::counted;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

pub(crate) use self::feed::{Feed, Update, away, back};
pub(crate) use self::stall::Stall;
use self::view::View;
use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::{render, table};
use crate::settings::Context;

/// Ctrl-C and SIGTERM as events.
#[derive(Debug)]
pub(crate) struct Interrupts {
    signals: Option<(Signal, Signal)>,
}

impl Interrupts {
    /// Listens if `wanted`; otherwise signals end the process as usual.
    pub(crate) fn listen(wanted: bool) -> Outcome<Self> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| Failure::error(format!("cannot listen to signals: {error}")))
        };
        let signals = if wanted {
            Some((
                catch(SignalKind::interrupt())?,
                catch(SignalKind::terminate())?,
            ))
        } else {
            None
        };
        Ok(Self { signals })
    }

    /// Resolves at the next signal.
    pub(crate) async fn next(&mut self) {
        match &mut self.signals {
            Some((interrupt, terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            None => std::future::pending().await,
        }
    }
}

/// Why the waiting is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every job is final.
    Finished,
    /// The sweep was cancelled.
    Cancelled,
    /// Its jobs all failed alike, so it is paused.
    Stuck,
    /// The only worker, which this command has started, lacks something.
    Lacking(Lack),
    /// The timeout passed.
    TimedOut,
    /// Ctrl-C or SIGTERM arrived.
    Interrupted,
}

/// What is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Goal {
    pub(crate) sweep: SweepDigest,
    pub(crate) timeout: Option<Duration>,
}

/// Waits until the sweep is over, and shows its progress.
pub(crate) async fn wait(
    context: &Context,
    connection: &mut Connection,
    goal: &Goal,
    interrupts: &mut Interrupts,
) -> Outcome<(Ended, SweepView)> {
    let deadline = goal.timeout.map(|timeout| Instant::now() + timeout);
    let mut view = View::new(context.printer);
    let mut feed = Feed::going_on(vec![goal.sweep.to_string()]);
    let mut last: Option<SweepView> = None;
    loop {
        let update = tokio::select! {
            biased;
            () = interrupts.next() => break over(view, Ended::Interrupted, last),
            () = until(deadline) => break over(view, Ended::TimedOut, last),
            update = feed.next(connection) => update?,
        };
        match update {
            Update::Lost(failure) => view.lost(connection, &failure),
            Update::Status {
                status,
                stalls,
                back,
            } => {
                if back {
                    view.say(&feed::back(connection));
                }
                let Some(sweep) = status.sweeps.iter().find(|it| it.digest == goal.sweep) else {
                    return Err(vanished(goal.sweep));
                };
                view.learn_names(connection, goal.sweep).await;
                let stall = stalls.iter().find(|it| it.sweep == goal.sweep);
                // Nobody else will come with what is lacking.
                let alone = stall.filter(|_| connection.is_local());
                let lacking = alone.and_then(Stall::lack).cloned().map(Ended::Lacking);
                // What ends the waiting is told at its end.
                let stall = stall.filter(|_| lacking.is_none());
                view.show(&status, sweep, stall);
                let ended = ended(sweep).or(lacking);
                last = Some(sweep.clone());
                if let Some(ended) = ended {
                    break over(view, ended, last);
                }
            }
        }
    }
}

fn over(view: View, ended: Ended, last: Option<SweepView>) -> Outcome<(Ended, SweepView)> {
    view.close();
    match last {
        Some(sweep) => Ok((ended, sweep)),
        None if ended == Ended::TimedOut => Err(Failure::new(
            Exit::Timeout,
            "the coordinator sent nothing before the time was up; the work goes on",
        )),
        None => Err(Failure::new(
            Exit::Interrupted,
            "interrupted; the work goes on",
        )),
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn vanished(sweep: SweepDigest) -> Failure {
    let id = sweep.short();
    Failure::new(
        Exit::NotFound,
        format!("the coordinator does not know sweep {id} any more"),
    )
}

/// Whether there is nothing more to wait for.
pub(crate) fn ended(sweep: &SweepView) -> Option<Ended> {
    match sweep.state {
        SweepState::Finished => Some(Ended::Finished),
        SweepState::Cancelled => Some(Ended::Cancelled),
        // Running jobs may still succeed; an operator's pause will end.
        SweepState::Paused if is_stuck(sweep) => Some(Ended::Stuck),
        SweepState::Paused | SweepState::Active => None,
    }
}

fn is_stuck(sweep: &SweepView) -> bool {
    let training = sweep.counts.leased + sweep.counts.suspect;
    training == 0 && sweep.paused.as_ref().is_some_and(PauseCause::is_failure)
}

/// What to say when the waiting ends before the sweep does.
#[derive(Clone, Debug)]
pub(crate) struct Parting {
    /// What happens to the work, such as `the work goes on`.
    pub(crate) work: String,
    /// What to type to go on.
    pub(crate) next: String,
    /// What to type so that a sweep goes on, with its failed jobs, after it was
    /// paused because its jobs fail.
    pub(crate) resume: String,
    /// The command that trains it here.
    pub(crate) again: String,
    /// Whether that command names the sweep's file, and so submits what the file
    /// means by then.
    pub(crate) submits: bool,
}

/// Prints how the waiting ended, and returns the exit code.
pub(crate) async fn conclude(
    context: &Context,
    connection: &mut Connection,
    (ended, sweep): (Ended, SweepView),
    parting: &Parting,
) -> Outcome {
    let printer = context.printer;
    let (name, asked) = (&sweep.name, &context.asked);
    let done = format!(
        "{} of {} jobs are done",
        sweep.counts.done(),
        sweep.counts.total()
    );
    match ended {
        Ended::Finished => finished(context, connection, &sweep).await,
        Ended::Cancelled => {
            let (measured, of) = (sweep.counts.succeeded, sweep.counts.total());
            printer.warn(format!(
                "{name} was cancelled with {measured} of {of} jobs measured"
            ));
            printer.hint(format!(
                "`coordinator table {name}{asked}` shows what was measured"
            ));
            Ok(Exit::Cancelled)
        }
        Ended::Stuck => Err(stuck(context, &sweep, parting)),
        Ended::Lacking(lack) => Err(lacking(&sweep.name, &lack, &done, parting)),
        Ended::TimedOut => {
            printer.warn(format!("the time is up: {done}; {}", parting.work));
            printer.hint(&parting.next);
            Ok(Exit::Timeout)
        }
        Ended::Interrupted => {
            printer.warn(format!("interrupted: {done}; {}", parting.work));
            printer.hint(&parting.next);
            Ok(Exit::Interrupted)
        }
    }
}

/// The failure of a sweep of which the worker of this command lacks something.
fn lacking(name: &str, lack: &Lack, done: &str, parting: &Parting) -> Failure {
    let Parting { again, submits, .. } = parting;
    let (why, next) = match lack {
        Lack::Input {
            path,
            differs: true,
        } => {
            let next = if *submits {
                format!("`{again}` submits the changed program as the next version")
            } else {
                format!(
                    "submit its file again: the changed program is the next version; or put the \
                     file back, then `{again}` goes on from here"
                )
            };
            (format!("`{path}` has changed since it was submitted"), next)
        }
        lack => {
            let next = format!("mend it, then `{again}` goes on: what is measured stays");
            (lack.to_string(), next)
        }
    };
    let message = format!("{name} cannot go on: {why} ({done})");
    Failure::new(Exit::FailedCells, message).hint(next)
}

/// How long a coordinator that has just reported the end may take to restart;
/// the table is printed all the same.
const RESTART_WAIT: Duration = Duration::from_mins(1);

/// Reads something, and tries again while the coordinator is away: until
/// `give_up`, or without end when the caller can be interrupted.
pub(crate) async fn patiently<T>(
    context: &Context,
    connection: &mut Connection,
    give_up: Option<Instant>,
    read: impl AsyncFn(&mut Connection) -> Outcome<T>,
) -> Outcome<T> {
    let mut tries = 0;
    loop {
        let failure = match read(connection).await {
            Err(failure) if failure.exit == Exit::Unreachable => failure,
            done => {
                if tries > 0 {
                    context.printer.note(feed::back(connection));
                }
                return done;
            }
        };
        if connection.is_local() || give_up.is_some_and(|at| Instant::now() > at) {
            return Err(failure);
        }
        if tries == 0 {
            context.printer.warn(feed::away(connection, &failure));
        }
        tries += 1;
        tokio::time::sleep(feed::pause(tries, feed::unit())).await;
    }
}

async fn finished(context: &Context, connection: &mut Connection, sweep: &SweepView) -> Outcome {
    let give_up = Some(Instant::now() + RESTART_WAIT);
    let selector = || vec![sweep.digest.to_string()];
    let shown = async |connection: &mut Connection| {
        table::print(context, connection, selector(), Shape::default()).await
    };
    patiently(context, connection, give_up, shown).await?;
    let counts = &sweep.counts;
    if counts.failed > 0 {
        let failed = async |connection: &mut Connection| {
            let state = "state=failed".to_owned();
            connection
                .jobs([selector(), vec![state]].concat(), None)
                .await
        };
        let failed = patiently(context, connection, give_up, failed).await?;
        let (name, asked) = (&sweep.name, &context.asked);
        for line in render::failures::lines(&failed, asked) {
            context.printer.warn(line);
        }
        context.printer.hint(format!(
            "`coordinator retry {name}{asked}` queues the failed jobs again"
        ));
        return Ok(Exit::FailedCells);
    }
    if counts.cancelled > 0 {
        let jobs = counted(counts.cancelled, "job");
        context
            .printer
            .warn(format!("{jobs} of {} were cancelled", sweep.name));
        return Ok(Exit::Cancelled);
    }
    Ok(Exit::Ok)
}

/// The failure of a sweep that is paused because nothing in it succeeds.
fn stuck(context: &Context, sweep: &SweepView, parting: &Parting) -> Failure {
    let (name, asked) = (&sweep.name, &context.asked);
    Failure::new(
        Exit::FailedCells,
        format!("{name} is paused: {}", render::words(sweep.paused.as_ref())),
    )
    .hint(format!(
        "`coordinator jobs {name} -o wide{asked}` shows the jobs, \
         `coordinator logs JOB{asked}` what their trainers wrote"
    ))
    .hint(format!("fix the cause, then {}", parting.resume))
}

#[cfg(test)]
mod tests {
    use swath_model::id::CellDigest;
    use swath_model::judge::{LastFault, pause};
    use swath_model::outcome::Fault;
    use swath_model::policy::Policy;

    use super::*;
    use crate::client::render::tests::sweep;

    #[test]
    fn a_sweep_that_fails_alike_is_not_waited_for() {
        let fault = LastFault {
            fault: Fault::Crashed,
            headline: "no data".to_owned(),
        };
        let mut view = sweep("small");
        view.state = SweepState::Paused;
        view.counts.leased = 0;
        view.counts.suspect = 0;
        let cells = [1, 2, 3].map(|cell| CellDigest::from_bytes([cell; 32]));
        let faults = cells.map(|cell| (cell, fault.clone()));
        view.paused = pause(false, &faults, &fault, false, &Policy::default());
        assert_eq!(ended(&view), Some(Ended::Stuck));
        view.counts.leased = 1;
        assert_eq!(ended(&view), None);
        view.counts.leased = 0;
        view.paused = Some(PauseCause::Operator);
        assert_eq!(ended(&view), None);
    }

    #[test]
    fn what_the_worker_here_lacks_is_told_with_what_to_do() {
        let mut parting = Parting {
            work: String::new(),
            next: String::new(),
            resume: String::new(),
            again: "coordinator run small.toml".to_owned(),
            submits: true,
        };
        let told = |lack: &Lack, parting: &Parting| {
            lacking("small", lack, "2 of 6 jobs are done", parting)
                .lines
                .join("\n")
        };
        let input = |differs| Lack::Input {
            path: "train.py".to_owned(),
            differs,
        };
        insta::assert_snapshot!(told(&input(true), &parting), @"
        small cannot go on: `train.py` has changed since it was submitted (2 of 6 jobs are done)
        `coordinator run small.toml` submits the changed program as the next version
        ");
        insta::assert_snapshot!(told(&input(false), &parting), @"
        small cannot go on: no active worker has `train.py`; copy it to the worker's host (2 of 6 jobs are done)
        mend it, then `coordinator run small.toml` goes on: what is measured stays
        ");
        parting.again = "coordinator run small".to_owned();
        parting.submits = false;
        insta::assert_snapshot!(told(&input(true), &parting), @"
        small cannot go on: `train.py` has changed since it was submitted (2 of 6 jobs are done)
        submit its file again: the changed program is the next version; or put the file back, then `coordinator run small` goes on from here
        ");
    }

    #[test]
    fn ends_are_read_from_the_state() {
        let mut view = sweep("small");
        for (state, expected) in [
            (SweepState::Active, None),
            (SweepState::Finished, Some(Ended::Finished)),
            (SweepState::Cancelled, Some(Ended::Cancelled)),
        ] {
            view.state = state;
            assert_eq!(ended(&view), expected);
        }
    }
}
