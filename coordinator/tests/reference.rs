//! Published values beside measured ones, and sweeps beside each other, through
//! the real command.

mod support;

use std::collections::HashMap;

use serde_json::Value;
use support::{SMALL, Serving, Site, json};
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};

/// Measures every queued job: the errors of the cell with this `params.x`, in
/// the order of the replicates.
async fn measure(url: &str, errors: &HashMap<u64, Vec<f64>>) {
    let mut dispatch = DispatchClient::connect(url.to_owned()).await.unwrap();
    let hello = v1::HelloRequest {
        protocol: PROTOCOL_VERSION,
        worker: "w".to_owned(),
        slots: vec!["cpu".to_owned()],
        ..v1::HelloRequest::default()
    };
    let session = dispatch.hello(hello).await.unwrap().into_inner().session;
    let exchange = |request, want, finishes| v1::ExchangeRequest {
        worker: "w".to_owned(),
        session,
        request,
        want,
        finishes,
        ..v1::ExchangeRequest::default()
    };
    let granted = dispatch.exchange(exchange(1, 100, Vec::new())).await;
    let grants = granted.unwrap().into_inner().grants;
    let mut seen: HashMap<u64, usize> = HashMap::new();
    let finishes = grants.iter().map(|grant| {
        let spec: Value = serde_json::from_str(&grant.spec).unwrap();
        let x = spec["params"]["x"].as_u64().unwrap();
        let at = seen.entry(x).or_default();
        *at += 1;
        v1::Finish {
            held: grant.held.clone(),
            outcome: Some(v1::finish::Outcome::Measured(v1::Measurement {
                test_error: errors[&x][*at - 1],
                train_seconds: 60.0,
                ..Default::default()
            })),
            provenance: None,
        }
    });
    let finishes: Vec<v1::Finish> = finishes.collect();
    let told = finishes.len();
    let acks = dispatch.exchange(exchange(2, 0, finishes)).await.unwrap();
    let recorded = vec![i32::from(v1::Ack::Recorded); told];
    assert_eq!(acks.into_inner().acks, recorded);
}

fn with_reference(name: &str) -> String {
    let named = SMALL.replace("small", name);
    format!("{named}\n[reference]\nfile = \"{name}.csv\"\n")
}

const ERRORS: [(u64, [f64; 2]); 3] = [(1, [8.1, 8.3]), (2, [9.0, 9.2]), (3, [5.0, 5.1])];

fn errors() -> HashMap<u64, Vec<f64>> {
    ERRORS
        .iter()
        .map(|(x, errors)| (*x, errors.to_vec()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn published_values_are_checked() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let run = |line: &str| site.run(&format!("--coordinator {} {line}", serving.url));
    site.write("some.toml", &with_reference("some"));
    let lines = "params.x,test_error,n,figure_error,minutes\n1,8.14,1,9.14,22\n2,7.9,3,,\n";
    site.write("some.csv", lines);
    site.write("all.toml", &with_reference("all"));
    site.write("all.csv", "params.x,test_error,n\n1,8.14,1\n2,9.0,1\n");
    for line in ["submit some.toml", "submit all.toml", "submit small.toml"] {
        let done = run(line);
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    let open = run("table some --check -q");
    assert_eq!(open.code, 3, "{}", open.stderr);
    assert!(
        open.stderr
            .contains("some: 0 reproduced, 0 not reproduced, 2 undecided"),
        "{}",
        open.stderr
    );

    measure(&serving.url, &errors()).await;
    let checked = run("table some --check -o csv");
    assert_eq!(checked.code, 10, "{}", checked.stderr);
    assert_eq!(
        checked.stderr,
        "some: 1 reproduced, 1 not reproduced, 0 undecided\n"
    );
    let records: Vec<&str> = checked.stdout.lines().collect();
    assert!(
        records[0].ends_with(
            ",published,published_figure,published_n,published_minutes,difference,verdict"
        ),
        "{records:?}"
    );
    assert!(
        records[1].contains(",8.14,9.14,1,22,0.05999999999999872,reproduced"),
        "{records:?}"
    );
    assert!(
        records[2].contains(",7.9,,3,,1.1999999999999993,not_reproduced"),
        "{records:?}"
    );
    assert!(records[3].ends_with(",,,,,,"), "{records:?}");
    let table = run("table some");
    insta::assert_snapshot!(table.stdout, @r"
    some
    Test error in %: median of 2 runs, each at its last epoch.

    x  test error (%)  published (%)           difference  verdict         train time  published time
    ─  ──────────────  ──────────────────────  ──────────  ──────────────  ──────────  ──────────────
    1           8.20   8.14 (figure 9.14) [a]       +0.06  reproduced        1 m 00 s       22 m 00 s
    2           9.10   7.90                         +1.20  not reproduced    1 m 00 s
    3           5.05*                                                        1 m 00 s

    *: the least of its column among cells with every run.
    [a] The published table and figure disagree: the figure's value is in brackets, and either counts as reproduced.
    The median of an even number of runs is the mean of the two middle ones.
    Published values: 1 reproduced, 1 not reproduced, 0 undecided; reproduced where ours differs by no more than the noise of both sides (95 %), or the reference's own tolerance.
    The best cell (5.05 at x 3) has the greatest x that was tried; to look further, add a value above 3 to `params.x` in the sweep file and submit it again: what is measured stays.
    ");
    let all = run("table all --check");
    assert_eq!(all.code, 0, "{}", all.stderr);
    let document = json(&run("table all -o json").stdout);
    assert_eq!(document["rows"][1]["verdict"], "reproduced");
    assert_eq!(document["rows"][1]["reference"][0]["test_error"], 9.0);

    let none = run("table small --check");
    assert_eq!(none.code, 2);
    assert!(
        none.stderr.contains("error: small has no published values"),
        "{}",
        none.stderr
    );
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn a_wrong_reference_is_named_with_its_place() {
    let site = Site::new();
    site.write("some.toml", &with_reference("some"));
    site.write("some.csv", "params.x,test_error,n\n1,8.1,3\n2,high,0\n");
    for verb in ["plan", "submit"] {
        let done = site.local(&format!("{verb} some.toml"));
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{verb}");
        assert!(
            done.stderr
                .starts_with("error: some.csv:3:3: `test_error`: must be a number, not `high`"),
            "{}",
            done.stderr
        );
    }
}
