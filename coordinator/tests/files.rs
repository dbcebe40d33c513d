//! What attempts left, relayed from workers that are played here: without being
//! kept, and without keeping anybody waiting.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use swath_coordinator::database::Database;
use swath_coordinator::files::Files;
use swath_coordinator::server::{CONNECTIONS_PER_ADDRESS, ServeSettings, Server};
use swath_model::files::{
    Absent, FileKind, FileOrder, FileView, FilesState, Listing, PIECE_BYTES, Part, directory_name,
};
use swath_model::id::{Attempt, JobDigest};
use swath_model::message::Held;
use swath_model::policy::Policy;
use swath_model::time::Timestamp;
use swath_proto::convert;
use swath_proto::refusal::Reason;
use swath_proto::v1::control_client::ControlClient;
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::v1::serve_message::Part as Sent;
use swath_proto::{PROTOCOL_VERSION, v1};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Longer than anything takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_mins(1);

/// Lease times with which a worker is soon known to be away.
fn policy() -> Policy {
    Policy {
        heartbeat_ms: 300,
        ttl_ms: 2000,
        grace_min_ms: 1000,
        grace_max_ms: 1000,
        sweeper_ms: 200,
        ..Policy::default()
    }
}

struct Site {
    dir: TempDir,
    server: Server,
    dispatch: DispatchClient<Channel>,
    control: ControlClient<Channel>,
}

/// Where a played worker says that its directories are: nowhere on this host.
fn out(worker: &str) -> String {
    format!("/far/out/{worker}")
}

impl Site {
    async fn start() -> Self {
        Self::with(policy()).await
    }

    async fn with(policy: Policy) -> Self {
        let dir = TempDir::new().unwrap();
        Self::on(dir, policy).await
    }

