//! What TLS and tokens cost: null jobs and heartbeats, with them and without.

use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use swath_e2e::{Process, Site, SweepText, wait_until};
use swath_proto::address::endpoint;
use swath_proto::limits::CONNECT_DEADLINE;
use swath_proto::secure::{Caller, Certificate, fingerprint, read_token};
use swath_proto::v1::EnrolRequest;
use swath_proto::v1::admission_client::AdmissionClient;

use crate::queue::rate;
use crate::text::{Checked, Figure, progress, quantile};

/// Jobs of one course.
const CELLS: u32 = 2_000;
const REPLICATES: u32 = 5;
/// Courses of each kind, by turns.
const ROUNDS: usize = 5;
const WORKERS: u32 = 2;
const SLOTS: u32 = 8;
/// The share of the rate without TLS that there must be with it.
const GOAL: f64 = 0.9;

/// Null jobs per second in both ways, by turns.
pub(crate) fn measure() -> Vec<Figure> {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        for (secured, rates) in [false, true].into_iter().zip(&mut rates) {
            let how = if secured { "over TLS" } else { "in the open" };
            let jobs = CELLS * REPLICATES;
            progress(&format!(
                "{jobs} null jobs {how}, {} of {ROUNDS}",
                round + 1
            ));
            rates.push(course(secured));
        }
    }
    let [open, secured] = rates.map(|mut rates| quantile(&mut rates, 0.5));
    let what = format!("null jobs per second, {WORKERS} × {SLOTS} slots, median of {ROUNDS}");
    vec![
        Figure::plain(format!("{what}, in the open"), format!("{open:.0}/s")),
        Figure::plain(format!("{what}, over TLS"), format!("{secured:.0}/s")),
        Figure::at_least(
            "over TLS : in the open".to_owned(),
            secured / open,
            GOAL,
            "",
        ),
    ]
}

fn course(secured: bool) -> f64 {
    let mut site = if secured {
        Site::secured()
    } else {
        Site::new()
    };
    site.write("policy.toml", "");
    let _coordinator = site.serve();
    let sweep = SweepText::null_grid("nothing", 0, CELLS).replicates(REPLICATES);
    site.write("nothing.toml", &sweep.to_string());
    site.ok(&["submit", "nothing.toml"]);
    let start = |index| site.worker(&format!("bench-{index}"), SLOTS, &[]);
    let _workers: Vec<Process> = (0..WORKERS).map(start).collect();
    let all = u64::from(CELLS * REPLICATES);
    wait_until("every null job is done", Duration::from_mins(5), || {
        (site.count("nothing", "succeeded") == all).then_some(())
    });
    rate(&site.json(&["jobs", "nothing"]))
}

/// Lets a worker of this name in.
pub(crate) async fn caller(site: &Site, worker: &str) -> Checked<Caller> {
    let failed = |error: &dyn std::fmt::Display| format!("enrol: {error}");
    let token = read_token(&site.path().join("worker.token")).map_err(|error| failed(&error))?;
    let endpoint = endpoint(site.url()).map_err(|error| failed(&error))?;
    let endpoint = endpoint.connect_timeout(CONNECT_DEADLINE);
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let request = CertificateParams::default().serialize_request(&key);
    let request = EnrolRequest {
        worker: worker.to_owned(),
        request: request.map_err(|error| failed(&error))?.der().to_vec(),
    };
    let line = Caller::with_token(&token).line_lazy(&endpoint);
    let reply = AdmissionClient::new(line).enrol(request).await;
    let chain = reply.map_err(|error| failed(&error))?.into_inner().chain;
    let authority = fingerprint(chain.last().ok_or("enrol: no certificate")?);
    let certificate = Certificate::default();
    let shown = certificate.show(chain, key.serialized_der().to_vec());
    shown.map_err(|error| failed(&error))?;
    Ok(Caller::with_certificate(authority, certificate))
}
