//! Plans that measure what they estimate.

use serde_json::Value;
use swath_e2e::{Site, SweepText};

/// The estimates of a plan for its cells, in order.
fn estimates(plan: &Value) -> Vec<&Value> {
    let cells = plan["cells"].as_array().unwrap();
    cells.iter().map(|cell| &cell["estimate"]).collect()
}

fn seconds(estimate: &Value) -> f64 {
    estimate["job_seconds"].as_f64().unwrap()
}

#[test]
fn a_plan_measures_steps_once_and_prices_by_them() {
    let site = Site::new();
    let text = SweepText::digits("digits").to_string();
    site.write("digits.toml", &text);
    let before = site.json(&["plan", "digits.toml"]);
    assert_eq!(before["cells"][0]["estimate"], Value::Null);
    assert_eq!(before["totals"]["price"], Value::Null);

    let output = site.run(&["plan", "digits.toml", "--probe", "-o", "json"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("measuring 2 probes of 20 steps"),
        "{}",
        output.stderr
    );
    let plan: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(estimates(&plan).len(), 2);
    for estimate in estimates(&plan) {
        assert_eq!(estimate["from"], "probe");
        assert!(seconds(estimate) > 0.0, "{estimate}");
        assert!(estimate["device"].as_str().unwrap().ends_with("(cpu)"));
        // libtorch itself takes more than that.
        assert!(
            estimate["memory_bytes"].as_f64().unwrap() > 1e7,
            "{estimate}"
        );
        assert_eq!(estimate["fits"], true, "{estimate}");
    }
    let price = &plan["totals"]["price"];
    assert_eq!(price["jobs_by_probes"], 4);
    let sum: f64 = estimates(&plan).iter().map(|it| 2.0 * seconds(it)).sum();
    let total = price["device_seconds"].as_f64().unwrap();
    assert!((total / sum - 1.0).abs() < 1e-9, "{total} {sum}");

    // Measurements are used again, for every length and rate.
    let again = site.run(&["plan", "digits.toml", "--probe", "-o", "json"]);
    assert!(
        again.stderr.contains("all measured before"),
        "{}",
        again.stderr
    );
    assert_eq!(again.stdout, output.stdout);
    let longer = text.replace("epochs = 2", "epochs = 20");
    site.write(
        "longer.toml",
        &longer.replace("name = \"digits\"\nrep", "name = \"longer\"\nrep"),
    );
    let longer = site.json(&["plan", "longer.toml"]);
    for (short, long) in estimates(&plan).iter().zip(estimates(&longer)) {
        let factor = seconds(long) / seconds(short);
        assert!((factor - 10.0).abs() < 1e-9, "{short} {long}");
    }
    assert_eq!(site.json(&["jobs"])["jobs"].as_array().unwrap().len(), 2);

    // The probing sweep is not listed among the user's sweeps.
    let listed = site.ok(&["sweeps"]);
    assert!(!listed.contains("probe"), "{listed}");
    let sweeps = site.json(&["sweeps"]);
    assert_eq!(sweeps["sweeps"][0]["name"], "probe-digits");
    assert_eq!(sweeps["sweeps"][0]["kind"], "probe");
    assert_eq!(site.run(&["table", "last"]).code, Some(3));
    let status = site.ok(&["status"]);
    assert!(!status.contains("probe-digits"), "{status}");

    // Trainings give better estimates, and probes do not count as trainings.
    let trained = site.run(&["run", "digits.toml"]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    let longer = site.json(&["plan", "longer.toml"]);
    for estimate in estimates(&longer) {
        assert_eq!(estimate["from"], "jobs");
        assert!(seconds(estimate) > 0.0, "{estimate}");
    }
    let table = site.json(&["table", "last"]);
    assert_eq!(table["rows"].as_array().unwrap().len(), 2);
    let mixed = text
        .replace("epochs = 2", "steps = 20")
        .replace("[[grid]]\n", "[[grid]]\nprobe = [true, false]\n");
    site.write("mixed.toml", &mixed);
    let refused = site.run(&["submit", "mixed.toml"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("need a sweep each"),
        "{}",
        refused.stderr
    );
}

/// A program that runs out of memory at a width of 3, and reports made-up times
/// for others.
const PROGRAM: &str = r#"
case "$(cat)" in
*'"width":3},"probe":true,"seed"'*)
  echo '{"event":"failed","fault":"out_of_memory","message":"no room"}'
  exit 12 ;;
*'"probe":true,"seed"'*)
  echo '{"event":"finished","test_error":0,"train_seconds":1,"metrics":{"probe.step_seconds":0.5,"probe.evaluation_seconds":2,"probe.steps_per_epoch":10,"probe.memory_bytes":1000000}}' ;;
*)
  echo '{"event":"finished","test_error":5,"train_seconds":70}' ;;
esac
"#;

const WIDTHS: &str = "\
[sweep]
name = \"widths\"
replicates = 2

[fixed]
epochs = 7

[fixed.trainer]
command = [\"sh\", \"train.sh\"]
probe = true

[[grid]]
params.width = [1, 2, 3]
";

#[test]
fn a_cell_whose_probe_runs_out_of_memory_will_not_fit() {
    let mut site = Site::new();
    site.write("train.sh", PROGRAM);
    site.write("widths.toml", WIDTHS);
    let _coordinator = site.serve();
    let _worker = site.worker("w", 1, &["sh"]);
    let plan = site.json(&["plan", "widths.toml", "--probe"]);
    let [one, two, three] = estimates(&plan).try_into().unwrap();
    for known in [one, two] {
        // 70 steps of half a second, and 7 evaluations of two seconds.
        assert_eq!(known["job_seconds"], 49.0, "{known}");
        assert_eq!(known["fits"], true, "{known}");
    }
    assert_eq!(three["fits"], false, "{three}");
    let note = three["memory_note"].as_str().unwrap();
    assert!(note.contains("ran out of memory"), "{note}");
    assert_eq!(three["job_seconds"], Value::Null);
    let totals = &plan["totals"];
    assert_eq!(totals["memory"]["cells_that_do_not"], 1);
    assert_eq!(totals["price"]["jobs_without_a_price"], 2);
    let text = site.ok(&["plan", "widths.toml"]);
    assert!(text.contains("will not fit: its probe ran out"), "{text}");

    // One attempt was answer enough, and the worker is not blamed.
    let jobs = site.json(&["jobs", "probe-widths", "state=failed"]);
    assert_eq!(jobs["jobs"][0]["attempt"], 1);
    assert_eq!(jobs["jobs"][0]["fault"], "out_of_memory");
    let workers = site.json(&["workers"]);
    assert_eq!(workers["workers"][0]["state"], "active");
    assert!(workers["workers"][0]["about"]["devices"][0]["memory_bytes"].as_u64() > Some(0));

    // When the program trains, it fits after all, and its times count from then
    // on.
    let trained = site.run(&["submit", "widths.toml", "--wait"]);
    assert_eq!(trained.code, Some(0), "{}", trained.stderr);
    site.write("widths.toml", &WIDTHS.replace("epochs = 7", "epochs = 14"));
    let plan = site.json(&["plan", "widths.toml"]);
    for estimate in estimates(&plan) {
        assert_eq!(estimate["from"], "jobs");
        assert_eq!(estimate["job_seconds"], 140.0);
    }
    let price = &plan["totals"]["price"];
    assert_eq!(price["device_seconds"], 840.0);
    assert_eq!(
        (&price["slots"], &price["eta_seconds"]),
        (&1.into(), &840.0.into())
    );
}
