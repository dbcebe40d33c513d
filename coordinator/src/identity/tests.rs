use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, SanType};
use swath_model::time::Timestamp;

use super::*;

fn hosts() -> Vec<String> {
    vec!["head.lab".to_owned(), "10.0.0.1".to_owned()]
}

#[test]
fn an_identity_is_the_same_when_it_is_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("identity");
    let made = Identity::create(&at, &hosts()).unwrap();
    let opened = Identity::open(&at).unwrap();
    assert_eq!(opened.fingerprint(), made.fingerprint());
    assert_eq!(opened.lease_key(), made.lease_key());
    let first = made.certificate().unwrap();
    let again = opened.certificate().unwrap();
    assert_eq!(first.cert, again.cert);
    let names = issue::names(&first.cert[0]);
    assert_eq!(
        names,
        ["10.0.0.1", "127.0.0.1", "::1", "head.lab", "localhost"]
    );
    let error = Identity::create(&at, &hosts()).unwrap_err().to_string();
    assert!(error.ends_with("there is an identity already"), "{error}");
}

#[test]
fn another_name_makes_another_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("identity");
    let mut identity = Identity::create(&at, &hosts()).unwrap();
    let before = identity.certificate().unwrap();
    identity.add_hosts(&["head".to_owned()]).unwrap();
    let after = identity.certificate().unwrap();
    assert_ne!(before.cert, after.cert);
    assert!(issue::names(&after.cert[0]).contains(&"head".to_owned()));
    for wrong in ["http://head", "head:7070", "", "a..b", "a/b", "ä"] {
        assert!(identity.add_hosts(&[wrong.to_owned()]).is_err(), "{wrong}");
    }
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().join("identity");
    Identity::create(&at, &hosts()).unwrap();
    for name in [AUTHORITY_KEY, LEASE_KEY] {
        let path = at.join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        let error = Identity::open(&at).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    set_permissions(&at, Permissions::from_mode(0o755)).unwrap();
    let other = tempfile::tempdir().unwrap();
    set_permissions(other.path(), Permissions::from_mode(0o755)).unwrap();
    let error = Identity::create(other.path(), &[]).unwrap_err().to_string();
    assert!(error.contains("chmod 700"), "{error}");
}

/// What a request says of itself is not believed: only its key is taken.
#[test]
fn a_worker_gets_its_name_from_the_coordinator() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::create(&directory.path().join("identity"), &[]).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut asked = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let other = SanType::URI("swath://worker/other".try_into().unwrap());
    asked.subject_alt_names.push(other);
    let request = asked.serialize_request(&key).unwrap();
    let wanted = Holder {
        worker: "gpu1".parse().unwrap(),
        issued_at: Timestamp::from_ms(1_700_000_000_123),
    };
    let chain = identity.sign(request.der(), &wanted).unwrap();
    let own = CertificateDer::from(chain[0].clone());
    assert_eq!(holder(&own), Some(wanted));
    assert_eq!(holder(identity.authority()), None);
    assert_eq!(holder(&identity.certificate().unwrap().cert[0]), None);
}

#[test]
fn a_request_that_is_not_signed_with_its_key_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let identity = Identity::create(&directory.path().join("identity"), &[]).unwrap();
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key);
    let mut der = request.unwrap().der().to_vec();
    let wanted = Holder {
        worker: "gpu1".parse().unwrap(),
        issued_at: Timestamp::from_ms(1),
    };
    let last = der.len() - 1;
    der[last] ^= 1;
    assert!(identity.sign(&der, &wanted).is_err());
    assert!(identity.sign(&[], &wanted).is_err());
    assert!(identity.sign(&der[..40], &wanted).is_err());
}
