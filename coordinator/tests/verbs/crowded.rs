//! Connections that say nothing, wait for ever, or flood: they keep nobody else
//! out.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};
use tonic::transport::Channel;

use crate::support::{Serving, Site};

/// How long anything here may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(20);

/// How long a heartbeat may take: less than the time to the next one.
const BEAT: Duration = Duration::from_secs(2);

/// A coordinator that may open so few files that a hundred connections are too
/// many.
fn with_few_files(site: &Site) -> Serving {
    let mut command = site.command_of(Path::new("sh"), "");
    command.args(["-c", "ulimit -n 100 && exec \"$0\" \"$@\""]);
    command.arg(env!("CARGO_BIN_EXE_coordinator"));
    Serving::of(command, "sqlite:served.db", "--listen 127.0.0.1:0")
}

fn address(serving: &Serving) -> &str {
    serving.url.trim_start_matches("http://")
}

/// A worker with a session.
struct Worker {
    client: DispatchClient<Channel>,
    session: u64,
}

impl Worker {
    async fn hello(serving: &Serving) -> Self {
        let endpoint = Channel::from_shared(serving.url.clone()).unwrap();
        let mut client = tokio::time::timeout(LIMIT, async {
            loop {
                // A connection that made way for another is opened again.
                if let Ok(channel) = endpoint.connect().await {
                    return DispatchClient::new(channel);
                }
            }
        })
        .await
        .expect("no connection");
        let hello = v1::HelloRequest {
            protocol: PROTOCOL_VERSION,
            worker: "w".to_owned(),
            slots: vec!["cpu".to_owned()],
            ..v1::HelloRequest::default()
        };
        let said = tokio::time::timeout(BEAT, client.hello(hello)).await;
        let session = said.unwrap().unwrap().into_inner().session;
        Self { client, session }
    }

    async fn beat(&mut self) {
        let request = v1::HeartbeatRequest {
            worker: "w".to_owned(),
            session: self.session,
            ..v1::HeartbeatRequest::default()
        };
        let beat = tokio::time::timeout(BEAT, self.client.heartbeat(request)).await;
        beat.expect("no answer in time").unwrap();
    }
}

/// Whether the other side closes the connection, whatever it says before.
fn is_closed(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_no_worker_out_and_are_closed() {
    let site = Site::new();
    let serving = with_few_files(&site);
    let silent = (0..200).map(|_| TcpStream::connect(address(&serving)).unwrap());
    let silent: Vec<_> = silent.collect();
    let mut worker = Worker::hello(&serving).await;
    worker.beat().await;
    for stream in silent {
        assert!(is_closed(stream), "it is still open");
    }
    worker.beat().await;
}

#[test]
fn silent_connections_keep_no_caller_out_of_a_secured_port_and_are_closed() {
    let site = Site::new();
    let made = site.run("--database sqlite:served.db init --host 127.0.0.1");
    assert_eq!(made.code, 0, "{}", made.stderr);
    let serving = with_few_files(&site);
    let port = serving.url.strip_prefix("https://").unwrap();
    let silent = (0..200).map(|_| TcpStream::connect(port).unwrap());
    let silent: Vec<_> = silent.collect();
    let token = "--token-file served.db.identity/admin.token";
    let asked = || site.run(&format!("--coordinator {} {token} status", serving.url));
    let answer = asked();
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    for stream in silent {
        assert!(is_closed(stream), "it is still open");
    }
    assert_eq!(asked().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_hold_up_no_heartbeat_of_their_connection() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let mut worker = Worker::hello(&serving).await;
    let waiting: Vec<_> = (0..200)
        .map(|request| {
            let mut client = worker.client.clone();
            let exchange = v1::ExchangeRequest {
                worker: "w".to_owned(),
                session: worker.session,
                request,
                free: vec![v1::Free {
                    device: "cpu".to_owned(),
                    slots: 1,
                    ahead: 0,
                }],
                wait_ms: 30_000,
                ..v1::ExchangeRequest::default()
            };
            tokio::spawn(async move { client.exchange(exchange).await })
        })
        .collect();
    for _ in 0..20 {
        worker.beat().await;
    }
    let refused = waiting.iter().filter(|it| it.is_finished()).count();
    assert!(refused < 200, "none waits");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

/// One HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The headers of a call, as HPACK.
fn headers() -> Vec<u8> {
    let path = b"/swath.v1.Dispatch/Heartbeat";
    // POST, http, :path and content-type as literals.
    let mut block = vec![0x83, 0x86, 0x04, path.len() as u8];
    block.extend(path);
    block.extend([0x41, 1, b'x', 0x5f, 16]);
    block.extend(b"application/grpc");
    block
}

/// A connection that has greeted.
fn greeted(serving: &Serving) -> TcpStream {
    let mut stream = TcpStream::connect(address(serving)).unwrap();
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .unwrap();
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
    stream
}

/// Sends what `next` makes of 0, 1, 2, … until the connection is closed, `most`
/// were sent or `stop`; returns whether it was closed.
fn flood(
    mut stream: TcpStream,
    most: u32,
    stop: &AtomicBool,
    next: impl Fn(u32) -> Vec<u8>,
) -> bool {
    let mut answers = stream.try_clone().unwrap();
    // Answers are read, or both would wait for each other.
    let reading = std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
    let mut closed = false;
    for first in (0..most).step_by(1000) {
        let batch: Vec<u8> = (first..first + 1000).flat_map(&next).collect();
        closed = stream.write_all(&batch).is_err();
        if closed || stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Both);
    let _ = reading.join();
    closed
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_end_their_connection_and_no_other() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let mut worker = Worker::hello(&serving).await;
    let connect = || greeted(&serving);
    let on = AtomicBool::new(false);
    let call = |stream, flags| frame(HEADERS, flags, stream, &headers());
    let resets = |index: u32| {
        let stream = 2 * index + 1;
        [
            call(stream, END_HEADERS),
            frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
        ]
        .concat()
    };
    assert!(flood(connect(), 1_000_000, &on, resets), "rapid resets");
    worker.beat().await;
    let mut stream = connect();
    stream.write_all(&call(1, 0)).unwrap();
    let more = |_| frame(CONTINUATION, 0, 1, &[0x00, 1, b'a', 1, b'b']);
    assert!(flood(stream, 1_000_000, &on, more), "endless headers");
    worker.beat().await;
    let mut stream = connect();
    stream.write_all(&call(1, END_HEADERS)).unwrap();
    let empty = |_| frame(DATA, 0, 1, &[]);
    assert!(flood(stream, 1_000_000, &on, empty), "empty data");
    worker.beat().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_pass_beside_pings_and_settings_without_end() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let mut worker = Worker::hello(&serving).await;
    let beaten = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let pings = greeted(&serving);
        scope.spawn(|| {
            flood(pings, u32::MAX - 1000, &beaten, |_| {
                frame(PING, 0, 0, &[0; 8])
            })
        });
        let settings = greeted(&serving);
        scope.spawn(|| {
            flood(settings, u32::MAX - 1000, &beaten, |_| {
                frame(SETTINGS, 0, 0, &[])
            })
        });
        let beats = async {
            for _ in 0..50 {
                worker.beat().await;
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(beats));
        beaten.store(true, Ordering::Relaxed);
    });
}
