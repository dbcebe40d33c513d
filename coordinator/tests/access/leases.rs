//! Nobody speaks for a worker or an attempt but who it was given to (ST-04, ST-06).

use swath_model::access::Role;
use swath_proto::v1;
use tonic::Code;

use crate::site::{Session, Site, measured, null_sweep};

async fn with_jobs(jobs: u32) -> Site {
    let site = Site::start().await;
    let token = site.token(Role::Submitter, "sue").await;
    let submitted = site.control(&token).submit(null_sweep("one", jobs)).await;
    submitted.unwrap();
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_who_its_certificate_says() {
    let site = with_jobs(1).await;
    let gpu1 = site.line(&site.worker("gpu1").await);
    let Err(refused) = Session::begin(gpu1.clone(), "gpu2").await else {
        panic!("it took another's name");
    };
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("gpu2"), "{refused}");
    let noted = site.audit();
    let last = noted.last().unwrap();
    assert_eq!(last.entry.verdict, "refused");
    assert!(last.entry.who.contains("gpu1"), "{last:?}");
    assert!(last.entry.what.contains("gpu2"), "{last:?}");

    // Nor does it end the session of another, or beat for it.
    let mut gpu2 = Session::begin(site.line(&site.worker("gpu2").await), "gpu2")
        .await
        .unwrap();
    let mut thief = swath_proto::DispatchClient::new(gpu1);
    let goodbye = v1::GoodbyeRequest {
        worker: "gpu2".to_owned(),
        session: gpu2.id,
    };
    let refused = thief.goodbye(goodbye).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(gpu2.trade(Vec::new(), 1).await.grants.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_whose_lease_is_shown() {
    let site = with_jobs(2).await;
    let mut gpu1 = Session::begin(site.line(&site.worker("gpu1").await), "gpu1")
        .await
        .unwrap();
    let mut gpu2 = Session::begin(site.line(&site.worker("gpu2").await), "gpu2")
        .await
        .unwrap();
    let own = gpu1.trade(Vec::new(), 1).await.grants[0]
        .held
        .clone()
        .unwrap();
    let other = gpu2.trade(Vec::new(), 1).await.grants[0]
        .held
        .clone()
        .unwrap();
    assert_eq!(own.lease.len(), 32);
    let with = |lease: Vec<u8>| v1::Held {
        lease,
        ..own.clone()
    };
    let mut wrong: Vec<v1::Held> = (0..256)
        .map(|bit| {
            let mut lease = own.lease.clone();
            lease[bit / 8] ^= 1 << (bit % 8);
            with(lease)
        })
        .collect();
    wrong.extend([
        with(Vec::new()),
        with(vec![0; 32]),
        with(own.lease[..31].to_vec()),
        with([&own.lease[..], &[0]].concat()),
        with(other.lease.clone()),
        v1::Held {
            attempt: own.attempt + 1,
            ..own.clone()
        },
        v1::Held {
            job: other.job.clone(),
            ..own.clone()
        },
    ]);
    let fenced = vec![v1::Verdict::Fenced as i32; wrong.len()];
    assert_eq!(gpu1.beat(wrong.clone()).await, fenced);
    let finishes = wrong.into_iter().map(|held| measured(held, 0.9)).collect();
    let acks = gpu1.trade(finishes, 0).await.acks;
    assert!(acks.iter().all(|ack| *ack == v1::Ack::Stale as i32));

    // Another worker that knows the lease does not hold the attempt either.
    assert_eq!(
        gpu2.beat(vec![own.clone()]).await,
        [v1::Verdict::Fenced as i32]
    );
    let acks = gpu2.trade(vec![measured(own.clone(), 0.9)], 0).await.acks;
    assert_eq!(acks, [v1::Ack::Stale as i32]);

    // Whoever holds it is not disturbed, also beside one that is wrong.
    let both = vec![with(vec![0; 32]), own.clone()];
    let verdicts = [v1::Verdict::Fenced as i32, v1::Verdict::Keep as i32];
    assert_eq!(gpu1.beat(both).await, verdicts);
    let acks = gpu1.trade(vec![measured(own, 0.5)], 0).await.acks;
    assert_eq!(acks, [v1::Ack::Recorded as i32]);
    let noted = site.audit();
    assert!(noted.iter().any(|line| line.entry.call == "lease"));
}
