//! What each call does. A call without a line here is refused.

use swath_model::access::Deed;

use crate::api::{ChangeOrder, ReadQuery};

/// The calls, each with what it does; a caller who may do one of these may make it.
/// Where a call is about one of many things, this is the least of them, and the
/// handler looks at the message.
const RULES: [(&str, &[Deed]); 19] = [
    ("/grpc.health.v1.Health/Check", &[Deed::Ask]),
    ("/grpc.health.v1.Health/Watch", &[Deed::Ask]),
    ("/swath.v1.Admission/Enrol", &[Deed::Enrol]),
    ("/swath.v1.Admission/WhoAmI", &[Deed::Ask]),
    ("/swath.v1.Control/Change", &[Deed::ChangeSweep]),
    ("/swath.v1.Control/FetchFile", &[Deed::Read]),
    ("/swath.v1.Control/Read", &[Deed::Read]),
    ("/swath.v1.Control/Submit", &[Deed::Submit]),
    ("/swath.v1.Control/Upload", &[Deed::Submit]),
    ("/swath.v1.Control/Watch", &[Deed::Read]),
    ("/swath.v1.Dispatch/Exchange", &[Deed::Work]),
    // The files of a program: people put them into lock files.
    ("/swath.v1.Dispatch/Fetch", &[Deed::Work, Deed::Read]),
    ("/swath.v1.Dispatch/Goodbye", &[Deed::Work]),
    ("/swath.v1.Dispatch/Heartbeat", &[Deed::Work]),
    ("/swath.v1.Dispatch/Hello", &[Deed::Work]),
    ("/swath.v1.Dispatch/Observe", &[Deed::Work]),
    ("/swath.v1.Dispatch/Release", &[Deed::Work]),
    ("/swath.v1.Dispatch/Retain", &[Deed::Work]),
    ("/swath.v1.Dispatch/Serve", &[Deed::Work]),
];

/// What the call of this path does; none for a call that nobody may make.
pub(crate) fn deed_of(path: &str) -> Option<&'static [Deed]> {
    let rule = RULES.iter().find(|(name, _)| *name == path);
    rule.map(|(_, deeds)| *deeds)
}

impl ChangeOrder {
    /// What it does.
    pub(crate) const fn deed(&self) -> Deed {
        match self {
            Self::Cancel { .. }
            | Self::Retry { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Rename { .. }
            | Self::Tag { .. }
            | Self::Note { .. }
            | Self::Archive { .. }
            | Self::Delete { .. }
            | Self::ForgetResults { .. }
            | Self::Extend { .. }
            | Self::Import(_) => Deed::ChangeSweep,
            Self::Cordon { .. }
            | Self::Activate { .. }
            | Self::Forget { .. }
            | Self::Drain { .. } => Deed::ChangeLab,
            Self::CreateToken(_) | Self::RevokeToken { .. } | Self::RevokeWorker { .. } => {
                Deed::GiveAccess
            }
        }
    }
}

impl ReadQuery {
    /// What it does.
    pub(crate) const fn deed(&self) -> Deed {
        match self {
            Self::Credentials => Deed::GiveAccess,
            // What a change would touch depends on who asks.
            Self::Selected { .. } | Self::Forgetting { .. } => Deed::ChangeSweep,
            _ => Deed::Read,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every call that there is has a line, and every line is of a call.
    #[test]
    fn every_call_has_a_rule() {
        let services = FileDescriptorSet::decode(swath_proto::DESCRIPTORS).unwrap();
        let services = services.file.iter().flat_map(|file| {
            let package = file.package();
            let paths = file.service.iter().flat_map(move |service| {
                let methods = service.method.iter();
                methods.map(move |it| format!("/{package}.{}/{}", service.name(), it.name()))
            });
            paths.collect::<Vec<_>>()
        });
        let mut calls: Vec<String> = services.collect();
        calls.extend(["Check", "Watch"].map(|it| format!("/grpc.health.v1.Health/{it}")));
        for call in &calls {
            assert!(deed_of(call).is_some(), "{call} has no rule");
        }
        assert_eq!(calls.len(), RULES.len());
        assert_eq!(deed_of("/swath.v1.Control/Other"), None);
    }
}
