//! Which versions of the protocol work together.

use tonic::Status;
use tonic::metadata::MetadataValue;

use crate::refusal::Reason;

/// The version that this release speaks. Raised when an older worker and a newer coordinator,
/// or the reverse, would misunderstand each other.
pub const PROTOCOL_VERSION: u32 = 4;

/// The oldest version with which a coordinator of this release takes workers: so a lab
/// upgrades its coordinator first and its workers one by one, as their jobs allow.
pub const PROTOCOL_OLDEST: u32 = PROTOCOL_VERSION - 1;

/// The metadata key of a status that says who is to be upgraded.
const UPGRADE: &str = "swath-upgrade";

/// Who has to be upgraded before a worker and a coordinator work together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// The worker is too old.
    Worker,
    /// The worker is newer than the coordinator knows.
    Coordinator,
}

impl Upgrade {
    /// Who, where a worker speaks version `theirs`; none where both work together.
    pub const fn needed(theirs: u32) -> Option<Self> {
        if theirs < PROTOCOL_OLDEST {
            Some(Self::Worker)
        } else if theirs > PROTOCOL_VERSION {
            Some(Self::Coordinator)
        } else {
            None
        }
    }

    /// Whether a worker that speaks `theirs` is taken by a coordinator that speaks `ours`, but
    /// will not be by the next.
    pub const fn is_due(theirs: u32, ours: u32) -> bool {
        theirs < ours
    }

    /// Its name on the wire, and in sentences.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Coordinator => "coordinator",
        }
    }

    /// The refusal of a worker that speaks `theirs`.
    pub fn refuse(self, theirs: u32) -> Status {
        let mut status = Reason::Protocol.status(format!(
            "protocol: this coordinator takes workers of versions {PROTOCOL_OLDEST} to \
             {PROTOCOL_VERSION}, and the worker speaks version {theirs}; upgrade the {}",
            self.name()
        ));
        let name = MetadataValue::from_static(self.name());
        status.metadata_mut().insert(UPGRADE, name);
        status
    }

    /// Who a status says; none where it says nobody.
    pub fn of(status: &Status) -> Option<Self> {
        let name = status.metadata().get(UPGRADE)?.to_str().ok()?;
        let all = [Self::Worker, Self::Coordinator];
        all.into_iter().find(|side| side.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_before_is_taken_and_others_are_told_who_is_to_be_upgraded() {
        assert_eq!(Upgrade::needed(PROTOCOL_VERSION), None);
        assert_eq!(Upgrade::needed(PROTOCOL_VERSION - 1), None);
        assert_eq!(Upgrade::needed(PROTOCOL_VERSION - 2), Some(Upgrade::Worker));
        let newer = Upgrade::needed(PROTOCOL_VERSION + 1).unwrap();
        assert_eq!(newer, Upgrade::Coordinator);
        let status = newer.refuse(PROTOCOL_VERSION + 1);
        assert_eq!(Upgrade::of(&status), Some(newer));
        assert_eq!(Reason::of(&status), Some(Reason::Protocol));
        assert!(status.message().ends_with("upgrade the coordinator"));
        assert_eq!(Upgrade::of(&Reason::Protocol.status("no")), None);
    }
}
