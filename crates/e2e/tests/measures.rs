//! What trainings measure besides the test error, from the trainer to the
//! table.

use serde_json::Value;
use swath_e2e::{Site, SweepText};

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let upper = numbers[numbers.len() / 2];
    let lower = numbers[(numbers.len() - 1) / 2];
    f64::midpoint(lower, upper)
}

#[test]
fn a_table_shows_what_trainings_send_and_medians_of_last_epochs() {
    let site = Site::new();
    let columns = "test_error\", \"distance\", \"metrics.test_error.digits";
    let text = SweepText::digits("measured")
        .fixed("extra_test_sets = [\"digits\"]")
        .to_string()
        .replace("epochs = 2", "epochs = 3")
        .replace("[sweep]\n", "[sweep]\nmeasure = { median_of_last = 2 }\n");
    let text = format!("{text}\n[table]\nrows = \"batch_size\"\ncolumns = [\"{columns}\"]\n");
    site.write("measured.toml", &text);
    let output = site.run(&["run", "measured.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for part in [
        "batch size",
        "distance",
        "test error.digits (%)",
        "each the median of its last 2 epochs",
    ] {
        assert!(output.stdout.contains(part), "{part}: {}", output.stdout);
    }

    let table = site.json(&["table", "measured"]);
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let mut jobs = 0;
    for row in rows {
        let mut distances = Vec::new();
        for replicate in row["replicates"].as_array().unwrap() {
            jobs += 1;
            let job = replicate["job"].as_str().unwrap();
            let curves = site.json(&["curves", job]);
            let points: Vec<&Value> = curves["points"]
                .as_array()
                .unwrap()
                .iter()
                .map(|point| &point["observation"])
                .collect();
            assert_eq!(points.len(), 3);
            let error = |at: usize| points[at]["test_error"].as_f64().unwrap();
            let value = replicate["value"].as_f64().unwrap();
            assert!((value - f64::midpoint(error(1), error(2))).abs() < 1e-9);
            let metrics = &replicate["metrics"];
            assert_eq!(metrics["distance"], points[2]["distance"]);
            assert_eq!(metrics["train_error"], points[2]["train_error"]);
            assert_eq!(metrics["test_error.digits"], points[2]["test_error"]);
            let of_all = median(vec![error(0), error(1), error(2)]);
            let told = metrics["median_test_error"].as_f64().unwrap();
            assert!((told - of_all).abs() < 1e-9);
            distances.push(metrics["distance"].as_f64().unwrap());
            let explained = site.ok(&["explain", job]);
            assert!(explained.contains("images_per_second"), "{explained}");
        }
        let told = row["metrics"]["distance"]["median"].as_f64().unwrap();
        assert!((told - median(distances)).abs() < 1e-9);
        assert_eq!(row["metrics"]["distance"]["n"], 2);
    }
    assert_eq!(jobs, 4);
}