    async fn on(dir: TempDir, policy: Policy) -> Self {
        let settings = ServeSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            identity: None,
            secured: false,
            advertise: None,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            database: Database::Sqlite(dir.path().join("swath.db")),
            policy,
        };
        let server = Server::start(settings).await.unwrap();
        let url = format!("http://{}", server.address());
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        Self {
            dir,
            server,
            dispatch: DispatchClient::new(channel.clone()),
            control: ControlClient::new(channel),
        }
    }

    /// The same database with another coordinator.
    async fn restarted(self) -> Self {
        self.server.stop().await.unwrap();
        Self::on(self.dir, Policy::default()).await
    }

    async fn delete(&mut self, sweep: &str) {
        let order = json!({ "delete": { "selector": [sweep], "cancel": true } });
        let request = v1::ChangeRequest {
            order: order.to_string(),
        };
        self.control.change(request).await.unwrap();
    }

    async fn hello(&mut self, worker: &str) -> u64 {
        let hello = v1::HelloRequest {
            protocol: PROTOCOL_VERSION,
            worker: worker.to_owned(),
            host: "far".to_owned(),
            slots: vec!["cpu".to_owned()],
            programs: vec!["sh".to_owned()],
            out: out(worker),
            ..v1::HelloRequest::default()
        };
        self.dispatch
            .hello(hello)
            .await
            .unwrap()
            .into_inner()
            .session
    }

    /// Submits a sweep over `x`, with one job each.
    async fn submit(&mut self, name: &str, keep: &str, xs: &[u32]) {
        let text = format!(
            "[sweep]\nname = \"{name}\"\nreplicates = 1\n[program]\ncommand = [\"sh\", \"{{x}}\"]\n\
             metric = \"val/acc\"\ngoal = \"maximize\"\nkeep = \"{keep}\"\n[[grid]]\nx = {xs:?}\n"
        );
        let request = v1::SubmitRequest {
            main: "s.toml".to_owned(),
            files: HashMap::from([("s.toml".to_owned(), text)]),
            ..v1::SubmitRequest::default()
        };
        self.control.submit(request).await.unwrap();
    }

    /// Takes one job.
    async fn take(&mut self, worker: &str, session: u64, request: u64) -> v1::Grant {
        let exchange = v1::ExchangeRequest {
            worker: worker.to_owned(),
            session,
            request,
            free: vec![v1::Free {
                device: "cpu".to_owned(),
                slots: 1,
                ahead: 0,
            }],
            ..v1::ExchangeRequest::default()
        };
        let reply = self.dispatch.exchange(exchange).await.unwrap().into_inner();
        reply.grants.into_iter().next().expect("a job")
    }

    /// Ends an attempt with what it measured, or with a crash.
    async fn end(&mut self, session: u64, request: u64, grant: &v1::Grant, value: Option<f64>) {
        let outcome = match value {
            Some(value) => v1::finish::Outcome::Measured(v1::Measurement {
                train_seconds: 1.0,
                values: [("val/acc".to_owned(), value)].into(),
                ..Default::default()
            }),
            None => v1::finish::Outcome::Failed(v1::Failure {
                fault: v1::Fault::Diverged.into(),
                message: "NaN".to_owned(),
            }),
        };
        let exchange = v1::ExchangeRequest {
            worker: "w".to_owned(),
            session,
            request,
            finishes: vec![v1::Finish {
                held: grant.held.clone(),
                outcome: Some(outcome),
                provenance: None,
            }],
            ..v1::ExchangeRequest::default()
        };
        self.dispatch.exchange(exchange).await.unwrap();
    }

    /// A sweep of one job, which worker `w` has measured.
    async fn measured(&mut self) -> (u64, Held) {
        let session = self.hello("w").await;
        self.submit("one", "all", &[1]).await;
        let grant = self.take("w", session, 1).await;
        self.end(session, 2, &grant, Some(0.5)).await;
        (session, held(&grant))
    }

    async fn files(&mut self, job: JobDigest) -> Files {
        let query = json!({ "files": { "selector": [job.to_string()] } });
        let request = v1::ReadRequest {
            query: query.to_string(),
        };
        let reply = self.control.read(request).await.unwrap().into_inner();
        serde_json::from_str(&reply.document).unwrap()
    }

    async fn fetch(
        &mut self,
        held: Held,
        path: &str,
    ) -> Result<Streaming<v1::FetchFileReply>, Status> {
        let order = convert::file_order_message(&FileOrder {
            held,
            out: Some("/etc".to_owned()),
            path: Some(path.parse().unwrap()),
            have: None,
        });
        let order = Some(order);
        let reply = self
            .control
            .fetch_file(v1::FetchFileRequest { order })
            .await?;
        Ok(reply.into_inner())
    }

    async fn may_go(&mut self, session: u64, held: &[Held]) -> Vec<bool> {
        let request = v1::RetainRequest {
            worker: "w".to_owned(),
            session,
            held: held.iter().map(|it| convert::held_message(*it)).collect(),
        };
        self.dispatch
            .retain(request)
            .await
            .unwrap()
            .into_inner()
            .may_go
    }

    async fn until_silent(&mut self, worker: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let query = json!("workers").to_string();
            let reply = self.control.read(v1::ReadRequest { query }).await.unwrap();
            let workers: Value = serde_json::from_str(&reply.into_inner().document).unwrap();
            let workers = workers["workers"].as_array().unwrap();
            if workers
                .iter()
                .any(|it| it["name"] == worker && it["silent"] == true)
            {
                return;
            }
            assert!(Instant::now() < end, "{worker} is never silent");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn held(grant: &v1::Grant) -> Held {
    convert::held(grant.held.as_ref().unwrap()).unwrap()
}

/// A line of a played worker.
struct Line {
    parts: mpsc::Sender<v1::ServeMessage>,
    orders: Streaming<v1::FileOrder>,
}

impl Line {
    async fn open(site: &Site, worker: &str, session: u64) -> Result<Self, Status> {
        let (parts, sent) = mpsc::channel(1);
        let worker = worker.to_owned();
        let hello = Sent::Hello(v1::ServeHello { worker, session });
        let hello = v1::ServeMessage { part: Some(hello) };
        parts.send(hello).await.unwrap();
        // A connection of its own, as workers have.
        let url = format!("http://{}", site.server.address());
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        let orders = DispatchClient::new(channel)
            .serve(ReceiverStream::new(sent))
            .await?;
        let orders = orders.into_inner();
        Ok(Self { parts, orders })
    }

    async fn order(&mut self) -> FileOrder {
        let order = self.orders.message().await.unwrap().unwrap();
        convert::file_order(order).unwrap()
    }

    async fn send(&self, part: Part) {
        self.parts.send(convert::serve_message(part)).await.unwrap();
    }

    /// Answers one order with a listing of one file.
    async fn list(mut self) -> FileOrder {
        let order = self.order().await;
        let file = FileView {
            path: "model.pt".to_owned(),
            bytes: 7,
            modified_at: Timestamp::from_ms(1),
            kind: FileKind::File,
        };
        let listing = Listing {
            files: vec![file],
            more: 0,
            bytes: 7,
        };
        let text = serde_json::to_vec(&listing).unwrap();
        self.send(Part::Begin {
            from: 0,
            bytes: text.len() as u64,
        })
        .await;
        let digest = *blake3::hash(&text).as_bytes();
        self.send(Part::Piece(text)).await;
        self.send(Part::Digest(digest)).await;
        self.until_closed().await;
        order
    }

    /// The coordinator closes a line once it has everything.
    async fn until_closed(&mut self) {
        let closed = self.orders.message();
        let closed = tokio::time::timeout(PATIENCE, closed).await.unwrap();
        assert!(matches!(closed, Ok(None)), "{closed:?}");
    }
}

async fn parts(stream: &mut Streaming<v1::FetchFileReply>) -> Vec<Result<Part, Status>> {
    let mut parts = Vec::new();
    loop {
        match stream.message().await {
            Ok(Some(message)) => parts.push(Ok(convert::fetched(message).unwrap())),
            Ok(None) => return parts,
            Err(status) => {
                parts.push(Err(status));
                return parts;
            }
        }
    }
}

#[tokio::test]
async fn a_listing_is_asked_of_the_worker() {
    let mut site = Site::start().await;
    let (session, held) = site.measured().await;
    let line = Line::open(&site, "w", session).await.unwrap();
    let worker = tokio::spawn(line.list());
    let files = site.files(held.job).await;
    assert_eq!(worker.await.unwrap().path, None);
    let found = files.found.unwrap();
    assert_eq!((found.attempt, &*found.host), (Attempt(1), "far"));
    assert_eq!(
        found.directory.unwrap(),
        format!("{}/{}", out("w"), directory_name(&held))
    );
    let FilesState::Listed(listing) = found.state else {
        panic!("{:?}", found.state);
    };
    assert_eq!(listing.files[0].path, "model.pt");
}

/// A file of 64 MiB whose reader stops for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_up_the_file_and_nobody_else() {
    const PIECES: usize = 256;
    let mut site = Site::start().await;
    let (session, held) = site.measured().await;
    let mut line = Line::open(&site, "w", session).await.unwrap();
    let mut stream = site.fetch(held, "model.pt").await.unwrap();
    let order = line.order().await;
    assert_eq!(order.path.unwrap().as_str(), "model.pt");
    // Whatever the reader says.
    assert_eq!(order.out, None);
    let bytes = (PIECES * PIECE_BYTES) as u64;
    line.send(Part::Begin { from: 0, bytes }).await;
    let piece = vec![7; PIECE_BYTES];
    let mut sum = blake3::Hasher::new();
    let mut sent = 0;
    // Nobody reads: at some piece there is no room any more.
    while sent < PIECES {
        let message = convert::serve_message(Part::Piece(piece.clone()));
        let sending = line.parts.send(message);
        match tokio::time::timeout(Duration::from_secs(1), sending).await {
            Ok(done) => done.unwrap(),
            Err(_) => break,
        }
        sum.update(&piece);
        sent += 1;
    }
    assert!(sent < 64, "{sent} pieces are kept on the way");
    // Others are answered meanwhile.
    let begun = Instant::now();
    let beat = v1::HeartbeatRequest {
        worker: "w".to_owned(),
        session,
        held: Vec::new(),
    };
    site.dispatch.heartbeat(beat).await.unwrap();
    site.submit("two", "all", &[2]).await;
    site.take("w", session, 3).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    let worker = tokio::spawn(async move {
        for _ in sent..PIECES {
            sum.update(&piece);
            line.send(Part::Piece(piece.clone())).await;
        }
        let digest = *sum.finalize().as_bytes();
        line.send(Part::Digest(digest)).await;
        line.until_closed().await;
        digest
    });
    let parts = parts(&mut stream).await;
    let digest = worker.await.unwrap();
    let mut received = blake3::Hasher::new();
    for part in &parts {
        if let Ok(Part::Piece(piece)) = part {
            received.update(piece);
        }
    }
    assert_eq!(*received.finalize().as_bytes(), digest);
    assert!(matches!(parts.last(), Some(Ok(Part::Digest(it))) if *it == digest));
}

