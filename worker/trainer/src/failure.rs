//! Why a command ended without a result, and the exit code that says so.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use swath_model::outcome::Fault;
use swath_model::protocol::exit;

/// How a command fails. Every message is for people: it names what failed and,
/// if there is one, the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The spec cannot be trained.
    #[error("{0}")]
    Invalid(String),
    /// This host has not the data: a file is missing, or is not the right one.
    #[error("{0}")]
    Lacks(String),
    /// The loss became infinite or not a number.
    #[error("{0}")]
    Diverged(String),
    /// An allocation failed, on the host or on the device.
    #[error("{0}")]
    OutOfMemory(String),
    /// SIGTERM came, or a limit set by the user was reached.
    #[error("stopped")]
    Stopped,
    /// Anything else.
    #[error("{0}")]
    Crashed(String),
}

impl Failure {
    /// [`Failure::Invalid`] from anything that can be written.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// The same of what a key of the spec names.
    pub(crate) fn under(self, key: &str) -> Self {
        let named = |what: String| format!("`{key}`: {what}");
        match self {
            Self::Invalid(what) => Self::Invalid(named(what)),
            Self::Lacks(what) => Self::Lacks(named(what)),
            other => other,
        }
    }

    /// The exit code of a command that ends with this failure.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Invalid(_) | Self::Lacks(_) => exit::INVALID,
            Self::Diverged(_) => exit::DIVERGED,
            Self::OutOfMemory(_) => exit::OUT_OF_MEMORY,
            Self::Stopped => exit::STOPPED,
            Self::Crashed(_) => 1,
        }
    }

    /// The fault to report; none for a stop, which is no fault of the attempt.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Invalid(_) | Self::Lacks(_) => Some(Fault::Invalid),
            Self::Diverged(_) => Some(Fault::Diverged),
            Self::OutOfMemory(_) => Some(Fault::OutOfMemory),
            Self::Stopped => None,
            Self::Crashed(_) => Some(Fault::Crashed),
        }
    }

    /// Classifies an error message of libtorch: its allocators say what they
    /// could not do.
    fn from_torch(message: &str) -> Self {
        let lower = message.to_lowercase();
        let memory = [
            "can't allocate memory",
            "cannot allocate memory",
            "not enough memory",
            "out of memory",
            "bad_alloc",
        ];
        // Storage sizes that overflow are also requests for memory.
        let overflow = lower.contains("storage size calculation overflowed");
        // The rest is a C++ stack trace.
        let first = message.lines().next().unwrap_or_default().to_owned();
        if overflow || memory.iter().any(|text| lower.contains(text)) {
            Self::OutOfMemory(first)
        } else {
            Self::Crashed(first)
        }
    }
}

impl From<tch::TchError> for Failure {
    fn from(error: tch::TchError) -> Self {
        Self::from_torch(&error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Crashed(format!("output failed: {error}"))
    }
}

/// Runs `work` and turns a panic into a [`Failure`]: libtorch's errors arrive
/// as panics of the plain tch methods, which the training loop uses.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| Err(of_panic(&*payload)))
}

fn of_panic(payload: &(dyn Any + Send)) -> Failure {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    Failure::from_torch(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocator_messages_are_out_of_memory() {
        let text = "called `Result::unwrap()` on an `Err` value: Torch(\"[enforce fail at \
                    alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you \
                    tried to allocate 16384 bytes.\")";
        assert_eq!(Failure::from_torch(text).fault(), Some(Fault::OutOfMemory));
        let cuda = "CUDA out of memory. Tried to allocate 20.00 MiB\nstack";
        assert_eq!(Failure::from_torch(cuda).exit_code(), exit::OUT_OF_MEMORY);
        assert_eq!(Failure::from_torch("shape mismatch").exit_code(), 1);
    }

    #[test]
    fn a_panic_becomes_a_failure() {
        let failed = guarded::<()>(|| panic!("no {}", "luck"));
        assert_eq!(failed, Err(Failure::Crashed("no luck".to_owned())));
    }
}
