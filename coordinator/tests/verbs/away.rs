//! Coordinators that go away, come back, stand by or name another one, and work
//! that makes no progress.

use std::io::{BufRead, BufReader, Lines, PipeReader};
use std::process::Child;
use std::time::{Duration, Instant};

use swath_model::id::JobDigest;
use swath_proto::refusal::not_leader;
use swath_proto::v1::control_server::{Control, ControlServer};
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Serving, Site, json};

/// An address where nobody listens.
const DEAD: &str = "http://127.0.0.1:1";

/// A command that keeps running; its output and messages are read line by line.
struct Staying {
    child: Child,
    lines: Lines<BufReader<PipeReader>>,
}

impl Staying {
    fn start(site: &Site, line: &str) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = site.command(line);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        Self {
            child: command.spawn().unwrap(),
            lines: BufReader::new(reader).lines(),
        }
    }

    /// Reads until a line contains `what`.
    fn until(&mut self, what: &str) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if line.contains(what) {
                return line;
            }
            seen.push(line);
        }
        panic!("no line says `{what}`: {seen:#?}");
    }

    fn code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

fn interrupt(child: &Child) {
    let id = child.id().to_string();
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-INT", &id]).status().unwrap().success());
}

fn listen_of(url: &str) -> &str {
    url.trim_start_matches("http://")
}

#[test]
fn waiting_outlives_a_restart_of_the_coordinator() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let url = serving.url.clone();
    let line = format!("--coordinator {url} submit small.toml --wait --timeout 60");
    let mut waiting = Staying::start(&site, &line);
    waiting.until("no worker is connected");
    assert_eq!(serving.stop(), Some(0));
    let lost = waiting.until("does not answer; waiting for it, Ctrl-C to leave");
    assert!(
        lost.contains(&format!("the coordinator at {url}")),
        "{lost}"
    );
    let serving = Serving::at(&site, "sqlite:served.db", listen_of(&url));
    waiting.until(&format!("the coordinator at {url} answers again"));
    // It reports each absence once, however the coordinator ends.
    drop(serving);
    waiting.until("does not answer; waiting for it");
    let serving = Serving::at(&site, "sqlite:served.db", listen_of(&url));
    waiting.until("answers again");
    let cancelled = site.run(&format!("--coordinator {url} cancel small"));
    assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
    waiting.until("small was cancelled");
    assert_eq!(waiting.code(), Some(11));
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn waiting_for_a_coordinator_ends_with_its_time() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let line = format!(
        "--coordinator {} submit small.toml --wait --timeout 6",
        serving.url
    );
    let mut waiting = Staying::start(&site, &line);
    waiting.until("no worker is connected");
    drop(serving);
    waiting.until("does not answer; waiting for it");
    waiting.until("the time is up");
    assert_eq!(waiting.code(), Some(12));
}

#[test]
fn watching_outlives_a_killed_coordinator() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let url = serving.url.clone();
    let submitted = site.run(&format!("--coordinator {url} submit small.toml"));
    assert_eq!(submitted.code, 0, "{}", submitted.stderr);
    let line = format!("--coordinator {url} status small --watch");
    let mut watching = Staying::start(&site, &line);
    watching.until("0/6 jobs");
    watching.until("small waits, next is job");
    drop(serving);
    watching.until("does not answer; waiting for it, Ctrl-C to leave");
    let serving = Serving::at(&site, "sqlite:served.db", listen_of(&url));
    watching.until("answers again");
    watching.until("0/6 jobs");
    interrupt(&watching.child);
    watching.until("the work goes on");
    assert_eq!(watching.code(), Some(130));
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test]
async fn following_a_log_outlives_a_killed_coordinator() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let url = serving.url.clone();
    let submitted = site.run(&format!("--coordinator {url} submit small.toml"));
    assert_eq!(submitted.code, 0, "{}", submitted.stderr);
    let (worker, held) = trains(&url, (1, "it begins\n")).await;
    let job = worker.job.clone();
    let mut following = Staying::start(&site, &format!("--coordinator {url} logs {job} --follow"));
    following.until("it begins");
    drop(serving);
    following.until("does not answer; waiting for it, Ctrl-C to leave");
    let serving = Serving::at(&site, "sqlite:served.db", listen_of(&url));
    following.until("answers again");
    worker.writes(&url, held, (2, "it goes on\n")).await;
    following.until("it goes on");
    interrupt(&following.child);
    assert_eq!(following.code(), Some(0));
    assert_eq!(serving.stop(), Some(0));
}

/// A worker that has one job.
struct Worker {
    session: u64,
    job: String,
}

