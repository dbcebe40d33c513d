//! What a child's end means.

use std::fmt::Write;

use swath_model::outcome::{Fault, Outcome};
use swath_model::protocol::exit;

use crate::tail::Tail;
use crate::{End, first};

/// How much of the end of what a child wrote a fault's message quotes.
const QUOTED_BYTES: usize = 8 << 10;

/// The longest headline.
const HEADLINE_BYTES: usize = 300;

/// Who ends: what its exit codes mean depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// The built-in trainer.
    Trainer,
    /// A program that speaks the trainer protocol.
    Speaker,
    /// A program that knows nothing of it.
    Stranger,
}

/// The outcome of an attempt whose child ended without reporting one. `tail` is
/// the end of what it wrote.
pub(crate) fn unexplained(who: Who, end: &End, tail: &Tail) -> Outcome {
    let (fault, how) = ending(who, end);
    failed(fault, &how, tail)
}

/// The fault that an end is if nothing else is known, and how it ended in words.
pub(crate) fn ending(who: Who, end: &End) -> (Fault, String) {
    match end {
        End::NotStarted(why) => (Fault::Crashed, format!("cannot be started: {why}")),
        End::Lacks(lack) => (Fault::Crashed, lack.to_string()),
        End::Exit(code) => of_code(who, *code),
        End::Signal {
            signal: 9,
            oom: true,
        } => (
            Fault::OutOfMemory,
            "killed by the kernel: the host or its memory limit is out of memory".to_owned(),
        ),
        End::Signal { signal: 9, .. } => (
            Fault::Crashed,
            "killed by signal 9 (SIGKILL), not by the worker; maybe by the kernel's OOM killer"
                .to_owned(),
        ),
        // SIGTERM came from outside before the trainer could catch it. A program may
        // have sent it to itself, so that would go on for ever.
        End::Signal { signal: 15, .. } if who == Who::Trainer => (
            Fault::Lost,
            "stopped by SIGTERM from outside the worker".to_owned(),
        ),
        End::Signal { signal, .. } => (
            Fault::Crashed,
            format!("killed by signal {signal}{}", signal_name(*signal)),
        ),
    }
}

/// The longest message of a trainer about its own fault, in bytes.
const TOLD_BYTES: usize = 32 << 10;

/// The fault that a `failed` line tells.
pub(crate) fn told(fault: Fault, message: &str) -> Outcome {
    let message = message.replace('\0', "\u{fffd}");
    let message = first(&message, TOLD_BYTES).to_owned();
    Outcome::Failed { fault, message }
}

fn of_code(who: Who, code: i32) -> (Fault, String) {
    let known = u8::try_from(code).ok();
    // To a program that knows nothing of the protocol, these are numbers like others.
    let is_agreed = who != Who::Stranger;
    match known {
        Some(exit::FINISHED) => (Fault::Crashed, "ended without a `finished` line".to_owned()),
        Some(exit::DIVERGED) => (Fault::Diverged, "diverged".to_owned()),
        Some(exit::INVALID) if is_agreed => (Fault::Invalid, "invalid spec".to_owned()),
        Some(exit::OUT_OF_MEMORY) if is_agreed => (Fault::OutOfMemory, "out of memory".to_owned()),
        Some(exit::STOPPED) if is_agreed => (
            Fault::Lost,
            "stopped by SIGTERM from outside the worker".to_owned(),
        ),
        // The exit code with which a shell reports that a command was killed.
        Some(code @ 129..=159) => {
            let signal = i32::from(code) - 128;
            let name = signal_name(signal);
            (
                Fault::Crashed,
                format!("exit code {code}: signal {signal}{name}"),
            )
        }
        _ => (Fault::Crashed, format!("exit code {code}")),
    }
}

/// A fault whose first line says what happened, followed by the end of what was
/// written.
pub(crate) fn failed(fault: Fault, how: &str, tail: &Tail) -> Outcome {
    let mut message = how.to_owned();
    let mut tail = tail.clone();
    tail.cut(QUOTED_BYTES);
    let (name, text) = (tail.name(), tail.text());
    let tail = text.trim_end();
    if let Some(cause) = cause(tail) {
        message.push_str(": ");
        message.push_str(first(cause, HEADLINE_BYTES));
    }
    if tail.lines().filter(|line| !line.trim().is_empty()).count() > 1 {
        let _ = write!(message, "\n\n{name} ended with:\n{tail}");
    }
    Outcome::Failed { fault, message }
}

