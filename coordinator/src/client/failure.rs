//! Why a command did not do what was asked: an exit code and lines for people.

use std::fmt::Display;
use std::io;

use swath_core::sweep::FileError;
use tonic::{Code, Status};

use super::exit::Exit;

/// A command's end that is not success.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What went wrong, then what to do; empty when there is nothing to say.
    pub(crate) lines: Vec<String>,
}

/// What a command returns.
pub(crate) type Outcome<T = Exit> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, line: impl Display) -> Self {
        Self {
            exit,
            lines: vec![line.to_string()],
        }
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
        Self {
            exit: Exit::Usage,
            lines: errors.iter().map(ToString::to_string).collect(),
        }
    }

    /// No coordinator answers at `url`.
    pub(crate) fn unreachable(url: &str, why: impl Display) -> Self {
        Self::new(
            Exit::Unreachable,
            format!("cannot reach a coordinator at {url}: {why}"),
        )
        .hint(
            "start one with `coordinator serve`, or name another with `--coordinator URL` \
             or SWATH_COORDINATOR",
        )
    }

    /// What a coordinator at `url` answered instead of what was asked for.
    pub(crate) fn refused(url: &str, status: &Status) -> Self {
        let message = status.message();
        let exit = match status.code() {
            Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
            Code::NotFound => Exit::NotFound,
            Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::AlreadyExists => Exit::NotAllowed,
            Code::Unavailable => return Self::unreachable(url, innermost(status)),
            Code::DeadlineExceeded | Code::Cancelled => {
                return Self::unreachable(url, "it did not answer in time");
            }
            Code::Unimplemented => {
                return Self::error(format!("{url} does not know this command"))
                    .hint("it is another program, or a coordinator of another version");
            }
            _ => Exit::Error,
        };
        let lines: Vec<String> = message.lines().map(str::to_owned).collect();
        if lines.is_empty() {
            return Self::new(exit, format!("{url} answered {:?}", status.code()));
        }
        Self { exit, lines }
    }
}

/// The innermost reason of a broken connection: the outer ones say "transport
/// error".
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => innermost.to_string(),
    }
}

impl From<io::Error> for Failure {
    /// Of writing output: a reader that has seen enough is no error.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self {
                exit: Exit::Ok,
                lines: Vec::new(),
            };
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
    }

    #[test]
    fn unreachable_says_where_and_what_to_do() {
        insta::assert_snapshot!(
            Failure::unreachable("http://127.0.0.1:7070", "connection refused")
                .lines
                .join("\n"),
            @r"
        cannot reach a coordinator at http://127.0.0.1:7070: connection refused
        start one with `coordinator serve`, or name another with `--coordinator URL` or SWATH_COORDINATOR
        "
        );
    }
}
