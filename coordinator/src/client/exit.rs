//! Exit codes: a contract with scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything that was asked for was done.
    Ok,
    /// Something went wrong for which no other code stands.
    Error,
    /// The command line or a file is wrong; nothing was changed.
    Usage,
    /// Nothing has this name or id; or `--check` leaves a value undecided.
    NotFound,
    /// No coordinator answered; or the worker is away that has what is asked for.
    Unreachable,
    /// The coordinator understood and refused.
    NotAllowed,
    /// The sweep came to its end with failed cells; or `--check` found a value
    /// that was not reproduced.
    FailedCells,
    /// The sweep was cancelled while it was waited for.
    Cancelled,
    /// `--timeout` passed; the work goes on.
    Timeout,
    /// Ctrl-C or SIGTERM ended the waiting; the work goes on.
    Interrupted,
}

impl Exit {
    /// Every code.
    pub(crate) const ALL: [Self; 10] = [
        Self::Ok,
        Self::Error,
        Self::Usage,
        Self::NotFound,
        Self::Unreachable,
        Self::NotAllowed,
        Self::FailedCells,
        Self::Cancelled,
        Self::Timeout,
        Self::Interrupted,
    ];

    /// The code as a number.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable => 4,
            Self::NotAllowed => 5,
            Self::FailedCells => 10,
            Self::Cancelled => 11,
            Self::Timeout => 12,
            Self::Interrupted => 130,
        }
    }

    /// What the code means, for the reference page.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Usage => "usage or invalid file; nothing was changed",
            Self::NotFound => "not found; with `--check`: some published value is undecided",
            Self::Unreachable => {
                "coordinator unreachable; or the worker that has what is asked for is away"
            }
            Self::NotAllowed => "not allowed",
            Self::FailedCells => {
                "the sweep finished with failed cells; with `--check`: some published value was \
                 not reproduced"
            }
            Self::Cancelled => "cancelled",
            Self::Timeout => "`--timeout` reached; the work goes on",
            Self::Interrupted => "interrupted while waiting; the work goes on",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_contract() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 10, 11, 12, 130]);
    }
}
