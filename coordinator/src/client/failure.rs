//! Why a command did not do what was asked: an exit code and lines for people.

use std::fmt::Display;
use std::io;
use std::net::IpAddr;

use swath_coordinator::server::ServeError;
use swath_proto::refusal::Refusal;
use swath_sweep::FileError;
use tonic::{Code, Status};

use super::exit::Exit;

/// A command's end that is not success.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What went wrong, then what to do; empty when there is nothing to say.
    pub(crate) lines: Vec<String>,
    /// Another coordinator has the database open; that may pass.
    pub(crate) in_use: bool,
    /// The coordinators that were asked in vain.
    pub(crate) tried: Vec<Tried>,
}

/// What a command returns.
pub(crate) type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, line: impl Display) -> Self {
        Self::of(exit, vec![line.to_string()])
    }

    /// A failure with more than one line.
    pub(crate) const fn of(exit: Exit, lines: Vec<String>) -> Self {
        Self {
            exit,
            lines,
            in_use: false,
            tried: Vec::new(),
        }
    }

    /// Whether a coordinator refused one order, so that it may take others.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.exit, Exit::NotAllowed | Exit::NotFound)
    }

    pub(crate) fn error(line: impl Display) -> Self {
        Self::new(Exit::Error, line)
    }

    pub(crate) fn usage(line: impl Display) -> Self {
        Self::new(Exit::Usage, line)
    }

    /// Adds what can be done.
    #[must_use]
    pub(crate) fn hint(mut self, line: impl Display) -> Self {
        self.lines.push(line.to_string());
        self
    }

    /// Errors of a sweep file, each at its place.
    pub(crate) fn files(errors: &[FileError]) -> Self {
        Self::of(
            Exit::Usage,
            errors.iter().map(ToString::to_string).collect(),
        )
    }

    /// The failure when none of the tried coordinators did what it was asked.
    pub(crate) fn unreachable(tried: &[Tried]) -> Self {
        let told = |(index, tried): (usize, &Tried)| {
            let nor = if index == 0 {
                "cannot reach a coordinator"
            } else {
                "nor"
            };
            format!("{nor} at {}: {}", tried.url, tried.why)
        };
        let lines = tried.iter().enumerate().map(told).collect();
        let failure = Self {
            tried: tried.to_vec(),
            ..Self::of(Exit::Unreachable, lines)
        };
        if tried.iter().any(|tried| tried.stands_by) {
            return failure.hint(
                "the coordinator that leads is away; another takes over within seconds: try \
                 again then",
            );
        }
        if tried.iter().any(Tried::is_in_the_open) {
            return failure.hint(
                "a coordinator that other machines reach is at https://HOST:PORT; name it so, \
                 with a token (docs/lab.md)",
            );
        }
        failure.hint(
            "start one with `coordinator serve`, or name another with `--coordinator URL` \
             or SWATH_COORDINATOR",
        )
    }

    /// The failure when the coordinator at `url` refused the call.
    pub(crate) fn refused(url: &str, status: &Status) -> Self {
        match Refusal::of(status) {
            Refusal::Unanswered(why) => return Self::unreachable(&[Tried::silent(url, why)]),
            Refusal::Elsewhere { message, .. } => {
                return Self::unreachable(&[Tried::standby(url, message)]);
            }
            Refusal::Refused(_) => {}
        }
        let exit = match status.code() {
            Code::InvalidArgument => Exit::Usage,
            Code::NotFound => Exit::NotFound,
            Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::AlreadyExists => Exit::NotAllowed,
            // The coordinator is there, but not the worker that it would ask.
            Code::Unavailable => Exit::Unreachable,
            Code::Unimplemented => {
                return Self::error(format!("{url} does not know this command"))
                    .hint("it is another program, or a coordinator of another version");
            }
            _ => Exit::Error,
        };
        let lines: Vec<String> = status.message().lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return Self::new(exit, format!("{url} answered {:?}", status.code()));
        }
        Self::of(exit, lines)
    }
}

