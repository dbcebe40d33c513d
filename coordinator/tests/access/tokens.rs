//! Tokens: whose they are, how long they are good, and when they are no more (ST-03,
//! ST-05).

use swath_coordinator::api::ChangeOrder;
use swath_coordinator::identity::Identity;
use swath_model::access::{Role, TokenText};
use swath_proto::secure::Caller;
use swath_proto::v1;
use tempfile::TempDir;
use tonic::Code;

use crate::site::{SOON, Session, Site, enrol};

/// How a read with this token is answered.
async fn read(site: &Site, token: &TokenText) -> Code {
    let query = "\"workers\"".to_owned();
    let reply = site.control(token).read(v1::ReadRequest { query }).await;
    reply.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_good_as_it_is_or_not_at_all() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer, "vic").await;
    assert_eq!(read(&site, &token).await, Code::Ok);
    let text = token.reveal();
    let parts: Vec<&str> = text.split('.').collect();
    let of = |id: &str, secret: &str| format!("swp1.{id}.{secret}.{}", parts[3]);
    let other = site.token(Role::Admin, "ada").await.reveal();
    let other: Vec<&str> = other.split('.').collect();
    // Another's name with the own secret, and the other way round.
    for wrong in [of(other[1], parts[2]), of(parts[1], other[2])] {
        assert_eq!(
            read(&site, &wrong.parse().unwrap()).await,
            Code::Unauthenticated
        );
    }
    // One that lost its end is none, and is not sent.
    assert!(text[..text.len() - 1].parse::<TokenText>().is_err());
    assert!(of(parts[1], &parts[2][1..]).parse::<TokenText>().is_err());
    // One of another lab never gets to this one.
    let lab = TempDir::new().unwrap();
    let lab = Identity::create(&lab.path().join("identity"), &[]).unwrap();
    let mut digits = [0; 64];
    let fingerprint = swath_model::id::hex(&lab.fingerprint(), &mut digits);
    let elsewhere = format!("swp1.{}.{}.{fingerprint}", parts[1], parts[2]);
    assert_eq!(
        read(&site, &elsewhere.parse().unwrap()).await,
        Code::Unavailable
    );
    assert_eq!(read(&site, &token).await, Code::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_are_slowed_down_and_nobody_else() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer, "vic").await;
    let text = token.reveal();
    let parts: Vec<&str> = text.split('.').collect();
    let mut seen = [0; 2];
    for guess in 0..200_u64 {
        let wrong = format!("swp1.{}.{guess:064x}.{}", parts[1], parts[3]);
        match read(&site, &wrong.parse().unwrap()).await {
            Code::Unauthenticated => seen[0] += 1,
            Code::ResourceExhausted => seen[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(seen[0] < 50 && seen[1] > 150, "{seen:?}");
    // Who knows its secret gets in from the same address.
    assert_eq!(read(&site, &token).await, Code::Ok);
    let refusals = site.audit();
    assert!(refusals.len() < 100, "a guess is not a line each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_a_worker_is_good_once() {
    let site = Site::start().await;
    let token = site.token(Role::Worker, "").await;
    let line = site.line(&Caller::with_token(&token));
    enrol(line.clone(), "gpu1").await.unwrap();
    let refused = enrol(line, "gpu2").await.unwrap_err();
    assert!(
        matches!(
            refused.code(),
            Code::PermissionDenied | Code::Unauthenticated
        ),
        "{refused}"
    );
    assert!(!refused.message().contains(&token.reveal()));
    // One that is made for a name is good for no other.
    let bound = site.token(Role::Worker, "gpu3").await;
    let line = site.line(&Caller::with_token(&bound));
    assert_eq!(
        enrol(line.clone(), "gpu4").await.unwrap_err().code(),
        Code::PermissionDenied
    );
    enrol(line, "gpu3").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_is_cut_off() {
    let site = Site::start().await;
    let token = site.token(Role::Viewer, "vic").await;
    let mut control = site.control(&token);
    let mut news = control
        .watch(v1::WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    news.message().await.unwrap();
    let gpu1 = site.worker("gpu1").await;
    let mut session = Session::begin(site.line(&gpu1), "gpu1").await.unwrap();
    assert!(session.beat(Vec::new()).await.is_empty());

    let revoke = ChangeOrder::RevokeToken { id: token.id() };
    site.change(&site.admin, &revoke).await.unwrap();
    let revoke = ChangeOrder::RevokeWorker {
        worker: "gpu1".parse().unwrap(),
    };
    site.change(&site.admin, &revoke).await.unwrap();

    let ended = async { while news.message().await.is_ok_and(|it| it.is_some()) {} };
    tokio::time::timeout(SOON / 3, ended)
        .await
        .expect("its stream goes on");
    assert_eq!(read(&site, &token).await, Code::Unauthenticated);
    let Err(refused) = Session::begin(site.line(&gpu1), "gpu1").await else {
        panic!("it is let in again");
    };
    assert!(refused.message().contains("revoked"), "{refused}");
    // A token for any worker does not bring it back; one that is made for it does.
    let any = site.token(Role::Worker, "").await;
    let any = enrol(site.line(&Caller::with_token(&any)), "gpu1").await;
    assert_eq!(any.unwrap_err().code(), Code::PermissionDenied);
    let own = site.token(Role::Worker, "gpu1").await;
    let (back, ..) = enrol(site.line(&Caller::with_token(&own)), "gpu1")
        .await
        .unwrap();
    Session::begin(site.line(&back), "gpu1").await.unwrap();
}
