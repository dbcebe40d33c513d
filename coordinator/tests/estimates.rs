//! What the server knows about times: of similar trainings, of probes, and of
//! when sweeps will be finished.

use std::collections::HashMap;

use serde_json::{Value, json};
use swath_coordinator::database::Database;
use swath_coordinator::server::{CONNECTIONS_PER_ADDRESS, ServeSettings, Server};
use swath_model::message::{CellList, Sources};
use swath_model::needs::Needs;
use swath_model::policy::Policy;
use swath_model::probe::{self, Timing, workload};
use swath_model::spec::JobSpec;
use swath_model::view::SweepKind;
use swath_proto::convert::submit_request;
use swath_proto::v1::control_client::ControlClient;
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};
use tempfile::TempDir;
use tonic::transport::Channel;

const TRAININGS: &str = "\
[sweep]
name = \"trainings\"
replicates = 3

[fixed]
dataset.name = \"digits\"
model = { name = \"resnet_preact\", depth = 8 }
batch_size = 64
epochs = 2

[[grid]]
optimizer.lr = [0.1, 0.2]
";

struct Site {
    _dir: TempDir,
    server: Server,
    dispatch: DispatchClient<Channel>,
    control: ControlClient<Channel>,
    session: u64,
    requests: u64,
}

impl Site {
    /// A server with a worker of two slots.
    async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let server = Server::start(ServeSettings {
            identity: None,
            secured: false,
            advertise: None,
            connections_per_address: CONNECTIONS_PER_ADDRESS,
            listen: ([127, 0, 0, 1], 0).into(),
            database: Database::Sqlite(dir.path().join("swath.db")),
            policy: Policy::default(),
        });
        let server = server.await.unwrap();
        let url = format!("http://{}", server.address());
        let channel = Channel::from_shared(url).unwrap().connect().await.unwrap();
        let mut dispatch = DispatchClient::new(channel.clone());
        let hello = v1::HelloRequest {
            protocol: PROTOCOL_VERSION,
            worker: "w".to_owned(),
            slots: vec!["cpu".to_owned(); 2],
            devices: vec![v1::Device {
                device: "cpu".to_owned(),
                model: "Some CPU (cpu)".to_owned(),
                memory_bytes: 1 << 33,
            }],
            ..v1::HelloRequest::default()
        };
        let session = dispatch.hello(hello).await.unwrap().into_inner().session;
        Self {
            _dir: dir,
            server,
            dispatch,
            control: ControlClient::new(channel),
            session,
            requests: 0,
        }
    }

    async fn submit(&mut self, text: &str) {
        let request = v1::SubmitRequest {
            main: "s.toml".to_owned(),
            files: HashMap::from([("s.toml".to_owned(), text.to_owned())]),
            ..v1::SubmitRequest::default()
        };
        self.control.submit(request).await.unwrap();
    }

    /// Reports outcomes and takes jobs.
    async fn trade(&mut self, finishes: Vec<v1::Finish>, want: u32) -> Vec<v1::Grant> {
        self.requests += 1;
        let request = v1::ExchangeRequest {
            worker: "w".to_owned(),
            session: self.session,
            request: self.requests,
            finishes,
            free: vec![v1::Free {
                device: "cpu".to_owned(),
                slots: want,
                ahead: 0,
            }],
            ..v1::ExchangeRequest::default()
        };
        let reply = self.dispatch.exchange(request).await.unwrap();
        reply.into_inner().grants
    }

    async fn read(&mut self, query: Value) -> Value {
        let query = query.to_string();
        let reply = self.control.read(v1::ReadRequest { query }).await.unwrap();
        serde_json::from_str(&reply.into_inner().document).unwrap()
    }
}

fn measured(grant: &v1::Grant, train_seconds: f64, mut values: HashMap<String, f64>) -> v1::Finish {
    values.insert("test_error".to_owned(), 5.0);
    v1::Finish {
        held: grant.held.clone(),
        outcome: Some(v1::finish::Outcome::Measured(v1::Measurement {
            train_seconds,
            values,
            ..Default::default()
        })),
        provenance: Some(v1::Provenance {
            device: "Some CPU (cpu)".to_owned(),
            ..Default::default()
        }),
    }
}

#[tokio::test]
async fn an_eta_counts_what_waits_and_what_is_under_way() {
    let mut site = Site::start().await;
    site.submit(TRAININGS).await;
    let status = json!({"status": {"selector": []}});
    assert_eq!(site.read(status.clone()).await["eta_seconds"], json!({}));
    let grants = site.trade(vec![], 3).await;
    let finish = measured(&grants[0], 100.0, HashMap::new());
    site.trade(vec![finish], 0).await;
    let told = site.read(status).await;
    assert_eq!(told["mean_job_seconds"], 100.0);
    let digest = told["sweeps"][0]["digest"].as_str().unwrap();
    // Three jobs wait and two have just begun: five jobs for two slots.
    let eta = told["eta_seconds"][digest].as_f64().unwrap();
    assert!((240.0..=250.0).contains(&eta), "{told}");
    site.server.stop().await.unwrap();
}

#[tokio::test]
async fn trainings_and_probes_of_a_workload_are_found() {
    let mut site = Site::start().await;
    site.submit(TRAININGS).await;
    let grants = site.trade(vec![], 1).await;
    let spec = JobSpec::from_json(&grants[0].spec).unwrap();
    let finish = measured(&grants[0], 70.0, HashMap::new());
    let [probe] = probe::probes(&spec).try_into().unwrap();
    let probes = json!({"probes": {"jobs": [probe.job()]}});
    assert_eq!(site.read(probes.clone()).await["probes"], json!([null]));
    let list = CellList {
        name: "probe-x".to_owned(),
        title: "x".to_owned(),
        kind: SweepKind::Probe,
        replicates: 1,
        needs: Needs::default(),
        cells: vec![probe.spec.cell_tree().clone()],
    };
    let request = submit_request(Sources::Cells(list), None);
    site.control.submit(request).await.unwrap();
    // Everything else goes first, though it was submitted before.
    site.trade(vec![finish], 0).await;
    let grants = site.trade(vec![], 6).await;
    assert_eq!(grants.len(), 6);
    let last = JobSpec::from_json(&grants[5].spec).unwrap();
    assert!(last.is_probe());
    assert_eq!(last.job_digest(), probe.job());
    let timing = Timing {
        step_seconds: 0.5,
        memory_bytes: Some(1e6),
        ..Timing::default()
    };
    let metrics = timing.metrics();
    let metrics = metrics
        .iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    site.trade(vec![measured(&grants[5], 9.0, metrics)], 0)
        .await;
    let told = site.read(probes).await;
    let told = &told["probes"][0];
    assert_eq!(told["state"], "succeeded");
    assert_eq!(told["provenance"]["device"], "Some CPU (cpu)");
    assert_eq!(told["measurement"]["metrics"]["probe.step_seconds"], 0.5);
    let workloads = [workload(spec.cell_tree()), "none".to_owned()];
    let alike = site.read(json!({"alike": {"workloads": workloads}})).await;
    assert_eq!(alike["alike"][0].as_array().unwrap().len(), 1, "{alike}");
    assert_eq!(alike["alike"][0][0]["train_seconds"], 70.0);
    assert_eq!(alike["alike"][1], json!([]));
    site.server.stop().await.unwrap();
}
