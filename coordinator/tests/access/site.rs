//! A coordinator with an identity, and callers of every kind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use swath_coordinator::api::{ChangeOrder, CreateToken};
use swath_coordinator::database::Database;
use swath_coordinator::identity::{AUDIT, Identity};
use swath_coordinator::server::{
    AuditLine, CONNECTIONS_PER_ADDRESS, ServeSettings, Server, read_audit,
};
use swath_model::access::{Role, TokenText};
use swath_model::policy::Policy;
use swath_proto::address::endpoint;
use swath_proto::secure::{Caller, Certificate, Line};
use swath_proto::v1::admission_client::AdmissionClient;
use swath_proto::v1::control_client::ControlClient;
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};
use tempfile::TempDir;
use tonic::Status;

/// How long anything here may take.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A secured coordinator.
pub(crate) struct Site {
    pub dir: TempDir,
    pub server: Server,
    /// The token of its first admin.
    pub admin: TokenText,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let dir = TempDir::new().unwrap();
        Identity::create(&dir.path().join("identity"), &[]).unwrap();
        // On loopback nobody needs a token, so that the first one can be made.
        let open = Server::start(settings(&dir, false)).await.unwrap();
        let endpoint = endpoint(&format!("http://{}", open.address())).unwrap();
        let control = ControlClient::new(Caller::default().line_lazy(&endpoint));
        let admin = create(control, Role::Admin, "root", None).await.unwrap();
        open.stop().await.unwrap();
        let server = Server::start(settings(&dir, true)).await.unwrap();
        Self { dir, server, admin }
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.dir.path().join("identity")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub(crate) fn line(&self, caller: &Caller) -> Line {
        let endpoint = endpoint(&format!("https://{}", self.address())).unwrap();
        caller.line_lazy(&endpoint)
    }

    pub(crate) fn control(&self, token: &TokenText) -> ControlClient<Line> {
        ControlClient::new(self.line(&Caller::with_token(token)))
    }

    pub(crate) async fn token(&self, role: Role, name: &str) -> TokenText {
        let uses = (role == Role::Worker).then_some(1);
        create(self.control(&self.admin), role, name, uses)
            .await
            .unwrap()
    }

    /// Lets a worker in, and returns how it is known from then on.
    pub(crate) async fn worker(&self, name: &str) -> Caller {
        let token = self.token(Role::Worker, "").await;
        let line = self.line(&Caller::with_token(&token));
        enrol(line, name).await.unwrap().0
    }

    pub(crate) async fn change(
        &self,
        token: &TokenText,
        order: &ChangeOrder,
    ) -> Result<Value, Status> {
        change(self.control(token), order).await
    }

    /// What was noted of who asked and was refused; nothing of it is wrong.
    pub(crate) fn audit(&self) -> Vec<AuditLine> {
        let verdict = read_audit(&self.identity().join(AUDIT)).unwrap();
        assert!(verdict.wrong.is_empty(), "{:?}", verdict.wrong);
        verdict.lines
    }
}

fn settings(dir: &TempDir, secured: bool) -> ServeSettings {
    ServeSettings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        identity: Some(dir.path().join("identity")),
        connections_per_address: CONNECTIONS_PER_ADDRESS,
        secured,
        advertise: None,
        database: Database::Sqlite(dir.path().join("swath.db")),
        policy: Policy::default(),
    }
}

async fn create(
    control: ControlClient<Line>,
    role: Role,
    name: &str,
    uses: Option<u32>,
) -> Result<TokenText, Status> {
    let order = ChangeOrder::CreateToken(CreateToken {
        role,
        name: name.to_owned(),
        life_ms: Some(3_600_000),
        uses,
    });
    let made = change(control, &order).await?;
    Ok(made["token"].as_str().unwrap().parse().unwrap())
}

async fn change(mut control: ControlClient<Line>, order: &ChangeOrder) -> Result<Value, Status> {
    let order = serde_json::to_string(order).unwrap();
    let reply = control.change(v1::ChangeRequest { order }).await?;
    Ok(serde_json::from_str(&reply.into_inner().document).unwrap())
}

/// Has a new key signed for a worker; returns who shows the certificate, and its
/// chain and key.
pub(crate) async fn enrol(
    line: Line,
    worker: &str,
) -> Result<(Caller, Vec<Vec<u8>>, Vec<u8>), Status> {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key);
    let request = v1::EnrolRequest {
        worker: worker.to_owned(),
        request: request.unwrap().der().to_vec(),
    };
    let reply = AdmissionClient::new(line).enrol(request).await?;
    let chain = reply.into_inner().chain;
    let key = key.serialized_der().to_vec();
    let authority = swath_proto::secure::fingerprint(chain.last().unwrap());
    let certificate = Certificate::default();
    certificate.show(chain.clone(), key.clone()).unwrap();
    let caller = Caller::with_certificate(authority, certificate);
    Ok((caller, chain, key))
}

/// A worker's session.
pub(crate) struct Session {
    pub dispatch: DispatchClient<Line>,
    pub worker: String,
    pub(crate) id: u64,
    pub request: u64,
}

impl Session {
    pub(crate) async fn begin(line: Line, worker: &str) -> Result<Self, Status> {
        let mut dispatch = DispatchClient::new(line);
        let hello = v1::HelloRequest {
            protocol: PROTOCOL_VERSION,
            worker: worker.to_owned(),
            slots: vec!["cpu".to_owned(); 4],
            ..v1::HelloRequest::default()
        };
        let id = dispatch.hello(hello).await?.into_inner().session;
        Ok(Self {
            dispatch,
            worker: worker.to_owned(),
            id,
            request: 0,
        })
    }

    /// Reports outcomes, and takes so many jobs.
    pub(crate) async fn trade(
        &mut self,
        finishes: Vec<v1::Finish>,
        slots: u32,
    ) -> v1::ExchangeReply {
        self.request += 1;
        let free = v1::Free {
            device: "cpu".to_owned(),
            slots,
            ahead: 0,
        };
        let exchange = v1::ExchangeRequest {
            worker: self.worker.clone(),
            session: self.id,
            request: self.request,
            finishes,
            free: vec![free],
            wait_ms: 0,
        };
        let reply = self.dispatch.exchange(exchange).await.unwrap();
        reply.into_inner()
    }

    pub(crate) async fn beat(&mut self, held: Vec<v1::Held>) -> Vec<i32> {
        let beat = v1::HeartbeatRequest {
            worker: self.worker.clone(),
            session: self.id,
            held,
        };
        let reply = self.dispatch.heartbeat(beat).await.unwrap();
        reply.into_inner().verdicts
    }
}

/// A sweep of so many jobs that nobody has to train.
pub(crate) fn null_sweep(name: &str, jobs: u32) -> v1::SubmitRequest {
    let values: Vec<_> = (0..jobs).collect();
    let text = format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 1\n[fixed]\ntrainer = {{ null = true }}\n\
         \"params.sweep\" = \"{name}\"\n[[grid]]\n\"params.x\" = {values:?}\n"
    );
    let main = format!("{name}.toml");
    v1::SubmitRequest {
        main: main.clone(),
        files: [(main, text)].into(),
        ..v1::SubmitRequest::default()
    }
}

pub(crate) fn measured(held: v1::Held, test_error: f64) -> v1::Finish {
    let outcome = v1::Measurement {
        train_seconds: 1.0,
        values: [("test_error".to_owned(), test_error)].into(),
        ..v1::Measurement::default()
    };
    v1::Finish {
        held: Some(held),
        outcome: Some(v1::finish::Outcome::Measured(outcome)),
        provenance: None,
    }
}
