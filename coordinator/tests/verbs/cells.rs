//! Sweeps that are submitted as cells, as a shell sees them afterwards.

use serde_json::{Value, json};
use swath_model::message::{CellList, Sources};
use swath_model::needs::Needs;
use swath_model::view::SweepKind;
use swath_proto::convert::submit_request;
use swath_proto::v1::SubmitReply;
use swath_proto::v1::control_client::ControlClient;
use tonic::{Code, Status};

use super::import::RUNS;
use crate::support::{self, Serving, Site};

fn cell(x: u32) -> Value {
    json!({"trainer": {"null": true}, "params": {"x": x}})
}

/// The cells of `small.toml`.
fn small() -> CellList {
    CellList {
        name: "small".to_owned(),
        title: "small".to_owned(),
        kind: SweepKind::Training,
        replicates: 2,
        needs: Needs::default(),
        cells: vec![cell(1), cell(2), cell(3)],
    }
}

async fn submit(serving: &Serving, list: CellList) -> Result<SubmitReply, Status> {
    let mut control = ControlClient::connect(serving.url.clone()).await.unwrap();
    let request = submit_request(Sources::Cells(list), None);
    control
        .submit(request)
        .await
        .map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn cells_make_a_sweep_like_any_other() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let first = submit(&serving, small()).await.unwrap();
    assert!(!first.existed);
    assert_eq!((first.cells, first.jobs, first.new_jobs), (3, 6, 6));
    // The same cells are the same sweep, and so is a file that says the same.
    let again = submit(&serving, small()).await.unwrap();
    assert!(again.existed);
    assert_eq!((again.jobs, again.new_jobs), (6, 0));
    assert_eq!(again.sweep, first.sweep);
    let remote = |line: &str| site.run(&format!("{line} --coordinator {}", serving.url));
    let file = support::json(&remote("submit small.toml -o json").stdout);
    assert_eq!(file["existed"], true, "{file}");

    // What is built from the cells again, later and by others.
    site.write("runs.csv", RUNS);
    let imported = remote("import runs.csv --sweep small");
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let extended = remote("extend small --replicates 4");
    assert_eq!(extended.code, 0, "{}", extended.stderr);
    assert!(
        extended.stderr.contains("12 jobs, 6 of them new"),
        "{}",
        extended.stderr
    );
    let sweeps = support::json(&remote("sweeps -o json").stdout);
    assert_eq!(sweeps["sweeps"].as_array().unwrap().len(), 2, "{sweeps}");
    let locked = remote("export small --lock small.lock");
    assert_eq!(locked.code, 0, "{}", locked.stderr);
    let text = std::fs::read_to_string(site.path().join("small.lock")).unwrap();
    let lock = support::json(&text);
    assert_eq!(lock["sources"]["replicates"], 4);
    assert_eq!(lock["sources"]["cells"][2], cell(3));
    let here = remote("table small -o json");
    let there = site.run("table --lock small.lock -o json");
    assert_eq!(there.code, 0, "{}", there.stderr);
    assert_eq!(there.stdout, here.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_cells_store_nothing_and_are_named() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let mut list = small();
    list.cells[1]["params"] = json!(3);
    list.cells[2]["seed"] = json!(3);
    let refused = submit(&serving, list).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let message = refused.message();
    assert!(message.starts_with("cell 2: `params`: "), "{message}");
    assert!(message.contains("\ncell 3: `seed`: "), "{message}");
    let sweeps = site.run(&format!("sweeps -o json --coordinator {}", serving.url));
    assert_eq!(support::json(&sweeps.stdout)["sweeps"], json!([]));
}