/// Takes a job, and writes something about it.
async fn trains(url: &str, log: (u64, &str)) -> (Worker, v1::Held) {
    let mut client = DispatchClient::connect(url.to_owned()).await.unwrap();
    let welcome = client.hello(hello()).await.unwrap().into_inner();
    let exchange = v1::ExchangeRequest {
        worker: "w".to_owned(),
        session: welcome.session,
        request: 1,
        free: vec![v1::Free {
            device: "cpu".to_owned(),
            slots: 1,
            ahead: 0,
        }],
        ..v1::ExchangeRequest::default()
    };
    let reply = client.exchange(exchange).await.unwrap().into_inner();
    let held = reply.grants[0].held.clone().unwrap();
    let worker = Worker {
        session: welcome.session,
        job: JobDigest::from_slice(&held.job).unwrap().to_string(),
    };
    worker.writes(url, held.clone(), log).await;
    (worker, held)
}

impl Worker {
    async fn writes(&self, url: &str, held: v1::Held, (log_sequence, log): (u64, &str)) {
        let mut client = DispatchClient::connect(url.to_owned()).await.unwrap();
        let report = v1::Report {
            held: Some(held),
            log_sequence,
            log: log.to_owned(),
            ..v1::Report::default()
        };
        let request = v1::ObserveRequest {
            worker: "w".to_owned(),
            session: self.session,
            reports: vec![report],
        };
        client.observe(request).await.unwrap();
    }
}

fn hello() -> v1::HelloRequest {
    v1::HelloRequest {
        protocol: PROTOCOL_VERSION,
        worker: "w".to_owned(),
        slots: vec!["cpu".to_owned()],
        ..v1::HelloRequest::default()
    }
}

#[test]
fn the_first_coordinator_of_a_list_that_answers_is_asked() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let list = format!("{DEAD},{}", serving.url);
    let done = site.run(&format!("--coordinator {list} submit small.toml"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(
        done.stderr.contains(&format!("--coordinator {list}")),
        "the next command asks the same: {}",
        done.stderr
    );
    assert_eq!(serving.stop(), Some(0));
    let done = site.run(&format!("--coordinator {list} sweeps"));
    assert_eq!((done.code, done.stdout.as_str()), (4, ""));
    for told in list.split(',').chain(["coordinator serve"]) {
        assert!(done.stderr.contains(told), "{told}: {}", done.stderr);
    }
}

#[test]
fn a_wait_moves_on_to_whoever_took_over() {
    let site = Site::new();
    let first = Serving::start(&site, "sqlite:served.db");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = free.local_addr().unwrap().to_string();
    drop(free);
    let list = format!("{},{second}", first.url);
    let line = format!("--coordinator {list} submit small.toml --wait --timeout 60");
    let mut waiting = Staying::start(&site, &line);
    waiting.until("no worker is connected");
    assert_eq!(first.stop(), Some(0));
    waiting.until("does not answer; waiting for it");
    let second = Serving::at(&site, "sqlite:served.db", &second);
    waiting.until(&format!("the coordinator at {} answers again", second.url));
    let cancelled = site.run(&format!("--coordinator {list} cancel small"));
    assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
    waiting.until("small was cancelled");
    assert_eq!(second.stop(), Some(0));
}

/// A coordinator that stands by: it would answer reads, and refers every change
/// to the leader.
struct Standby {
    leader: Option<String>,
}

impl Standby {
    /// Serves in its own runtime for as long as the test runs; returns its URL.
    fn start(leader: Option<&str>) -> String {
        let standby = Self {
            leader: leader.map(str::to_owned),
        };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = async move {
            let incoming = TcpListenerStream::new(TcpListener::from_std(listener).unwrap());
            tonic::transport::Server::builder()
                .add_service(ControlServer::new(standby))
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        };
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build().unwrap().block_on(serve);
        });
        url
    }

    fn refusal(&self) -> Status {
        not_leader("this one stands by", self.leader.as_deref())
    }
}

