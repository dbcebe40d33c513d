use proptest::prelude::*;

use super::*;
use crate::time::Timestamp;

fn person(role: Role) -> Principal {
    Principal::Person {
        name: "anna".to_owned(),
        role,
    }
}

fn newcomer() -> Principal {
    Principal::Newcomer {
        token: CredentialId::from_random([7; 8]),
        name: None,
    }
}

/// The whole rule, as people read it: a row per principal, a column per deed.
#[test]
fn what_each_may_do() {
    let principals = [
        Principal::Anonymous,
        newcomer(),
        Principal::Worker("gpu1".parse().unwrap()),
        person(Role::Viewer),
        person(Role::Submitter),
        person(Role::Admin),
        person(Role::Worker),
        Principal::Local,
    ];
    let rows = principals.each_ref().map(|principal| {
        let reaches = Deed::ALL.map(|deed| match principal.reach(deed) {
            None => format!("{deed:?} -"),
            Some(reach) => format!("{deed:?} {reach:?}"),
        });
        format!("{principal}: {}", reaches.join(", "))
    });
    insta::assert_snapshot!(rows.join("\n"), @r"
    somebody without a token or certificate: Ask All, Read -, Submit -, ChangeSweep -, ChangeLab -, GiveAccess -, Work -, Enrol -
    a worker with the token 0707070707070707: Ask All, Read -, Submit -, ChangeSweep -, ChangeLab -, GiveAccess -, Work -, Enrol All
    worker gpu1: Ask All, Read -, Submit -, ChangeSweep -, ChangeLab -, GiveAccess -, Work Own, Enrol Own
    anna (viewer): Ask All, Read All, Submit -, ChangeSweep -, ChangeLab -, GiveAccess -, Work -, Enrol -
    anna (submitter): Ask All, Read All, Submit All, ChangeSweep Own, ChangeLab -, GiveAccess -, Work -, Enrol -
    anna (admin): Ask All, Read All, Submit All, ChangeSweep All, ChangeLab All, GiveAccess All, Work -, Enrol -
    anna (worker): Ask All, Read -, Submit -, ChangeSweep -, ChangeLab -, GiveAccess -, Work -, Enrol -
    somebody on this machine: Ask All, Read All, Submit All, ChangeSweep All, ChangeLab All, GiveAccess All, Work All, Enrol All
    ");
}

#[test]
fn a_worker_speaks_for_itself_alone() {
    let name = |text: &str| text.parse::<WorkerName>().unwrap();
    let worker = Principal::Worker(name("gpu1"));
    assert!(worker.is_worker(&name("gpu1")));
    assert!(!worker.is_worker(&name("gpu2")));
    assert!(!person(Role::Admin).is_worker(&name("gpu1")));
    assert!(!newcomer().is_worker(&name("gpu1")));
    assert!(person(Role::Submitter).owns("anna"));
    assert!(!person(Role::Submitter).owns(""));
    assert!(!person(Role::Submitter).owns("Anna"));
    assert!(!worker.owns("gpu1"));
}

fn credential() -> Credential {
    Credential {
        id: CredentialId::from_random([1; 8]),
        role: Role::Submitter,
        holder: "anna".to_owned(),
        secret: Some(Secret::of("secret")),
        uses_left: None,
        created_at: Timestamp::from_ms(0),
        created_by: "root".to_owned(),
        expires_at: Some(Timestamp::from_ms(100)),
        revoked_at: None,
    }
}

#[test]
fn a_token_is_taken_while_it_is_valid() {
    let at = Timestamp::from_ms;
    let secret = Secret::of("secret");
    let token = credential();
    assert_eq!(token.shown(&secret, at(99)), Ok(person(Role::Submitter)));
    assert_eq!(token.shown(&secret, at(100)), Err(Some(Invalid::Expired)));
    assert_eq!(token.shown(&Secret::of("secre"), at(0)), Err(None));
    let revoked = Credential {
        revoked_at: Some(at(50)),
        ..credential()
    };
    assert_eq!(revoked.shown(&secret, at(60)), Err(Some(Invalid::Revoked)));
    // Who does not know the secret learns nothing.
    assert_eq!(revoked.shown(&Secret::of("x"), at(60)), Err(None));
    let used = Credential {
        role: Role::Worker,
        holder: String::new(),
        uses_left: Some(0),
        ..credential()
    };
    assert_eq!(used.shown(&secret, at(0)), Err(Some(Invalid::UsedUp)));
    let fresh = Credential {
        uses_left: Some(1),
        ..used
    };
    let shown = fresh.shown(&secret, at(0));
    assert!(matches!(shown, Ok(Principal::Newcomer { name: None, .. })));
}

#[test]
fn certificates_after_a_revocation_are_taken_again() {
    let at = Timestamp::from_ms;
    let certificates = Credential {
        secret: None,
        created_at: at(10),
        revoked_at: Some(at(20)),
        ..credential()
    };
    assert!(!certificates.takes_certificate(at(20)));
    assert!(certificates.takes_certificate(at(21)));
    assert_eq!(certificates.standing(at(30)), Err(Invalid::Revoked));
    let anew = Credential {
        created_at: at(30),
        ..certificates
    };
    assert_eq!(anew.standing(at(30)), Ok(()));
}

#[test]
fn a_secret_is_in_no_debug_output() {
    let token = TokenText::new(CredentialId::from_random([1; 8]), [0xab; 32], [2; 32]);
    assert_eq!(format!("{token:?}"), "TokenText(0101010101010101)");
    let kept = format!("{:?}", credential());
    assert!(
        !kept.contains("abab") && kept.contains("Some(Secret)"),
        "{kept}"
    );
}

proptest! {
    #[test]
    fn tokens_are_read_as_they_are_written(id: [u8; 8], secret: [u8; 32], authority: [u8; 32]) {
        let token = TokenText::new(CredentialId::from_random(id), secret, authority);
        prop_assert_eq!(token.reveal().parse(), Ok(token.clone()));
        let shown = TokenText::read_shown(&token.shown());
        prop_assert_eq!(shown, Some((token.id(), token.digest())));
        prop_assert!(token.shown().parse::<TokenText>().is_err());
        prop_assert_eq!(CredentialId::from_key(token.id().key()), Some(token.id()));
    }

    /// One character more, fewer or changed, and it is another secret or no token.
    #[test]
    fn an_altered_token_is_not_the_same(secret: [u8; 32], at in 5_usize..86, by in 1_u8..128) {
        let token = TokenText::new(CredentialId::from_random([1; 8]), secret, [2; 32]);
        let mut text = token.shown().into_bytes();
        text[at] ^= by;
        let text = String::from_utf8(text).unwrap_or_default();
        let read = TokenText::read_shown(&text);
        prop_assert_ne!(read, Some((token.id(), token.digest())));
        let cut = &token.shown()[..at];
        prop_assert_eq!(TokenText::read_shown(cut), None);
    }

    #[test]
    fn nothing_else_is_a_token(text in ".{0,300}") {
        prop_assert!(text.parse::<TokenText>().is_err());
    }
}
