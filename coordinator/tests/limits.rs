//! What is too large for the server: it is told so, and goes on.

use std::collections::HashMap;
use std::net::SocketAddr;

use serde_json::{Value, json};
use swath_coordinator::database::Database;
use swath_coordinator::server::{CONNECTIONS_PER_ADDRESS, ServeSettings, Server};
use swath_model::limits::{ERROR_BYTES_MAX, LEVELS_MAX};
use swath_model::policy::Policy;
use swath_proto::limits::CONTROL_MESSAGE_BYTES;
use swath_proto::v1::control_client::ControlClient;
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Code, Status};

type Control = ControlClient<Channel>;

async fn start() -> (TempDir, Server, Control) {
    let dir = TempDir::new().unwrap();
    let server = Server::start(ServeSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        identity: None,
        secured: false,
        advertise: None,
        connections_per_address: CONNECTIONS_PER_ADDRESS,
        database: Database::Sqlite(dir.path().join("swath.db")),
        policy: Policy::default(),
    });
    let server = server.await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", server.address())).unwrap();
    let control = ControlClient::new(channel.connect().await.unwrap());
    let control = control.max_decoding_message_size(CONTROL_MESSAGE_BYTES);
    (dir, server, control)
}

fn file(name: &str, rest: &str) -> v1::SubmitRequest {
    let text = format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 1\n[fixed]\ntrainer.null = true\n{rest}\n"
    );
    v1::SubmitRequest {
        main: "x.toml".to_owned(),
        files: HashMap::from([("x.toml".to_owned(), text)]),
        ..v1::SubmitRequest::default()
    }
}

async fn read(control: &mut Control, query: Value) -> Result<Value, Status> {
    let query = query.to_string();
    let reply = control.read(v1::ReadRequest { query }).await?.into_inner();
    Ok(serde_json::from_str(&reply.document).unwrap())
}

