//! `import` as a shell sees it.

use crate::support::{SMALL, Serving, Site, json};

pub(crate) const RUNS: &str = "\
table,params.x,test_error,n,runs,minutes,caveat
1,1,7.6,3,,24,
1,2,6.5,2,6.4 6.6,,single runs
2,3,,,,,not run
2,3,5.25,1,,,
";

pub(crate) fn submitted() -> Site {
    let site = Site::new();
    site.write("other.toml", &SMALL.replace("small", "other"));
    site.write("runs.csv", RUNS);
    submit(&site, "small.toml");
    site
}

/// A coordinator creates the database; later commands read it directly.
fn submit(site: &Site, file: &str) {
    let serving = Serving::start(site, "sqlite:swath.db");
    let done = site.run(&format!("submit {file} --coordinator {}", serving.url));
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn imported_numbers_fill_a_table_that_was_never_trained() {
    let site = submitted();
    let done = site.local("import runs.csv");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, ""),
        "{}",
        done.stderr
    );
    assert!(
        done.stderr
            .contains("4 numbers of runs.csv imported into `small`"),
        "{}",
        done.stderr
    );
    let table = json(&site.local("table small -o json").stdout);
    let figures: Vec<_> = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["median"].as_f64(),
                row["n"].as_u64(),
                row["of"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        figures,
        [
            // Three runs where the sweep asks for two.
            (Some(7.6), Some(3), Some(3)),
            (Some(6.5), Some(2), Some(2)),
            (Some(5.25), Some(1), Some(2)),
        ]
    );
    assert_eq!(table["rows"][0]["train_seconds_median"], 1440.0);
    let first = &table["rows"][1]["replicates"][0];
    assert_eq!(first["imported"]["test_error"], 6.4);
    assert_eq!(first["imported"]["file"], "runs.csv");
    assert_eq!(first["imported"]["line"], 3);
    let text = site.local("table small").stdout;
    for said in [
        "7.60 [a]",
        "6.50* [b]",
        "5.25 (1 of 2) [c]",
        "[a] Imported, not trained here: the median of 3 runs that are not known one by one, from runs.csv:2.",
        "[b] Imported, not trained here: 2 runs, from runs.csv:3.",
        "[c] Imported, not trained here: 1 run, from runs.csv:5.",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // The jobs wait as before.
    let jobs = site.local("jobs small state=queued -o ids").stdout;
    assert_eq!(jobs.lines().count(), 6);
}

#[test]
fn the_same_file_again_is_a_no_op_and_a_correction_replaces() {
    let site = submitted();
    assert_eq!(site.local("import runs.csv --source paper").code, 0);
    let before = site.local("table small").stdout;
    assert!(
        before.contains("2 runs, from paper (runs.csv:3)"),
        "{before}"
    );
    let again = site.local("import runs.csv --source paper");
    assert!(
        again.stderr.contains("0 numbers of runs.csv"),
        "{}",
        again.stderr
    );
    assert!(
        again.stderr.contains("4 numbers there already"),
        "{}",
        again.stderr
    );
    assert_eq!(site.local("table small").stdout, before);
    site.write("runs.csv", &RUNS.replace("7.6", "7.7"));
    let refused = site.local("import runs.csv --source paper");
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("runs.csv:2"), "{}", refused.stderr);
    assert_eq!(site.local("table small").stdout, before);
    let replaced = site.local("import runs.csv --source paper --table 1 --replace");
    assert_eq!(replaced.code, 0, "{}", replaced.stderr);
    let table = json(&site.local("table small -o json").stdout);
    assert_eq!(table["rows"][0]["median"], 7.7);
    // Nothing of the other table is left.
    assert_eq!(table["rows"][2]["n"], 0);
}

#[test]
fn a_wrong_row_is_named_and_nothing_is_stored() {
    let site = submitted();
    let empty = site.local("table small").stdout;
    site.write("wrong.csv", &RUNS.replace("1,2,6.5", "1,4,6.5"));
    let done = site.local("import wrong.csv");
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert!(
        done.stderr.contains(
            "wrong.csv:3: column 2 `params.x`: no cell of `small` with what stands before has `4`; \
             the nearest is `3`"
        ),
        "{}",
        done.stderr
    );
    assert_eq!(site.local("table small").stdout, empty);
    submit(&site, "other.toml");
    let which = site.local("import runs.csv");
    assert_eq!(which.code, 2);
    assert!(which.stderr.contains("--sweep SWEEP"), "{}", which.stderr);
    assert_eq!(site.local("import runs.csv --sweep other").code, 0);
    assert_eq!(site.local("table small").stdout, empty);
    assert_eq!(site.local("import none.csv").code, 2);
}

/// A job is told the name of its sweep by the variable of `--sweep`.
#[test]
fn a_command_that_a_job_starts_takes_nothing_of_the_job_for_an_option() {
    let site = submitted();
    let import = |variables: &[(&str, &str)]| {
        let mut command = site.command("--database sqlite:swath.db import runs.csv");
        let output = command.envs(variables.iter().copied()).output().unwrap();
        output.status.code()
    };
    let sweep = ("SWATH_SWEEP", "no_such_sweep");
    assert_eq!(import(&[sweep]), Some(3));
    assert_eq!(import(&[sweep, ("SWATH_JOB", "3fa9c1")]), Some(0));
}