#[tokio::test]
async fn a_reader_that_leaves_frees_the_line() {
    let mut site = Site::start().await;
    let (session, held) = site.measured().await;
    let mut line = Line::open(&site, "w", session).await.unwrap();
    let stream = site.fetch(held, "model.pt").await.unwrap();
    line.order().await;
    drop(stream);
    let piece = || convert::serve_message(Part::Piece(vec![0; PIECE_BYTES]));
    let refused = async { while line.parts.send(piece()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_breaks_off_and_a_file_that_is_not_there_are_told() {
    let mut site = Site::start().await;
    let (session, held) = site.measured().await;
    let mut line = Line::open(&site, "w", session).await.unwrap();
    let mut stream = site.fetch(held, "model.pt").await.unwrap();
    line.order().await;
    line.send(Part::Begin { from: 0, bytes: 9 }).await;
    drop(line);
    let parts_of = parts(&mut stream).await;
    let Some(Err(status)) = parts_of.last() else {
        panic!("{parts_of:?}");
    };
    assert_eq!(Reason::of(status), Some(Reason::WorkerAway));
    let mut line = Line::open(&site, "w", session).await.unwrap();
    let mut stream = site.fetch(held, "other").await.unwrap();
    line.order().await;
    line.send(Part::Absent(Absent::NoFile)).await;
    let parts_of = parts(&mut stream).await;
    let [Err(status)] = &parts_of[..] else {
        panic!("{parts_of:?}");
    };
    assert_eq!(Reason::of(status), Some(Reason::NotFound));
    assert_eq!(status.message(), "`other`: there is no such file");
}

#[tokio::test]
async fn who_is_away_is_told_and_another_with_the_same_directories_answers() {
    let mut site = Site::start().await;
    let (_, held) = site.measured().await;
    site.until_silent("w").await;
    let files = site.files(held.job).await;
    let found = files.found.unwrap();
    assert_eq!(found.state, FilesState::Away { connected: false });
    assert!(found.seen_at.is_some());
    let refused = site.fetch(held, "model.pt").await.unwrap_err();
    assert_eq!(Reason::of(&refused), Some(Reason::WorkerAway));
    let session = site.hello("v").await;
    let line = Line::open(&site, "v", session).await.unwrap();
    let worker = tokio::spawn(line.list());
    let found = site.files(held.job).await.found.unwrap();
    assert!(matches!(found.state, FilesState::Listed(_)), "{found:?}");
    let order = worker.await.unwrap();
    assert_eq!((order.held, order.out), (held, Some(out("w"))));
}

#[tokio::test]
async fn an_older_session_gets_no_line() {
    let mut site = Site::start().await;
    let older = site.hello("w").await;
    let newer = site.hello("w").await;
    let refused = Line::open(&site, "w", older).await.err().unwrap();
    assert_eq!(Reason::of(&refused), Some(Reason::StaleSession));
    assert!(Line::open(&site, "w", newer).await.is_ok());
}

#[tokio::test]
async fn a_line_that_waits_holds_up_no_shutdown() {
    let mut site = Site::start().await;
    let (session, _) = site.measured().await;
    let mut line = Line::open(&site, "w", session).await.unwrap();
    let begun = Instant::now();
    site.server.stop().await.unwrap();
    // Open calls would be given five seconds to end.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    line.until_closed().await;
}

#[tokio::test]
async fn what_no_sweep_keeps_may_go() {
    let mut site = Site::with(Policy::default()).await;
    let session = site.hello("w").await;
    site.submit("none", "none", &[1]).await;
    let grant = site.take("w", session, 1).await;
    let one = held(&grant);
    let unknown = Held {
        job: JobDigest::from_bytes([9; 32]),
        ..one
    };
    let later = Held {
        attempt: Attempt(2),
        ..one
    };
    let asked = [one, unknown, later];
    assert_eq!(site.may_go(session, &asked).await, [false; 3]);
    site.end(session, 2, &grant, Some(0.5)).await;
    assert_eq!(site.may_go(session, &asked).await, [true, false, false]);
    // Another sweep with the same job wants it.
    site.submit("last", "last", &[1]).await;
    assert_eq!(site.may_go(session, &asked).await, [false; 3]);
}

/// The names of jobs are those of what they compute, so a job that is submitted again
/// has the attempts that it had before.
#[tokio::test]
async fn what_a_deleted_sweep_left_may_go_until_it_is_submitted_again() {
    let mut site = Site::with(Policy::default()).await;
    let session = site.hello("w").await;
    site.submit("shared", "all", &[1]).await;
    site.submit("gone", "all", &[1, 2]).await;
    let (mut all, mut grants) = (Vec::new(), Vec::new());
    for request in [1, 2] {
        let grant = site.take("w", session, request).await;
        all.push(held(&grant));
        grants.push(grant);
    }
    all.push(Held {
        job: JobDigest::from_bytes([9; 32]),
        attempt: Attempt(1),
    });
    site.end(session, 3, &grants[0], Some(0.5)).await;
    assert_eq!(site.may_go(session, &all).await, [false; 3]);
    // Also what its attempt still wrote when it was deleted.
    site.delete("gone").await;
    assert_eq!(site.may_go(session, &all).await, [false, true, false]);
    site.submit("again", "all", &[2]).await;
    assert_eq!(site.may_go(session, &all).await, [false; 3]);
    let grant = site.take("w", session, 4).await;
    assert_eq!(held(&grant), all[1]);
    assert_eq!(site.may_go(session, &all).await, [false; 3]);
    site.end(session, 5, &grant, Some(0.5)).await;
    assert_eq!(site.may_go(session, &all).await, [false; 3]);
    for name in ["again", "shared"] {
        site.delete(name).await;
    }
    assert_eq!(site.may_go(session, &all).await, [true, true, false]);
    // A coordinator that starts knows it too.
    let mut site = site.restarted().await;
    let session = site.hello("w").await;
    assert_eq!(site.may_go(session, &all).await, [true, true, false]);
}

#[tokio::test]
async fn once_a_sweep_has_ended_its_best_cell_is_kept() {
    let mut site = Site::with(Policy::default()).await;
    let session = site.hello("w").await;
    site.submit("best", "best", &[1, 2, 3]).await;
    let mut all = Vec::new();
    for (request, value) in [(1, Some(0.5)), (3, Some(0.7)), (5, None)] {
        let grant = site.take("w", session, request).await;
        all.push(held(&grant));
        assert_eq!(site.may_go(session, &all).await, vec![false; all.len()]);
        site.end(session, request + 1, &grant, value).await;
    }
    assert_eq!(site.may_go(session, &all).await, [true, false, true]);
    // A grown sweep has not ended; what is left may yet be the best.
    site.submit("best", "best", &[1, 2, 3, 4]).await;
    assert_eq!(site.may_go(session, &all).await, [false; 3]);
    let grant = site.take("w", session, 7).await;
    all.push(held(&grant));
    site.end(session, 8, &grant, Some(0.9)).await;
    // The first version of the sweep keeps what is best in it.
    assert_eq!(site.may_go(session, &all).await, [true, false, true, false]);
}
