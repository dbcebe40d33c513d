//! Results decide how many replicates the cells of a sweep get, through real
//! coordinators, workers and programs.

use std::time::Duration;

use serde_json::Value;
use swath_e2e::{Site, SweepText, rows, wait_until};

const PATIENCE: Duration = Duration::from_mins(1);

/// A program whose error is a function of cell and seed: the cells 1 and 2 are
/// close together, 30 is far away. It waits for a file.
const PROGRAM: &str = "\
read -r spec
seed=${spec##*\\\"seed\\\":}
seed=${seed%%[,\\}]*}
x=${spec##*\\\"x\\\":}
x=${x%%[,\\}]*}
error=$((x / 10 * 20000 + x * 100 + seed % 1000))
echo '{\"event\":\"started\"}'
touch started
while [ ! -e go ]; do sleep 0.02; done
echo \"{\\\"event\\\":\\\"finished\\\",\\\"test_error\\\":$error,\\\"train_seconds\\\":1}\"
";

/// A site with the sweep `close` in a file.
fn site() -> Site {
    let site = Site::new();
    let script = site.write("program.sh", PROGRAM);
    let text = SweepText::command("close", &["sh", &script.display().to_string()], 0)
        .grid("\"params.x\" = [1, 2, 30]\n")
        .to_string();
    let adaptive = "replicates = { min = 3, max = 8, until = \"ranked\" }";
    // The cells must be the same wherever the site is.
    let text = text.replace(&script.display().to_string(), "program.sh");
    site.write("close.toml", &text.replace("replicates = 1", adaptive));
    site
}

/// The decisions, without their times.
fn decisions(site: &Site) -> Vec<Value> {
    let mut document = site.json(&["decisions", "close"]);
    let rows = document["decisions"].as_array_mut().expect("rows");
    for row in &mut *rows {
        row.as_object_mut().expect("an object").remove("at");
    }
    std::mem::take(rows)
}

fn counts(table: &Value) -> Vec<u64> {
    let rows = table["rows"].as_array().expect("rows");
    rows.iter().map(|row| row["n"].as_u64().unwrap()).collect()
}

#[test]
fn close_cells_get_more_seeds_than_a_far_one() {
    let mut served = site();
    let mut coordinator = served.serve();
    let _worker = served.worker("w", 2, &["sh"]);
    let submitted = served.json(&["submit", "close.toml"]);
    assert_eq!(
        (&submitted["jobs"], &submitted["most_jobs"]),
        (&9.into(), &24.into())
    );
    wait_until("a program has started", PATIENCE, || {
        served.path().join("started").exists().then_some(())
    });
    // Outcomes reach a coordinator that was away when they came.
    coordinator.kill();
    served.write("go", "");
    let _coordinator = served.serve();
    let output = served.run(&["submit", "close.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("(n = 8)"), "{}", output.stdout);

    let table = served.json(&["table", "close"]);
    let n = counts(&table);
    assert!(n[0] == 8 && n[1] == 8 && n[2] < 8, "{table}");
    let status = served.json(&["status", "close"]);
    let sweep = &status["sweeps"][0];
    assert_eq!(sweep["state"], "finished", "{sweep}");
    let seeds = n.iter().sum::<u64>() - 9;
    assert_eq!(sweep["replication"]["seeds"], seeds);
    assert_eq!(sweep["replication"]["settled"]["undecided"], 1);
    let decided = decisions(&served);
    assert_eq!(decided.len() as u64, seeds + 1, "{decided:?}");
    assert_eq!(decided.last().unwrap()["undecided"], "max");
    assert!(decided[0]["pair"]["p"].as_f64() > decided[0]["pair"]["level"].as_f64());
    let text = served.ok(&["decisions", "close"]);
    assert!(text.contains("replicate 4 of x 1"), "{text}");
    let status = served.ok(&["status", "close"]);
    assert!(
        status.contains("settled with 1 of 2 pairs undecided"),
        "{status}"
    );

    // The lock file contains the counts that the table shows.
    served.ok(&["export", "close", "--lock", "close.lock"]);
    for format in ["table", "md", "latex", "json"] {
        let drawn = served.ok(&["table", "close", "-o", format]);
        let again = served.ok(&["table", "--lock", "close.lock", "-o", format]);
        assert_eq!(drawn, again, "{format}");
    }

    // Elsewhere, and without a server, the decisions are the same.
    let alone = site();
    alone.write("go", "");
    let output = alone.run(&["run", "close.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(rows(&alone.json(&["table", "close"])), rows(&table));
    assert_eq!(decisions(&alone), decided);
    // There is nothing more to train.
    let again = alone.run(&["run", "close.toml"]);
    assert_eq!(again.stdout, output.stdout);
}

#[test]
fn extending_raises_the_most_and_keeps_what_is_trained() {
    let site = site();
    site.write("go", "");
    site.ok(&["run", "close.toml"]);
    let before = site.json(&["table", "close"]);
    let few = site.run(&["extend", "close", "--replicates", "8"]);
    assert_eq!(few.code, Some(2), "{}", few.stderr);
    assert!(few.stderr.contains("up to 8"), "{}", few.stderr);
    let output = site.run(&["extend", "close", "--replicates", "9", "--run"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let after = site.json(&["table", "close"]);
    assert_eq!(counts(&after)[..2], [9, 9], "{after}");
    let values =
        |table: &Value, row: usize| table["rows"][row]["values"].as_array().unwrap().clone();
    assert_eq!(values(&before, 0)[..], values(&after, 0)[..8]);
}

#[test]
fn a_paused_sweep_decides_nothing_until_it_goes_on() {
    let mut site = site();
    let _coordinator = site.serve();
    let _worker = site.worker("w", 2, &["sh"]);
    site.ok(&["submit", "close.toml"]);
    wait_until("a program has started", PATIENCE, || {
        site.path().join("started").exists().then_some(())
    });
    site.ok(&["pause", "close"]);
    site.write("go", "");
    wait_until("what trained has ended", PATIENCE, || {
        (site.count("close", "leased") == 0).then_some(())
    });
    assert_eq!(
        site.json(&["sweeps"])["sweeps"][0]["replication"]["rounds"],
        0
    );
    site.ok(&["resume", "close"]);
    let output = site.run(&["submit", "close.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(counts(&site.json(&["table", "close"]))[0] > 3);
}

#[test]
fn the_shipped_example_trains_close_cells_more_often() {
    let site = Site::new();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/python");
    for name in ["train.py", "ranked.toml"] {
        let text = std::fs::read_to_string(format!("{examples}/{name}")).unwrap();
        site.write(name, &text);
    }
    let output = site.run(&["run", "ranked.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let n = counts(&site.json(&["table", "python_ranked"]));
    assert!(n[2] < n[0] && n[2] < n[1], "{n:?}");
}
