//! Published values beside measured ones, sweeps beside each other, and the best
//! cell of one, through the real command.

mod support;

use std::collections::HashMap;

use serde_json::Value;
use support::{SMALL, Serving, Site, json};
use swath_proto::v1::dispatch_client::DispatchClient;
use swath_proto::{PROTOCOL_VERSION, v1};

/// Measures every queued job. `error` gets its parameters, and how many jobs with
/// the same parameters were measured before it.
async fn measure(url: &str, error: impl Fn(&Value, usize) -> f64) {
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
        free: vec![v1::Free {
            device: "cpu".to_owned(),
            slots: want,
            ahead: 0,
        }],
        finishes,
        ..v1::ExchangeRequest::default()
    };
    let granted = dispatch.exchange(exchange(1, 100, Vec::new())).await;
    let grants = granted.unwrap().into_inner().grants;
    let mut seen: HashMap<String, usize> = HashMap::new();
    let finishes = grants.iter().map(|grant| {
        let spec: Value = serde_json::from_str(&grant.spec).unwrap();
        let params = &spec["params"];
        let at = seen.entry(params.to_string()).or_default();
        *at += 1;
        v1::Finish {
            held: grant.held.clone(),
            outcome: Some(v1::finish::Outcome::Measured(v1::Measurement {
                train_seconds: 60.0,
                values: [("test_error".to_owned(), error(params, *at - 1))].into(),
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

const ERRORS: [[f64; 2]; 3] = [[8.1, 8.3], [9.0, 9.2], [5.0, 5.1]];

#[tokio::test(flavor = "multi_thread")]
async fn published_values_are_checked() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let run = |line: &str| site.run(&format!("--coordinator {} {line}", serving.url));
    site.write("some.toml", &with_reference("some"));
    let lines = "params.x,test_error,n,figure_error,minutes\n1,8.14,1,9.14,22\n2,7.9,3,,\n";
    site.write("some.csv", lines);
    site.write("all.toml", &with_reference("all"));
    // The last line fits no cell. It is reported, and does not prevent the
    // others.
    site.write(
        "all.csv",
        "params.x,test_error,n\n1,8.14,1\n2,9.0,1\n4,7,1\n",
    );
    for line in ["submit some.toml", "submit all.toml", "submit small.toml"] {
        let done = run(line);
        assert_eq!(done.code, 0, "{}", done.stderr);
        let stray = "warning: all.csv:4:1: `params.x`: no cell of the sweep has `4` with what \
                     stands before; the nearest is `3` of `1`, `2`, `3`";
        assert_eq!(
            done.stderr.contains(stray),
            line == "submit all.toml",
            "{}",
            done.stderr
        );
    }
    let planned = site.local("plan all.toml");
    assert!(
        planned.code == 0 && planned.stderr.contains("all.csv:4:1"),
        "{}",
        planned.stderr
    );
    let open = run("table some --check -q");
    assert_eq!(open.code, 3, "{}", open.stderr);
    assert!(
        open.stderr
            .contains("some: 0 reproduced, 0 not reproduced, 2 undecided"),
        "{}",
        open.stderr
    );

    let error = |params: &Value, at: usize| ERRORS[params["x"].as_u64().unwrap() as usize - 1][at];
    measure(&serving.url, error).await;
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

    x  test error (%)  published (%)  difference  verdict         train time  published time
    ─  ──────────────  ─────────────  ──────────  ──────────────  ──────────  ──────────────
    1           8.20        8.14 [a]       +0.06  reproduced        1 m 00 s            22 m
    2           9.10        7.90           +1.20  not reproduced    1 m 00 s
    3           5.05*                                               1 m 00 s

    *: the least of its column among cells with every run.
    [a] Published: 9.14 in the figure beside the table; either counts as reproduced.
    The median of an even number of runs is the mean of the two middle ones.
    Published values: 1 reproduced, 1 not reproduced, 0 undecided; reproduced where ours differs by no more than 1.96 standard errors of the difference of two medians (if runs scatter normally, 95 % of differences by chance alone are less), or the reference's own tolerance.
    The best cell (5.05 at x 3) has the greatest x that was tried; to look further, add a value above 3 to `params.x` in the sweep file and submit it again: what is measured stays.
    ");
    let all = run("table all --check");
    assert_eq!(all.code, 0, "{}", all.stderr);
    let told = "2 reproduced, 0 not reproduced, 0 undecided; 1 published value of no cell of this \
                sweep (line 4 of the reference)";
    assert!(all.stderr.contains(told), "{}", all.stderr);
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

/// A sweep over `params.x`, with five replicates of each cell.
fn sweep(name: &str, y: u32, values: &str) -> String {
    let file = SMALL.replace("small", name).replace("[1, 2, 3]", values);
    let file = file.replace("replicates = 2", "replicates = 5");
    file.replace("trainer.null", &format!("params.y = {y}\ntrainer.null"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_waited_for() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    for name in ["small", "other"] {
        let file = SMALL.replace("small", name).replace("[1, 2, 3]", "[1, 2]");
        site.write(&format!("{name}.toml"), &file);
    }
    let done = site.run(&format!("submit small.toml --coordinator {}", serving.url));
    assert_eq!(done.code, 0, "{}", done.stderr);
    measure(&serving.url, |_, _| 8.0).await;
    assert_eq!(serving.stop(), Some(0));

    // Nothing has to train a sweep that is finished, nor one whose jobs all are.
    for line in [
        "wait small",
        "submit small.toml --wait",
        "submit other.toml --wait",
    ] {
        let done = site.local(line);
        assert_eq!(done.code, 0, "{line}: {}", done.stderr);
        assert!(done.stdout.contains("8.00"), "{line}: {}", done.stdout);
    }
    let more = SMALL.replace("small", "more");
    site.write("more.toml", &more);
    let refused = site.local("submit more.toml --wait");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(
        refused.stderr.contains("nothing would train it")
            && refused.stderr.contains("`coordinator run more.toml "),
        "{}",
        refused.stderr
    );
    assert_eq!(site.local("status more").code, 3, "nothing is stored");
    assert_eq!(site.local("submit more.toml").code, 0);
    let refused = site.local("wait more");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(
        refused.stderr.contains("`coordinator run more "),
        "{}",
        refused.stderr
    );
    assert_eq!(site.local("cancel more").code, 0);
    let cancelled = site.local("wait more");
    assert_eq!(cancelled.code, 11, "{}", cancelled.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeps_are_compared_cell_by_cell() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let run = |line: &str| site.run(&format!("--coordinator {} {line}", serving.url));
    site.write("one.toml", &sweep("one", 0, "[1, 2, 3]"));
    site.write("two.toml", &sweep("two", 1, "[1, 2, 4]"));
    let other = SMALL
        .replace("small", "other")
        .replace("params.x", "params.z");
    site.write("other.toml", &other);
    for name in ["one", "two", "other"] {
        let done = run(&format!("submit {name}.toml"));
        assert_eq!(done.code, 0, "{}", done.stderr);
    }
    // With x = 1 the sweeps differ clearly, with x = 2 they overlap.
    measure(&serving.url, |params, at| {
        let (x, y) = (params["x"].as_f64(), params["y"].as_f64());
        let lift = if x == Some(1.0) { 1.0 } else { 0.05 };
        8.0 + x.unwrap_or(0.0) + lift * y.unwrap_or(0.0) + 0.1 * at as f64
    })
    .await;
    let compared = run("compare one two");
    assert_eq!((compared.code, compared.stderr.as_str()), (0, ""));
    insta::assert_snapshot!(compared.stdout, @r"
    two beside one
    2 pairs of one and two; differences are two less one.
    Best: one 9.20 at x 1, two 10.20 at x 1: two is more (p = 0.008, for cells picked as the best).

    x  one (%)  two (%)  difference      p  corrected p  outcome
    ─  ───────  ───────  ──────────  ─────  ───────────  ────────────────────────────
    1     9.20    10.20       +1.00  0.008        0.016  two is more
    2    10.20    10.25       +0.05  0.690        0.690  not distinguishable at n = 5

    p by the U test of Mann and Whitney, two-sided, exact for up to 50 replicates of both; corrected for 2 tests by Holm's method; a difference counts at a corrected p of at most 0.05.
    1 cell of one has no partner.
    1 cell of two has no partner.
    ");
    let document = json(&run("compare two one -o json").stdout);
    let rows = document["rows"].as_array().unwrap();
    assert_eq!(rows[0]["outcome"], "less");
    // Two of the 252 ways to divide ten values, corrected by a factor of two.
    assert!((rows[0]["p_corrected"].as_f64().unwrap() - 4.0 / 252.0).abs() < 1e-12);
    assert_eq!(rows[1]["outcome"], "not_distinguishable");
    assert_eq!(document["best"]["outcome"], "less");
    let lines = run("compare one two -o jsonl").stdout;
    assert_eq!(lines.lines().count(), 2);
    let ids = run("compare one two -o ids").stdout;
    assert_eq!(ids.lines().count(), 2);
    let csv = run("compare one two -o csv").stdout;
    let lines: Vec<&str> = csv.lines().collect();
    let heads = "left_cell,left_n,left_of,left_median,left_values,left_imported,right_cell,";
    assert!(lines[0].starts_with(&format!("params.x,{heads}")), "{csv}");
    let cells = ["left", "right"].map(|side| rows[0][side]["cell"].as_str().unwrap());
    assert!(cells.iter().all(|it| lines[1].contains(it)), "{csv}");
    let numbers = ",0.007936507936507936,0.015873015873015872,0.007936507936507936,true,more";
    assert!(lines[1].ends_with(numbers), "{csv}");
    for format in ["md", "latex", "html", "wide"] {
        let done = run(&format!("compare one two -o {format}"));
        assert!(
            done.stdout.contains("two is more"),
            "{format}: {}",
            done.stdout
        );
    }
    let same = run("compare one one -o csv").stdout;
    assert_eq!(same.matches(",same\r\n").count(), 3, "{same}");

    let apart = run("compare one other");
    assert_eq!(apart.code, 2);
    assert!(
        apart.stderr.contains("one and other share no axis"),
        "{}",
        apart.stderr
    );
    assert_eq!(run("compare one nobody").code, 3);
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_cell_is_told_with_its_ties_and_trained_again() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let run = |line: &str| site.run(&format!("{line} --coordinator {}", serving.url));
    assert_eq!(run("submit small.toml").code, 0);
    let none = run("best small");
    assert_eq!(none.code, 3, "{}", none.stdout);
    assert!(
        none.stderr
            .starts_with("error: no cell of small has every run: 3 of 3 cells have no result yet"),
        "{}",
        none.stderr
    );
    let values = [[8.1, 8.3], [5.0, 5.1], [5.0, 5.1]];
    measure(&serving.url, |params, at| {
        values[params["x"].as_u64().unwrap() as usize - 1][at]
    })
    .await;
    // The same name, with a cell that waits.
    site.write("small.toml", &SMALL.replace("[1, 2, 3]", "[1, 2, 3, 4]"));
    assert_eq!(run("submit small.toml").code, 0);
    let best = run("best small");
    assert_eq!(best.code, 0, "{}", best.stderr);
    let text = best.stdout.replace(&serving.url, "URL");
    insta::assert_snapshot!(text, @"
    the best of 4 cells of small: the least test error among cells with every run

    params.x  2
    median    5.05 % (n = 2), range 5.00 to 5.10, which holds the true median in 50 % of cases at n = 2
    cell      329bb1cfb363c787da7974f4582b3d8e7e24b8e614e22cf0b6db957d84db3ac2

    1 other cell ties with it: x 3 (1dcd455d6aa1)
    1 of 4 cells has no result yet
    to train it again: `coordinator best small -o best.toml --coordinator URL`, then `coordinator submit best.toml --coordinator URL`; jobs that are known are not trained twice, so raise `replicates` there
    ");
    let document = json(&run("best small -o json").stdout);
    assert_eq!(document["best"]["axes"]["params.x"], 2);
    assert_eq!(document["best"]["median"], 5.05);
    assert_eq!(document["best"]["range_coverage"], 0.5);
    assert_eq!(document["ties"][0]["axes"]["params.x"], 3);
    assert_eq!(document["unfit"]["waiting"], 1);
    assert_eq!(document["goal"], "minimize");
    let ids = run("best small -o ids").stdout;
    assert_eq!(ids.lines().count(), 2);
    // The file makes the same jobs, which are known.
    let wrote = run("best small -o best.toml");
    assert_eq!((wrote.code, &*wrote.stdout), (0, ""), "{}", wrote.stderr);
    for said in [
        "best.toml trains the best cell (5.05 at x 2)",
        "1 other cell ties with it: x 3",
        "1 of 4 cells has no result yet",
    ] {
        assert!(wrote.stderr.contains(said), "{said}: {}", wrote.stderr);
    }
    let plan = json(&run("plan best.toml -o json").stdout);
    assert_eq!(plan["cells"].as_array().unwrap().len(), 1);
    assert_eq!(plan["cells"][0]["cell"], document["best"]["cell"]);
    assert_eq!(plan["cells"][0]["spec"]["params"]["x"], 2);
    let known = plan["cells"][0]["jobs"].as_array().unwrap();
    assert!(known.iter().all(|job| job["known"] == true), "{plan}");
    // Filters choose among cells, and the direction says which is the best.
    let other = json(&run("best small params.x!=2 -o json").stdout);
    assert_eq!(other["best"]["axes"]["params.x"], 3);
    assert_eq!(other["ties"], serde_json::json!([]));
    let wrong = run("best small -o best.svg");
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("name it .toml"), "{}", wrong.stderr);
    assert_eq!(serving.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_cell_of_a_program_comes_with_its_command_and_direction() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let run = |line: &str| site.run(&format!("{line} --coordinator {}", serving.url));
    site.write(
        "acc.toml",
        "[sweep]\nname = \"acc\"\nreplicates = 1\nneeds = { memory = \"1MiB\" }\n[fixed]\n\
         trainer = { command = [\"my train\", \"-x\"], metric = \"test_error\", goal = \"maximize\" }\n\
         [[grid]]\nparams.x = [1, 2, 3]\n",
    );
    assert_eq!(run("submit acc.toml").code, 0);
    site.write(
        "acc.csv",
        "params.x,test_error,n\n1,0.5,1\n2,0.9,1\n3,0.7,1\n",
    );
    let imported = run("import acc.csv --sweep acc");
    assert_eq!(imported.code, 0, "{}", imported.stderr);
    let document = json(&run("best acc -o json").stdout);
    assert_eq!(document["best"]["axes"]["params.x"], 2);
    assert_eq!(document["command"], "'my train' -x");
    let told = run("best acc").stdout;
    assert!(told.contains("the greatest test error"), "{told}");
    assert!(
        told.contains("imported, not trained here: acc.csv"),
        "{told}"
    );
    assert_eq!(run("best acc -o best.toml").code, 0);
    let text = std::fs::read_to_string(site.path().join("best.toml")).unwrap();
    for said in [
        "goal = \"maximize\"",
        "memory = \"1048576B\"",
        "# the best of 3 cells of acc",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert_eq!(run("submit best.toml").code, 0);
    assert_eq!(serving.stop(), Some(0));
}