#[tonic::async_trait]
impl Control for Standby {
    async fn submit(
        &self,
        _: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitReply>, Status> {
        Err(self.refusal())
    }

    async fn read(&self, _: Request<v1::ReadRequest>) -> Result<Response<v1::ReadReply>, Status> {
        Err(Status::not_found("nothing is here"))
    }

    async fn change(
        &self,
        _: Request<v1::ChangeRequest>,
    ) -> Result<Response<v1::ChangeReply>, Status> {
        Err(self.refusal())
    }

    async fn upload(
        &self,
        _: Request<Streaming<v1::UploadRequest>>,
    ) -> Result<Response<v1::UploadReply>, Status> {
        Err(self.refusal())
    }

    type WatchStream = ReceiverStream<Result<v1::WatchReply, Status>>;

    async fn watch(
        &self,
        _: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(self.refusal())
    }

    type FetchFileStream = ReceiverStream<Result<v1::FetchFileReply, Status>>;

    async fn fetch_file(
        &self,
        _: Request<v1::FetchFileRequest>,
    ) -> Result<Response<Self::FetchFileStream>, Status> {
        Err(self.refusal())
    }
}

#[test]
fn a_standby_sends_changes_to_the_leader() {
    let site = Site::new();
    let leader = Serving::start(&site, "sqlite:served.db");
    let standby = Standby::start(Some(&leader.url));
    let done = site.run(&format!("--coordinator {standby} submit small.toml"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let done = site.run(&format!("--coordinator {standby} pause small --yes"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let sweeps = site.run(&format!("--coordinator {} sweeps -o json", leader.url));
    assert_eq!(json(&sweeps.stdout)["sweeps"][0]["state"], "paused");
    // Reads are answered where they were asked.
    let done = site.run(&format!("--coordinator {standby} sweeps"));
    assert_eq!(done.code, 3, "{}", done.stderr);
    assert_eq!(leader.stop(), Some(0));
}

#[test]
fn a_standby_that_names_the_wrong_one_is_not_the_end_of_the_list() {
    let site = Site::new();
    let leader = Serving::start(&site, "sqlite:served.db");
    let standby = Standby::start(Some(DEAD));
    let list = format!("{standby},{}", leader.url);
    let done = site.run(&format!("--coordinator {list} submit small.toml"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(leader.stop(), Some(0));
}

#[test]
fn a_change_that_nobody_leads_fails_at_once_and_says_why() {
    let site = Site::new();
    let lost = Standby::start(Some(DEAD));
    let none = Standby::start(None);
    let done = site.run(&format!("--coordinator {lost},{none} submit small.toml"));
    assert_eq!((done.code, done.stdout.as_str()), (4, ""));
    for told in [
        &*lost,
        DEAD,
        &*none,
        "this one stands by",
        "takes over within seconds",
    ] {
        assert!(done.stderr.contains(told), "{told}: {}", done.stderr);
    }
}

#[tokio::test]
async fn a_submit_says_what_every_worker_lacks() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let url = serving.url.clone();
    let needing = crate::support::SMALL.replace("\"small\"", "\"small\"\nneeds = { cuda = 1 }");
    site.write("needing.toml", &needing);
    let submit = |file: &str| site.run(&format!("--coordinator {url} submit {file} -o json"));
    let said = "small waits: no active worker has a `cuda` device for it; start one with \
                `--device cuda:0`";
    let done = submit("needing.toml");
    assert!(!done.stderr.contains("waits"), "{}", done.stderr);
    let mut worker = DispatchClient::connect(url.clone()).await.unwrap();
    worker.hello(hello()).await.unwrap();
    let done = submit("needing.toml");
    assert!(done.stderr.contains(said), "{}", done.stderr);
    let receipt: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let lack = serde_json::json!({ "lack": "device", "device": "cuda", "count": 1, "has": 0 });
    assert_eq!((done.code, &receipt["lack"]), (0, &lack));
    let done = submit("small.toml");
    assert!(!done.stderr.contains("waits"), "{}", done.stderr);
    // The same jobs need no GPU any more, and nothing waits that is cancelled.
    let done = site.run(&format!("--coordinator {url} cancel small"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let known = submit("small.toml");
    assert!(!known.stderr.contains("waits"), "{}", known.stderr);
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test]
async fn a_wait_says_soon_why_nothing_moves() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let url = serving.url.clone();
    let command = "{ command = [\"mytrain\"], metric = \"accuracy_error\" }";
    let program =
        crate::support::SMALL.replace("trainer.null = true", &format!("trainer = {command}"));
    site.write("program.toml", &program.replace("\"small\"", "\"program\""));
    let began = Instant::now();
    let line = |file: &str| format!("--coordinator {url} submit {file} --wait --timeout 60");
    let mut waiting = Staying::start(&site, &line("small.toml"));
    waiting.until("small waits, next is job");
    assert!(began.elapsed() < Duration::from_secs(10));
    let mut worker = DispatchClient::connect(url.clone()).await.unwrap();
    worker.hello(hello()).await.unwrap();
    let mut other = Staying::start(&site, &line("program.toml"));
    other.until("no active worker may run `mytrain`");
    assert_eq!(site.run(&format!("--coordinator {url} cordon w")).code, 0);
    let mut other = Staying::start(&site, &line("program.toml"));
    other.until("no connected worker takes jobs: worker `w` is cordoned");
    assert_eq!(
        site.run(&format!("--coordinator {url} pause program")).code,
        0
    );
    let mut other = Staying::start(&site, &line("program.toml"));
    other.until("is paused (paused by an operator); `coordinator resume program`");
    for sweep in ["small", "program"] {
        let done = site.run(&format!("--coordinator {url} cancel {sweep}"));
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    waiting.until("small was cancelled");
    other.until("program was cancelled");
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn a_coordinator_tells_others_where_it_is() {
    let site = Site::new();
    let options = "--listen 127.0.0.1:0 --advertise head.lab:7070";
    let serving = Serving::with(&site, "sqlite:served.db", options);
    let lock = std::fs::read_to_string(site.path().join("served.db.lock")).unwrap();
    assert_eq!(json(&lock)["address"], "http://head.lab:7070");
    assert_eq!(serving.stop(), Some(0));
    let done = site.run("serve --advertise ftp://head");
    assert_eq!(done.code, 2);
    assert!(
        done.stderr.contains("--advertise `ftp://head`"),
        "{}",
        done.stderr
    );
}