/// The line that most likely gives the reason: the last one that is
/// not a hint. Python's exception is there, and so is the message of most
/// programs; a Rust panic is followed by a hint.
fn cause(tail: &str) -> Option<&str> {
    tail.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("note: "))
}

fn signal_name(signal: i32) -> &'static str {
    match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        3 => " (SIGQUIT)",
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        8 => " (SIGFPE)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        25 => " (SIGXFSZ)",
        31 => " (SIGSYS)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail::Stream;

    fn of(end: &End, tail: &str) -> (Fault, String) {
        of_whom(Who::Trainer, end, tail)
    }

    fn of_whom(who: Who, end: &End, tail: &str) -> (Fault, String) {
        let mut written = Tail::default();
        written.push(Stream::Stderr, tail);
        match unexplained(who, end, &written) {
            Outcome::Failed { fault, message } => (fault, message),
            Outcome::Measured(_) => panic!("measured"),
        }
    }

    #[test]
    fn every_end_has_its_fault() {
        let killed = |signal, oom| End::Signal { signal, oom };
        let table = [
            (End::Exit(0), Fault::Crashed),
            (End::Exit(1), Fault::Crashed),
            (End::Exit(10), Fault::Diverged),
            (End::Exit(11), Fault::Invalid),
            (End::Exit(12), Fault::OutOfMemory),
            (End::Exit(75), Fault::Lost),
            (End::Exit(137), Fault::Crashed),
            (killed(9, true), Fault::OutOfMemory),
            (killed(9, false), Fault::Crashed),
            (killed(11, true), Fault::Crashed),
            (killed(15, false), Fault::Lost),
            (End::NotStarted("no such file".into()), Fault::Crashed),
        ];
        for (end, fault) in table {
            assert_eq!(of(&end, "").0, fault, "{end:?}");
        }
        assert!(of(&killed(9, false), "").1.contains("OOM"));
    }

    #[test]
    fn codes_of_the_protocol_mean_something_to_those_who_speak_it_only() {
        let term = End::Signal {
            signal: 15,
            oom: false,
        };
        let ends = [10, 11, 12, 75].map(End::Exit).into_iter().chain([term]);
        let of = |who| {
            let faults = ends.clone().map(move |end| of_whom(who, &end, "").0);
            faults.collect::<Vec<_>>()
        };
        let trainer = [
            Fault::Diverged,
            Fault::Invalid,
            Fault::OutOfMemory,
            Fault::Lost,
            Fault::Lost,
        ];
        assert_eq!(of(Who::Trainer), trainer);
        assert_eq!(of(Who::Speaker)[..4], trainer[..4]);
        assert_eq!(of(Who::Speaker)[4], Fault::Crashed);
        let stranger = of(Who::Stranger);
        assert_eq!(stranger[0], Fault::Diverged);
        assert_eq!(stranger[1..], [Fault::Crashed; 4]);
        let told = ends
            .clone()
            .map(|end| of_whom(Who::Stranger, &end, "no luck").1);
        insta::assert_snapshot!(told.collect::<Vec<_>>().join("\n"), @r"
        diverged: no luck
        exit code 11: no luck
        exit code 12: no luck
        exit code 75: no luck
        killed by signal 15 (SIGTERM): no luck
        ");
    }

    #[test]
    fn the_first_line_says_why() {
        let python = "Traceback (most recent call last):\n  File \"x\"\nModuleNotFoundError: No module named 'numpy'\n";
        let (_, message) = of(&End::Exit(1), python);
        assert_eq!(
            message.lines().next(),
            Some("exit code 1: ModuleNotFoundError: No module named 'numpy'")
        );
        assert!(message.contains("Traceback"));
        let rust =
            "thread 'main' panicked at src/x.rs:1:\nno luck\nnote: run with RUST_BACKTRACE=1\n";
        let (_, message) = of(
            &End::Signal {
                signal: 6,
                oom: false,
            },
            rust,
        );
        assert!(message.starts_with("killed by signal 6 (SIGABRT): no luck\n"));
    }
}