async fn jobs(control: &mut Control, selector: Value) -> Result<Vec<Value>, Status> {
    let (mut jobs, mut after) = (Vec::new(), Value::Null);
    loop {
        let query = json!({"jobs": {"selector": selector, "limit": null, "after": after}});
        let mut page = read(control, query).await?;
        jobs.append(page["jobs"].as_array_mut().unwrap());
        after = page["next"].take();
        if after.is_null() {
            return Ok(jobs);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_submit_ends_the_server() {
    let (_dir, _server, mut control) = start().await;
    let nested = |before: &str, after: &str| {
        let (before, after) = (before.repeat(20_000), after.repeat(20_000));
        format!("params.a = {before}1{after}\n[[grid]]\nparams.i = 1")
    };
    let quoted = |key: &str| format!("[[grid]]\n\"params{}\" = 1", key.repeat(20_000));
    let keys: Vec<String> = (0..100_000).map(|at| format!("k{at} = 1\n")).collect();
    let keys = keys.concat();
    for rest in [
        nested("[", "]"),
        nested("{a=", "}"),
        nested("\"=(", ")\""),
        quoted(".a"),
        format!("a{} = 1", ".a".repeat(20_000)),
        format!(
            "params.a = \"={}1\"\n[[grid]]\nparams.i = 1",
            "1+".repeat(2_000)
        ),
        format!("{keys}[[grid]]\nparams.i = 1"),
        format!(
            "[[grid]]\nparams.i = 1\nlabel = \"{}\"",
            "x".repeat(3 << 20)
        ),
    ] {
        let wrong = control.submit(file("wrong", &rest)).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument, "{wrong}");
        assert!(wrong.message().len() <= ERROR_BYTES_MAX, "{wrong}");
    }
    let lists = "[".repeat(LEVELS_MAX) + &"]".repeat(LEVELS_MAX);
    for spec in [
        format!("{{\"trainer\":{{\"null\":true}},\"params\":{{\"a\":{lists}}}}}"),
        format!(
            "{{\"trainer\":{{\"null\":true}},\"params\":{{\"a\":\"{}\"}}}}",
            "x".repeat(1 << 20)
        ),
    ] {
        let cells = v1::CellList {
            name: "wrong".to_owned(),
            title: "Wrong".to_owned(),
            kind: v1::SweepKind::Training.into(),
            replicates: 1,
            specs: vec![spec],
            needs: None,
        };
        let request = v1::SubmitRequest {
            cells: Some(cells),
            ..v1::SubmitRequest::default()
        };
        let wrong = control.submit(request).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument, "{wrong}");
    }
    let links = |at| format!("params.a{at} = \"=params.a{}\"\n", at + 1);
    let chain = (0..2_500).map(links).collect::<String>();
    let chain = format!("{chain}params.a2500 = 7\n[[grid]]\nparams.i = 1");
    control.submit(file("chain", &chain)).await.unwrap();
    let jobs = jobs(&mut control, json!([])).await.unwrap();
    assert_eq!(jobs[0]["spec"]["params"]["a0"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_question_is_refused_in_short() {
    let (_dir, _server, mut control) = start().await;
    control
        .submit(file("x", "[[grid]]\nparams.i = 1"))
        .await
        .unwrap();
    let long = "x".repeat(8 << 20);
    for selector in [
        json!([long]),
        json!([format!("{long}=1")]),
        json!(["x", format!("params.i={long}")]),
    ] {
        let wrong = jobs(&mut control, selector).await.unwrap_err();
        assert_eq!(wrong.code(), Code::InvalidArgument);
        assert!(wrong.message().contains("at most 4096"), "{wrong}");
        assert!(wrong.message().len() < 200, "{wrong}");
    }
    let wrong = read(&mut control, json!(long)).await.unwrap_err();
    assert!(
        wrong.message().len() <= ERROR_BYTES_MAX + 3,
        "{}",
        wrong.message().len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_large_jobs_come_in_pages_by_their_size() {
    let (_dir, _server, mut control) = start().await;
    let grid = format!(
        "params.a = \"{}\"\n[[grid]]\nparams.i = {{ from = 1, to = 60, step = 1 }}",
        "x".repeat(900_000)
    );
    control.submit(file("large", &grid)).await.unwrap();
    let first = json!({"jobs": {"selector": [], "limit": null}});
    let first = read(&mut control, first).await.unwrap();
    let count = first["jobs"].as_array().unwrap().len();
    assert!((1..60).contains(&count), "{count}");
    assert!(!first["next"].is_null());
    assert_eq!(jobs(&mut control, json!([])).await.unwrap().len(), 60);
    let some = jobs(&mut control, json!(["params.i>30"])).await.unwrap();
    assert_eq!(some.len(), 30);
    for query in [json!({"status": {"selector": []}}), json!("sweeps")] {
        let document = read(&mut control, query).await.unwrap();
        assert!(document.to_string().len() < 10_000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_as_many_jobs_as_fit_into_an_answer() {
    let (_dir, server, mut control) = start().await;
    let grid = format!(
        "params.a = \"{}\"\n[[grid]]\nparams.i = {{ from = 1, to = 64, step = 1 }}",
        "x".repeat(1_000_000)
    );
    control.submit(file("large", &grid)).await.unwrap();
    let channel = Channel::from_shared(format!("http://{}", server.address())).unwrap();
    let mut dispatch = DispatchClient::new(channel.connect().await.unwrap());
    let hello = v1::HelloRequest {
        protocol: PROTOCOL_VERSION,
        worker: "w".to_owned(),
        slots: vec!["cpu".to_owned()],
        ..v1::HelloRequest::default()
    };
    let session = dispatch.hello(hello).await.unwrap().into_inner().session;
    let (mut done, mut rounds) = (Vec::new(), 0);
    loop {
        rounds += 1;
        let request = v1::ExchangeRequest {
            worker: "w".to_owned(),
            session,
            request: rounds,
            finishes: done.iter().map(measured).collect(),
            free: vec![v1::Free {
                device: "cpu".to_owned(),
                slots: 64,
                ahead: 0,
            }],
            ..v1::ExchangeRequest::default()
        };
        done = dispatch
            .exchange(request)
            .await
            .unwrap()
            .into_inner()
            .grants;
        if done.is_empty() {
            break;
        }
    }
    // More often than a job may be granted: what nobody heard of does not count.
    assert!(rounds > 20, "{rounds}");
    let sweeps = read(&mut control, json!("sweeps")).await.unwrap();
    assert_eq!(sweeps["sweeps"][0]["counts"]["succeeded"], 64);
}

fn measured(grant: &v1::Grant) -> v1::Finish {
    let outcome = v1::Measurement {
        train_seconds: 1.0,
        values: [("test_error".to_owned(), 1.0)].into(),
        ..v1::Measurement::default()
    };
    v1::Finish {
        held: grant.held.clone(),
        outcome: Some(v1::finish::Outcome::Measured(outcome)),
        provenance: None,
    }
}
