//! Tokens and the certificates of workers.

use swath_model::access::{Credential, CredentialId, Role, Secret};
use swath_model::time::Timestamp;

use super::bench::Bench;
use super::call::Call;
use crate::Result;

fn token() -> Credential {
    Credential {
        id: CredentialId::from_random([9; 8]),
        role: Role::Worker,
        holder: String::new(),
        secret: Some(Secret::of("one")),
        uses_left: Some(2),
        created_at: Timestamp::from_ms(5),
        created_by: "anna".to_owned(),
        expires_at: Some(Timestamp::from_ms(900_000)),
        revoked_at: None,
    }
}

async fn keep(bench: &mut Bench, credential: &Credential) {
    let kept: Result<()> = bench.step(Call::KeepCredential(credential.clone())).await;
    kept.unwrap();
}

/// Every field comes back, and changes as it may.
pub async fn credentials_are_kept_as_they_are(bench: &mut Bench) {
    let used = Credential {
        uses_left: Some(1),
        ..token()
    };
    let worker = "gpu1".parse().unwrap();
    let certificates = Credential {
        id: CredentialId::of_worker(&worker),
        holder: worker.to_string(),
        secret: None,
        uses_left: None,
        ..token()
    };
    let revoked = Credential {
        revoked_at: Some(Timestamp::from_ms(7)),
        ..certificates.clone()
    };
    // A worker that was revoked may be taken in again.
    let anew = Credential {
        created_at: Timestamp::from_ms(8),
        expires_at: None,
        ..revoked.clone()
    };
    for credential in [&token(), &used, &certificates, &revoked, &anew] {
        keep(bench, credential).await;
    }
    let mut wanted = vec![used, anew];
    wanted.sort_by_key(|it| it.id);
    assert_eq!(bench.store().credentials().await.unwrap(), wanted);
}

/// Two calls about one token in one commit.
pub async fn the_last_word_of_a_batch_counts(bench: &mut Bench) {
    let used = |uses_left| Credential {
        uses_left: Some(uses_left),
        ..token()
    };
    let calls = [2, 1, 0].map(|left| Call::KeepCredential(used(left)));
    for reply in bench.together(calls.to_vec()).await {
        reply.unwrap();
    }
    assert_eq!(bench.store().credentials().await.unwrap(), [used(0)]);
}
