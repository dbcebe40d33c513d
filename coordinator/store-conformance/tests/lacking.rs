//! Workers whose hosts turn out to lack something of a kind of jobs.

use std::sync::Arc;
use std::time::Duration;

use swath_engine::Engine;
use swath_model::id::{Owner, SweepDigest};
use swath_model::message::{Exchange, Finish, Grant, Hello, Release};
use swath_model::needs::{Lack, Needs};
use swath_model::offer::Free;
use swath_model::outcome::Provenance;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_store_conformance::MemoryStore;
use swath_store_conformance::script::{measured, sweep, worker_about};

const START: Timestamp = Timestamp::from_ms(1_000_000);
const MINUTE: Duration = Duration::from_mins(1);

struct Lab {
    engine: Engine,
    requests: u64,
    /// The sweep whose jobs need data.
    needy: SweepDigest,
}

impl Lab {
    /// A lab with the sweep `needy`, whose jobs need data, and `plain`, whose jobs
    /// do not; four jobs each.
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let engine = Engine::start(store, Policy::default(), "http://here");
        let engine = engine.await.unwrap();
        let mut needy = sweep("needy", &[1, 2, 3, 4], 1);
        for cell in &mut needy.cells {
            cell.needs = Needs {
                data: Some("faces".to_owned()),
                ..Needs::default()
            };
        }
        let digest = needy.digest;
        engine.submit(START, needy).await.unwrap();
        engine
            .submit(START, sweep("plain", &[5, 6, 7, 8], 1))
            .await
            .unwrap();
        Self {
            engine,
            requests: 0,
            needy: digest,
        }
    }

    async fn hello(&self, worker: &str) -> Owner {
        let hello = Hello {
            worker: worker.parse().unwrap(),
            about: worker_about(&[]),
            held: vec![],
            takes_name: false,
        };
        let session = self.engine.hello(START, hello).await.unwrap().session;
        let worker = worker.parse().unwrap();
        Owner { worker, session }
    }

    /// Brings the outcomes of `done` and takes the next job.
    async fn take(&mut self, owner: &Owner, now: Timestamp, done: &[&Grant]) -> Option<Grant> {
        self.requests += 1;
        let finishes = done.iter().map(|grant| Finish {
            held: grant.held,
            outcome: measured(1.0),
            provenance: Provenance::default(),
        });
        let exchange = Exchange {
            owner: owner.clone(),
            request: self.requests,
            finishes: finishes.collect(),
            free: Free::cpu(1),
        };
        let exchanged = self.engine.exchange(now, exchange).await.unwrap();
        exchanged.grants.into_iter().next()
    }

    async fn lacks(&self, owner: &Owner, now: Timestamp, grant: &Grant) {
        let release = Release {
            held: grant.held,
            lack: Some(lack()),
        };
        let release = self.engine.release(now, owner.clone(), vec![release]);
        release.await.unwrap();
    }
}

fn lack() -> Lack {
    let what = "faces".to_owned();
    Lack::Data { what }
}

fn cell(grant: &Grant) -> u64 {
    let spec: serde_json::Value = serde_json::from_str(&grant.spec).unwrap();
    spec["params"]["x"].as_u64().unwrap()
}

#[tokio::test]
async fn a_worker_that_lacks_something_gets_other_jobs_and_others_get_its() {
    let mut lab = Lab::new().await;
    let poor = lab.hello("poor").await;
    let first = lab.take(&poor, START, &[]).await.unwrap();
    assert_eq!(cell(&first), 1);
    let (_, none) = lab.engine.needs(first.held.job).await.unwrap();
    assert_eq!(none, None);
    lab.lacks(&poor, START, &first).await;
    // Nobody has it now, and everybody who asks hears so.
    let (_, told) = lab.engine.needs(first.held.job).await.unwrap();
    assert_eq!(told, Some(lack()));
    let lacks = lab.engine.lacks().await.unwrap();
    assert_eq!(lacks[&poor.worker], [lack()]);
    let vain = lab.engine.waiting_in_vain().await.unwrap();
    assert_eq!(vain, [(lab.needy, lack())].into());
    let other = lab.take(&poor, START, &[]).await.unwrap();
    assert_eq!(cell(&other), 5);
    let rich = lab.hello("rich").await;
    let (_, none) = lab.engine.needs(first.held.job).await.unwrap();
    assert_eq!(none, None);
    assert_eq!(lab.engine.waiting_in_vain().await.unwrap(), [].into());
    let again = lab.take(&rich, START, &[]).await.unwrap();
    assert_eq!((cell(&again), again.held.attempt.0), (1, 2));
}

#[tokio::test]
async fn it_is_tried_again_after_ever_longer_pauses_and_after_a_restart() {
    let mut lab = Lab::new().await;
    let poor = lab.hello("poor").await;
    let mut now = START;
    let first = lab.take(&poor, now, &[]).await.unwrap();
    lab.lacks(&poor, now, &first).await;
    for pause in [1, 2, 4, 8, 16, 32, 64, 64] {
        let early = now + MINUTE * pause - Duration::from_millis(1);
        let other = lab.take(&poor, early, &[]).await.unwrap();
        assert!(cell(&other) > 4, "{pause}");
        lab.engine
            .release(early, poor.clone(), vec![other.held.into()])
            .await
            .unwrap();
        now = now + MINUTE * pause;
        let tried = lab.take(&poor, now, &[]).await.unwrap();
        assert_eq!(cell(&tried), 1, "{pause}");
        lab.lacks(&poor, now, &tried).await;
    }
    // More attempts than any job may have, and it still waits.
    let poor = lab.hello("poor").await;
    let tried = lab.take(&poor, now, &[]).await.unwrap();
    assert_eq!(cell(&tried), 1);
    // Once it has run one, it lacks nothing.
    let next = lab.take(&poor, now, &[&tried]).await.unwrap();
    assert_eq!(cell(&next), 2);
    assert!(lab.engine.lacks().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_hosts_lack_uses_up_no_attempts() {
    let mut lab = Lab::new().await;
    let most = Policy::default().attempts_max + 5;
    for number in 0..most {
        let worker = lab.hello(&format!("w{number}")).await;
        let grant = lab.take(&worker, START, &[]).await.unwrap();
        assert_eq!((cell(&grant), grant.held.attempt.0), (1, number + 1));
        lab.lacks(&worker, START, &grant).await;
    }
    let rich = lab.hello("rich").await;
    let grant = lab.take(&rich, START, &[]).await.unwrap();
    assert_eq!(cell(&grant), 1);
}
