//! The server over gRPC, in one process, on a SQLite file.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use swath_coordinator::api::{Jobs, ReadQuery, Status};
use swath_coordinator::database::Database;
use swath_coordinator::live::{Folded, Live, News};
use swath_coordinator::server::{CONNECTIONS_PER_ADDRESS, ServeSettings, Server};
use swath_engine::Engine;
use swath_model::event::What;
use swath_model::id::SweepDigest;
use swath_model::message::{Files, Sources, Submission, SubmittedCell};
use swath_model::needs::Needs;
use swath_model::policy::Policy;
use swath_model::spec::JobSpec;
use swath_model::time::Timestamp;
use swath_proto::refusal::Reason;
use swath_proto::v1::control_client::ControlClient;
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_OLDEST, PROTOCOL_VERSION, Upgrade, v1};
use swath_store::Store;
use swath_store_sqlite::SqliteStore;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Streaming};

struct Site {
    dir: TempDir,
    server: Server,
}

type Dispatch = DispatchClient<Channel>;
type Control = ControlClient<Channel>;

fn settings(dir: &TempDir, listen: SocketAddr) -> ServeSettings {
    ServeSettings {
        listen,
        identity: None,
        secured: false,
        advertise: None,
        connections_per_address: CONNECTIONS_PER_ADDRESS,
        database: Database::Sqlite(dir.path().join("swath.db")),
        policy: Policy::default(),
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

impl Site {
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let server = Server::start(settings(&dir, any_port())).await.unwrap();
        Self { dir, server }
    }

    async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.server.address());
        Channel::from_shared(url).unwrap().connect().await.unwrap()
    }

    async fn clients(&self) -> (Dispatch, Control) {
        let channel = self.channel().await;
        (
            DispatchClient::new(channel.clone()),
            ControlClient::new(channel),
        )
    }
}

fn null_sweep(cells: u32, replicates: u32) -> v1::SubmitRequest {
    let values: Vec<_> = (0..cells).collect();
    let text = format!(
        "[sweep]\nname = \"nothing\"\nreplicates = {replicates}\n[fixed]\n\
         trainer = {{ null = true }}\n[[grid]]\n\"params.x\" = {values:?}\n"
    );
    v1::SubmitRequest {
        main: "nothing.toml".to_owned(),
        files: HashMap::from([("nothing.toml".to_owned(), text)]),
        ..v1::SubmitRequest::default()
    }
}

fn hello(worker: &str) -> v1::HelloRequest {
    v1::HelloRequest {
        protocol: PROTOCOL_VERSION,
        worker: worker.to_owned(),
        slots: vec!["cpu".to_owned()],
        ..v1::HelloRequest::default()
    }
}

fn exchange(session: u64, request: u64, want: u32, wait_ms: u32) -> v1::ExchangeRequest {
    v1::ExchangeRequest {
        worker: "w".to_owned(),
        session,
        request,
        free: vec![v1::Free {
            device: "cpu".to_owned(),
            slots: want,
            ahead: 0,
        }],
        wait_ms,
        ..v1::ExchangeRequest::default()
    }
}

fn measured(grant: &v1::Grant, test_error: f64) -> v1::Finish {
    let outcome = v1::Measurement {
        train_seconds: 1.0,
        values: [("test_error".to_owned(), test_error)].into(),
        ..Default::default()
    };
    v1::Finish {
        held: grant.held.clone(),
        outcome: Some(v1::finish::Outcome::Measured(outcome)),
        provenance: None,
    }
}

/// Says hello; returns the new session.
async fn begin(dispatch: &mut Dispatch) -> u64 {
    dispatch
        .hello(hello("w"))
        .await
        .unwrap()
        .into_inner()
        .session
}

async fn trade(dispatch: &mut Dispatch, request: v1::ExchangeRequest) -> v1::ExchangeReply {
    dispatch.exchange(request).await.unwrap().into_inner()
}