/// A coordinator that was asked in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tried {
    url: String,
    pub(crate) why: String,
    /// It answered that it does not lead.
    stands_by: bool,
}

impl Tried {
    /// A coordinator that does not answer.
    pub(crate) fn silent(url: &str, why: impl Display) -> Self {
        Self {
            url: url.to_owned(),
            why: why.to_string(),
            stands_by: false,
        }
    }

    /// Whether it was asked over a network without encryption, which no coordinator
    /// answers.
    fn is_in_the_open(&self) -> bool {
        let rest = self.url.strip_prefix("http://").unwrap_or_default();
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        !rest.is_empty() && host != "localhost" && !address.is_ok_and(|it| it.is_loopback())
    }

    /// A coordinator that answers, but does not lead.
    pub(crate) fn standby(url: &str, why: impl Display) -> Self {
        Self {
            stands_by: true,
            ..Self::silent(url, why)
        }
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self {
            in_use: error.in_use,
            ..Self::error(error.message)
        }
    }
}

impl From<io::Error> for Failure {
    /// A closed pipe is no error: its reader has seen enough.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::of(Exit::Ok, Vec::new());
        }
        Self::error(format!("cannot write the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit, Exit::Ok);
        assert!(failure.lines.is_empty());
    }

    #[test]
    fn answers_become_exit_codes() {
        let exit = |status: Status| Failure::refused("http://x", &status).exit;
        assert_eq!(exit(Status::invalid_argument("a")), Exit::Usage);
        assert_eq!(exit(Status::not_found("a")), Exit::NotFound);
        assert_eq!(exit(Status::unavailable("a")), Exit::Unreachable);
        assert_eq!(exit(Status::failed_precondition("a")), Exit::NotAllowed);
        assert_eq!(exit(Status::permission_denied("a")), Exit::NotAllowed);
        assert_eq!(exit(Status::internal("a")), Exit::Error);
        // A message that is too large.
        assert_eq!(exit(Status::out_of_range("a")), Exit::Error);
    }

    #[test]
    fn unreachable_says_where_and_what_to_do() {
        let silent = |url: &str| Tried::silent(url, "connection refused");
        let told = |tried: &[Tried]| Failure::unreachable(tried).lines.join("\n");
        insta::assert_snapshot!(told(&[silent("http://127.0.0.1:7070")]), @r"
        cannot reach a coordinator at http://127.0.0.1:7070: connection refused
        start one with `coordinator serve`, or name another with `--coordinator URL` or SWATH_COORDINATOR
        ");
        for near in ["http://localhost:1", "http://[::1]:1", "https://head.lab:1"] {
            let told = told(&[silent(near)]);
            assert!(told.contains("start one with"), "{told}");
        }
        insta::assert_snapshot!(told(&[silent("http://head.lab:7070")]), @r"
        cannot reach a coordinator at http://head.lab:7070: connection refused
        a coordinator that other machines reach is at https://HOST:PORT; name it so, with a token (docs/lab.md)
        ");
        let standby = Tried::standby("http://a:1", "another coordinator leads: http://b:1");
        insta::assert_snapshot!(told(&[standby, silent("http://b:1")]), @r"
        cannot reach a coordinator at http://a:1: another coordinator leads: http://b:1
        nor at http://b:1: connection refused
        the coordinator that leads is away; another takes over within seconds: try again then
        ");
    }

    #[test]
    fn a_broken_connection_is_no_answer() {
        let reset = io::Error::from_raw_os_error(104);
        let mut broken = Status::unknown("transport error");
        broken.set_source(std::sync::Arc::new(reset));
        let failure = Failure::refused("http://x", &broken);
        assert_eq!(failure.exit, Exit::Unreachable);
        assert!(failure.lines[0].contains("reset"), "{failure:?}");
    }
}
