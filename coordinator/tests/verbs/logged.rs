//! The log of a coordinator: what is on its lines.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};

use crate::support::{Site, json};

/// A coordinator with short leases that logs for programs.
struct Logging {
    child: Child,
    url: String,
    lines: BufReader<std::process::ChildStderr>,
}

impl Logging {
    fn start(site: &Site) -> Self {
        site.write(
            "policy.toml",
            "heartbeat_ms = 100\nttl_ms = 500\ngrace_min_ms = 200\ngrace_max_ms = 200\nsweeper_ms = 50\n",
        );
        let line = "serve --database sqlite:served.db --listen 127.0.0.1:0 --policy policy.toml \
                    --log-format json";
        let mut child = site.command(line).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let url = loop {
            let mut line = String::new();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it has ended");
            if let Some(rest) = line.strip_prefix("listening on ") {
                break rest.split(',').next().unwrap().to_owned();
            }
        };
        Self { child, url, lines }
    }

    /// The next line of the log with this message.
    fn until(&mut self, message: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it has ended");
            let line = line.trim_end_matches('\n');
            assert!(!line.chars().any(char::is_control), "{line:?}");
            // Its other lines are for whoever has started it.
            if !line.starts_with('{') {
                continue;
            }
            let event = json(line);
            if event["message"] == message {
                return event;
            }
        }
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The fields of an event that are texts or numbers.
fn fields<const N: usize>(event: &Value, names: [&str; N]) -> [String; N] {
    names.map(|name| match &event[name] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("`{name}` is {other}: {event}"),
    })
}

fn hello(protocol: u32) -> v1::HelloRequest {
    v1::HelloRequest {
        protocol,
        worker: "w".to_owned(),
        slots: vec!["cpu".to_owned()],
        ..v1::HelloRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expiry_and_a_refusal_name_who_and_why() {
    let site = Site::new();
    let mut logging = Logging::start(&site);
    let done = site.run(&format!("--coordinator {} submit small.toml", logging.url));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let mut dispatch = DispatchClient::connect(logging.url.clone()).await.unwrap();
    let refused = dispatch.hello(hello(PROTOCOL_VERSION + 7)).await;
    assert!(refused.is_err());
    let event = logging.until("a hello is refused");
    let [level, worker, principal, why] = fields(&event, ["level", "worker", "principal", "why"]);
    assert_eq!((level.as_str(), worker.as_str()), ("WARN", "w"));
    assert!(!principal.is_empty() && why.contains("protocol"), "{event}");

    let session = dispatch.hello(hello(PROTOCOL_VERSION)).await.unwrap();
    let request = v1::ExchangeRequest {
        worker: "w".to_owned(),
        session: session.into_inner().session,
        request: 1,
        free: vec![v1::Free {
            device: "cpu".to_owned(),
            slots: 1,
            ahead: 0,
        }],
        ..v1::ExchangeRequest::default()
    };
    let granted = dispatch.exchange(request).await.unwrap().into_inner();
    assert_eq!(granted.grants.len(), 1);
    // It is silent from now on.
    for message in [
        "the lease is over; the attempt may come back",
        "the attempt is lost; the job waits again",
    ] {
        let event = logging.until(message);
        let names = ["level", "sweep", "job", "attempt", "worker", "why"];
        let [level, sweep, job, attempt, worker, why] = fields(&event, names);
        assert_eq!((level.as_str(), worker.as_str()), ("WARN", "w"), "{event}");
        assert_eq!((attempt.as_str(), sweep.len(), job.len()), ("1", 12, 12));
        assert!(!why.is_empty());
    }
    let done = site.run(&format!("--coordinator {} cordon w", logging.url));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let asked = logging.until("asked");
    let [principal, what] = fields(&asked, ["principal", "what"]);
    assert!(!principal.is_empty() && what.contains("cordon"), "{asked}");
    let [worker, why] = fields(&logging.until("the worker is cordoned"), ["worker", "why"]);
    assert_eq!((worker.as_str(), why.is_empty()), ("w", false));
}