async fn read(control: &mut Control, query: &Value) -> Value {
    let request = v1::ReadRequest {
        query: query.to_string(),
    };
    let reply = control.read(request).await.unwrap().into_inner();
    serde_json::from_str(&reply.document).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_comes_back_as_a_table() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    let submitted = control.submit(null_sweep(2, 3)).await.unwrap().into_inner();
    assert_eq!(
        (submitted.cells, submitted.jobs, submitted.new_jobs),
        (2, 6, 6)
    );
    let again = control.submit(null_sweep(2, 3)).await.unwrap().into_inner();
    assert!(again.existed);
    assert_eq!(again.new_jobs, 0);

    let session = begin(&mut dispatch).await;
    let granted = trade(&mut dispatch, exchange(session, 1, 10, 0)).await;
    assert_eq!(granted.grants.len(), 6);
    let mut request = exchange(session, 2, 0, 0);
    request.finishes = granted
        .grants
        .iter()
        .zip([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .map(|(g, e)| measured(g, e))
        .collect();
    let acks = trade(&mut dispatch, request.clone()).await.acks;
    assert_eq!(acks, vec![i32::from(v1::Ack::Recorded); 6]);
    let acks = trade(&mut dispatch, request).await.acks;
    assert_eq!(acks, vec![i32::from(v1::Ack::AlreadyRecorded); 6]);

    let query = json!({"table": {"selector": ["nothing"], "format": "json", "look": {"width": null, "color": false, "unicode": true}}});
    let table = read(&mut control, &query).await;
    let table: Value = serde_json::from_str(table["text"].as_str().unwrap()).unwrap();
    let medians: Vec<_> = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["median"].as_f64())
        .collect();
    assert_eq!(medians, [Some(2.0), Some(5.0)]);
    site.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_worker_is_woken_by_a_submit() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    let session = begin(&mut dispatch).await;
    let mut waiting = dispatch.clone();
    let started = Instant::now();
    let wait = tokio::spawn(async move {
        waiting
            .exchange(exchange(session, 1, 1, 30_000))
            .await
            .unwrap()
            .into_inner()
    });
    // A second empty exchange that does not wait: the first is being served.
    dispatch.exchange(exchange(session, 2, 1, 0)).await.unwrap();
    control.submit(null_sweep(1, 1)).await.unwrap();
    let granted = wait.await.unwrap();
    assert_eq!(granted.grants.len(), 1);
    // Far below the sweeper's pass of 5 s and the wait of 30 s.
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    site.server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_version_is_refused_with_who_is_to_be_upgraded() {
    let site = Site::start().await;
    let (mut dispatch, _) = site.clients().await;
    let sides = [
        (PROTOCOL_VERSION + 1, Upgrade::Coordinator),
        (PROTOCOL_OLDEST - 1, Upgrade::Worker),
    ];
    for (protocol, side) in sides {
        let request = v1::HelloRequest {
            protocol,
            ..hello("w")
        };
        let status = dispatch.hello(request).await.unwrap_err();
        assert_eq!(Reason::of(&status), Some(Reason::Protocol), "{status}");
        assert_eq!(Upgrade::of(&status), Some(side), "{status}");
        let theirs = format!("speaks version {protocol}; upgrade the {}", side.name());
        assert!(status.message().contains(&theirs), "{status}");
    }
    let (_, mut control) = site.clients().await;
    let workers = read(&mut control, &json!("workers")).await;
    assert_eq!(workers["workers"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_one_version_behind_works_on() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    control.submit(null_sweep(1, 1)).await.unwrap();
    let request = v1::HelloRequest {
        protocol: PROTOCOL_OLDEST,
        ..hello("w")
    };
    let session = dispatch.hello(request).await.unwrap().into_inner().session;
    let granted = trade(&mut dispatch, exchange(session, 1, 1, 0)).await;
    let mut request = exchange(session, 2, 0, 0);
    request.finishes = granted.grants.iter().map(|it| measured(it, 1.0)).collect();
    let acks = trade(&mut dispatch, request).await.acks;
    assert_eq!(acks, [i32::from(v1::Ack::Recorded)]);
    let workers = read(&mut control, &json!("workers")).await;
    assert_eq!(workers["protocol"], PROTOCOL_VERSION);
    assert_eq!(workers["workers"][0]["about"]["protocol"], PROTOCOL_OLDEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_session_is_told_so() {
    let site = Site::start().await;
    let (mut dispatch, _) = site.clients().await;
    let old = begin(&mut dispatch).await;
    dispatch.hello(hello("w")).await.unwrap();
    let request = v1::HeartbeatRequest {
        worker: "w".to_owned(),
        session: old,
        held: Vec::new(),
    };
    let status = dispatch.heartbeat(request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(Reason::of(&status), Some(Reason::StaleSession), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_files_store_nothing_and_name_the_line() {
    let site = Site::start().await;
    let (_, mut control) = site.clients().await;
    let mut request = null_sweep(1, 1);
    if let Some(text) = request.files.get_mut("nothing.toml") {
        *text = text.replace("replicates", "replicate");
    }
    let status = control.submit(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("nothing.toml:3:"), "{status}");
    let sweeps = read(&mut control, &json!("sweeps")).await;
    assert_eq!(sweeps["sweeps"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_is_refused_and_told_where_the_first_is() {
    let site = Site::start().await;
    let error = Server::start(settings(&site.dir, any_port()))
        .await
        .unwrap_err();
    let address = site.server.address().to_string();
    assert!(error.message.contains(&address), "{error}");
    let dir = TempDir::new().unwrap();
    let error = Server::start(settings(&dir, site.server.address()))
        .await
        .unwrap_err();
    assert!(error.message.contains("--listen"), "{error}");
    assert!(
        !dir.path().join("swath.db").exists(),
        "a refused start leaves no database"
    );
    let dir = site.dir;
    site.server.stop().await.unwrap();
    let server = Server::start(settings(&dir, any_port())).await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_reach_watchers_and_stopping_ends_them() {
    let site = Site::start().await;
    let (_, mut control) = site.clients().await;
    let mut watch = watch(&mut control, 0).await;
    assert_eq!(news(&mut watch).await.events, []);
    control.submit(null_sweep(1, 1)).await.unwrap();
    // Now and then one comes that only tells the time.
    let told = loop {
        let told = news(&mut watch).await;
        if !told.events.is_empty() {
            break told;
        }
    };
    assert_eq!(told.events[0].what, What::SweepSubmitted);
    assert_eq!(told.last, told.events.last().unwrap().seq);
    let started = Instant::now();
    site.server.stop().await.unwrap();
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "a watcher holds no shutdown"
    );
}

/// A stream of what happens after an event.
async fn watch(control: &mut Control, after: u64) -> Streaming<v1::WatchReply> {
    let request = v1::WatchRequest {
        min_interval_ms: 1,
        after,
    };
    control.watch(request).await.unwrap().into_inner()
}

async fn news(watch: &mut Streaming<v1::WatchReply>) -> News {
    let reply = watch.message().await.unwrap().unwrap();
    serde_json::from_str(&reply.news).unwrap()
}

/// A status that follows the events of a coordinator.
struct Watcher {
    live: Live,
    watch: Streaming<v1::WatchReply>,
}

impl Watcher {
    async fn start(control: &mut Control) -> Self {
        let status = status(control).await;
        let watch = watch(control, status.last_event).await;
        let live = Live::new(status, true);
        Self { live, watch }
    }

    /// Takes in what has happened, until it knows as much as a status that is read
    /// now, and holds the two together.
    async fn agrees(&mut self, control: &mut Control) {
        let fresh = status(control).await;
        while self.live.last() < fresh.last_event {
            let news = news(&mut self.watch).await;
            if self.live.fold(&news) == Folded::Reread {
                self.live = Live::new(status(control).await, true);
            }
            let jobs = self.live.unknown();
            if !jobs.is_empty() {
                let query = serde_json::to_value(ReadQuery::Named { jobs }).unwrap();
                let found: Jobs = serde_json::from_value(read(control, &query).await).unwrap();
                self.live.learn(found.jobs);
            }
        }
        assert_eq!(seen(self.live.status()), seen(&fresh));
    }
}

async fn status(control: &mut Control) -> Status {
    let query = json!({"status": {"selector": []}});
    serde_json::from_value(read(control, &query).await).unwrap()
}

/// What a watcher knows exactly: all but how the time passes.
fn seen(status: &Status) -> Value {
    let mut status = status.clone();
    for worker in &mut status.workers {
        worker.seen_at = Timestamp::default();
    }
    status.open.sort_by_key(|job| job.digest);
    let jobs = status.open.iter_mut().chain(&mut status.failed);
    for job in jobs {
        (job.deadline, job.charged, job.granted_at) = (None, 0, None);
    }
    json!({
        "sweeps": status.sweeps, "workers": status.workers,
        "open": status.open, "failed": status.failed,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_folds_the_events_knows_what_a_status_says() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    let mut watcher = Watcher::start(&mut control).await;
    control.submit(null_sweep(4, 2)).await.unwrap();
    watcher.agrees(&mut control).await;
    let session = begin(&mut dispatch).await;
    watcher.agrees(&mut control).await;
    let grants = trade(&mut dispatch, exchange(session, 1, 4, 0))
        .await
        .grants;
    watcher.agrees(&mut control).await;

    let observation = v1::Observation {
        epoch: 1,
        names: vec![0],
        values: vec![12.5],
        ..Default::default()
    };
    let report = v1::Report {
        held: grants[0].held.clone(),
        observations: vec![observation],
        names: vec!["test_error".to_owned()],
        ..Default::default()
    };
    let observe = v1::ObserveRequest {
        worker: "w".to_owned(),
        session,
        reports: vec![report],
    };
    dispatch.observe(observe).await.unwrap();
    watcher.agrees(&mut control).await;

    let failure = v1::Failure {
        fault: v1::Fault::Diverged.into(),
        message: "loss is NaN".to_owned(),
    };
    let diverged = v1::Finish {
        held: grants[1].held.clone(),
        outcome: Some(v1::finish::Outcome::Failed(failure)),
        provenance: None,
    };
    let request = v1::ExchangeRequest {
        finishes: vec![measured(&grants[0], 10.0), diverged],
        ..exchange(session, 2, 1, 0)
    };
    trade(&mut dispatch, request).await;
    watcher.agrees(&mut control).await;
    let held = grants[2].held.clone().into_iter().collect();
    let release = v1::ReleaseRequest {
        lacks: Vec::new(),
        worker: "w".to_owned(),
        session,
        held,
    };
    dispatch.release(release).await.unwrap();
    watcher.agrees(&mut control).await;
    for order in [
        json!({"pause": {"selector": ["nothing"]}}),
        json!({"cordon": {"worker": "w"}}),
        json!({"resume": {"selector": ["nothing"]}}),
        json!({"drain": {"worker": "w"}}),
        json!({"cancel": {"selector": ["nothing"]}}),
    ] {
        let order = order.to_string();
        control.change(v1::ChangeRequest { order }).await.unwrap();
        watcher.agrees(&mut control).await;
    }
    // Its older attempts are lost with the older session.
    begin(&mut dispatch).await;
    watcher.agrees(&mut control).await;
}

/// As after a boot without network time.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_back_holds_up_no_job() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("swath.db");
    let store = Arc::new(SqliteStore::open(path).await.unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let tomorrow = now + Duration::from_hours(24);
    let spec = JobSpec::from_value(&json!({"trainer": {"null": true}})).unwrap();
    let submission = Submission {
        digest: SweepDigest::from_bytes([1; 32]),
        name: "early".to_owned(),
        title: String::new(),
        replicates: 1,
        replicates_max: None,
        kind: swath_model::view::SweepKind::Training,
        priority: 0,
        sources: Sources::Files(Files::default()),
        definition: Value::Null,
        cells: vec![SubmittedCell {
            digest: spec.cell_digest(),
            axes: Vec::new(),
            spec: spec.cell_text(),
            needs: Needs::default(),
        }],
        owner: String::new(),
        tags: Vec::new(),
        ships: Vec::new(),
    };
    let at = Timestamp::from_ms(tomorrow.as_millis() as i64);
    let engine = Engine::start(store.clone(), Policy::default(), "");
    let engine = engine.await.unwrap();
    engine.submit(at, submission).await.unwrap();
    engine.stop().await;
    store.close().await.unwrap();

    let server = Server::start(settings(&dir, any_port())).await.unwrap();
    let site = Site { dir, server };
    let (mut dispatch, _) = site.clients().await;
    let welcome = dispatch.hello(hello("w")).await.unwrap().into_inner();
    let request = exchange(welcome.session, 1, 1, 0);
    let reply = trade(&mut dispatch, request).await;
    assert_eq!(reply.grants.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_name_the_remedy() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    control.submit(null_sweep(1, 1)).await.unwrap();
    let query = json!({"explain": {"selector": ["nothing"]}});
    let text = |document: &Value| document["reasons"].to_string();
    let reasons = text(&read(&mut control, &query).await);
    assert!(
        reasons.contains("no worker has ever connected"),
        "{reasons}"
    );
    dispatch.hello(hello("w")).await.unwrap();
    let reasons = text(&read(&mut control, &query).await);
    assert!(reasons.contains("it is next"), "{reasons}");
    let order = json!({"pause": {"selector": ["nothing"]}}).to_string();
    control.change(v1::ChangeRequest { order }).await.unwrap();
    let reasons = text(&read(&mut control, &query).await);
    assert!(reasons.contains("coordinator resume nothing"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_come_in_pages_and_are_found_by_state() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    control.submit(null_sweep(5, 1)).await.unwrap();
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let query = json!({"jobs": {"selector": ["nothing"], "limit": 2, "after": after}});
        let page = read(&mut control, &query).await;
        seen.extend(
            page["jobs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|job| job["digest"].clone()),
        );
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    let all = json!({"jobs": {"selector": ["nothing"], "limit": null}});
    let all = read(&mut control, &all).await;
    let all: Vec<_> = all["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["digest"].clone())
        .collect();
    assert_eq!((seen.len(), &seen), (5, &all));
    let session = begin(&mut dispatch).await;
    dispatch.exchange(exchange(session, 1, 2, 0)).await.unwrap();
    for (filter, count) in [
        ("state=leased", 2),
        ("state!=leased", 3),
        ("state=diverged", 0),
    ] {
        let query = json!({"jobs": {"selector": ["nothing", filter], "limit": null}});
        let found = read(&mut control, &query).await;
        assert_eq!(found["jobs"].as_array().unwrap().len(), count, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_without_a_priority_leaves_it() {
    let site = Site::start().await;
    let (_, mut control) = site.clients().await;
    let mut expected = 0;
    for priority in [None, Some(7), None, Some(-1), None] {
        control
            .submit(v1::SubmitRequest {
                priority,
                ..null_sweep(1, 1)
            })
            .await
            .unwrap();
        expected = priority.unwrap_or(expected);
        let sweeps = read(&mut control, &json!("sweeps")).await;
        assert_eq!(sweeps["sweeps"][0]["priority"], expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_failures_paused_is_to_be_retried() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    control.submit(null_sweep(5, 1)).await.unwrap();
    let session = begin(&mut dispatch).await;
    let granted = trade(&mut dispatch, exchange(session, 1, 3, 0)).await;
    let failure = v1::Failure {
        fault: i32::from(v1::Fault::Invalid),
        message: "no data".to_owned(),
    };
    let failed = |grant: &v1::Grant| v1::Finish {
        held: grant.held.clone(),
        outcome: Some(v1::finish::Outcome::Failed(failure.clone())),
        provenance: None,
    };
    let mut request = exchange(session, 2, 0, 0);
    request.finishes = granted.grants.iter().map(failed).collect();
    dispatch.exchange(request).await.unwrap();
    let query = json!({"explain": {"selector": ["nothing", "params.x=4"]}});
    let reasons = read(&mut control, &query).await["reasons"].to_string();
    assert!(
        reasons.contains("no data") && reasons.contains("coordinator retry nothing"),
        "{reasons}"
    );
}

async fn change(control: &mut Control, order: Value) -> Value {
    let order = order.to_string();
    let reply = control.change(v1::ChangeRequest { order }).await;
    serde_json::from_str(&reply.unwrap().into_inner().document).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_takes_what_is_asked_for_and_keeps_every_attempt() {
    let site = Site::start().await;
    let (mut dispatch, mut control) = site.clients().await;
    control.submit(null_sweep(4, 1)).await.unwrap();
    let session = begin(&mut dispatch).await;
    let granted = trade(&mut dispatch, exchange(session, 1, 3, 0)).await;
    let failed = |grant: &v1::Grant, fault: v1::Fault| v1::Finish {
        held: grant.held.clone(),
        outcome: Some(v1::finish::Outcome::Failed(v1::Failure {
            fault: i32::from(fault),
            message: "no".to_owned(),
        })),
        provenance: None,
    };
    let mut request = exchange(session, 2, 0, 0);
    request.finishes = vec![
        measured(&granted.grants[0], 1.0),
        failed(&granted.grants[1], v1::Fault::Invalid),
        failed(&granted.grants[2], v1::Fault::Diverged),
    ];
    dispatch.exchange(request).await.unwrap();
    let last = json!({"cancel": {"selector": ["nothing", "params.x=3"]}});
    assert_eq!(change(&mut control, last).await["jobs"], 1);
    for (kinds, count) in [
        (json!({"failed": true, "diverged": false}), 1),
        (json!({"missing": true, "diverged": false}), 1),
        (json!({"diverged": false}), 0),
        (json!({"diverged": true}), 1),
        (json!({"diverged": true}), 0),
    ] {
        let mut retry = kinds.clone();
        retry["selector"] = json!(["nothing"]);
        let changed = change(&mut control, json!({"retry": retry})).await;
        assert_eq!(changed["jobs"], count, "{kinds}: {changed}");
    }
    // The same job under the same seed: the first attempt stays on record.
    let granted = trade(&mut dispatch, exchange(session, 3, 3, 0)).await;
    let mut request = exchange(session, 4, 0, 0);
    request.finishes = granted.grants.iter().map(|it| measured(it, 2.0)).collect();
    dispatch.exchange(request).await.unwrap();
    let query = json!({"explain": {"selector": ["nothing", "params.x=2"]}});
    let detail = read(&mut control, &query).await["detail"].clone();
    let ended = |at: usize| detail["attempts"][at]["ended"].clone();
    assert_eq!((ended(0), ended(1)), (json!("diverged"), json!("measured")));
    assert_eq!(detail["job"]["state"], "succeeded");
}
