//! Results of wrong data are thrown away, and their jobs train anew.

use std::time::Duration;

use swath_e2e::{Site, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);

/// A sweep over `x` of a script that reads a value from a file which is none of its
/// inputs.
fn sweep(name: &str, values: &str) -> String {
    format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 1\n[program]\nmetric = \"acc\"\n\
         command = [\"sh\", \"t.sh\", \"{{x}}\"]\ndirectory = \"code\"\n\
         read = {{ stdout = 'acc=(.*)' }}\n[[grid]]\nx = {values}\n"
    )
}

fn all_succeed(site: &Site, sweep: &str, jobs: u64) {
    wait_until("all jobs are measured", PATIENCE, || {
        (site.count(sweep, "succeeded") == jobs).then_some(())
    });
}

/// The median of each row of a table.
fn medians(site: &Site, sweep: &str) -> Vec<String> {
    let table = site.json(&["table", sweep]);
    let rows = table["rows"].as_array().expect("rows");
    rows.iter().map(|row| row["median"].to_string()).collect()
}

/// Words of what a command said on stderr, whatever the spaces between them.
fn said(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn has(text: &str, words: &str) {
    assert!(said(text).contains(words), "`{words}` is not in: {text}");
}

#[test]
fn a_forgotten_sweep_is_trained_with_the_right_data() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("code/t.sh", "echo acc=$(cat ../data/value)\n");
    site.write("data/value", "1\n");
    site.write("s.toml", &sweep("wrong", "[1, 2]"));
    site.write("o.toml", &sweep("other", "[2]"));
    let _worker = site.worker("w", 2, &["sh"]);
    site.ok(&["submit", "s.toml", "--wait"]);
    site.ok(&["submit", "o.toml", "--wait"]);
    assert_eq!(medians(&site, "wrong"), ["1.0", "1.0"]);
    site.write("data/value", "3\n");
    // The job's name says nothing of it.
    site.ok(&["submit", "s.toml", "--wait"]);
    assert_eq!(medians(&site, "wrong"), ["1.0", "1.0"]);

    let asked = site.run(&["forget", "wrong"]);
    assert_eq!(asked.code, Some(2), "{}", asked.stderr);
    has(&asked.stderr, "`forget` would throw 2 results away:");
    has(
        &asked.stderr,
        "wrong 2 results of 2 cells, which have no median then",
    );
    has(
        &asked.stderr,
        "other 1 result of 1 cell, which has no median then",
    );
    has(&asked.stderr, "nothing is changed");
    assert_eq!(site.count("wrong", "succeeded"), 2);

    let forgotten = site.run(&["forget", "wrong", "--yes"]);
    assert_eq!(forgotten.code, Some(0), "{}", forgotten.stderr);
    has(
        &forgotten.stderr,
        "2 results are forgotten, and their jobs are queued again; 1 job of `other` too",
    );
    all_succeed(&site, "wrong", 2);
    assert_eq!(medians(&site, "wrong"), ["3.0", "3.0"]);
    assert_eq!(medians(&site, "other"), ["3.0"]);

    let job = site.ok(&["jobs", "other", "-o", "ids"]);
    let explained = site.ok(&["explain", job.trim()]);
    has(&explained, "attempt 2 measured acc = 3");
    has(
        &explained,
        "attempt 1 measured, which its owner forgot at 20",
    );
    has(&explained, "measured, forgotten");
    let verified = site.run(&["store", "verify", "--database", "sqlite:swath.db"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let backup = site.run(&["store", "backup", "backup.db"]);
    assert_eq!(backup.code, Some(0), "{}", backup.stderr);
    let copied = site.run(&["store", "copy", "sqlite:backup.db", "sqlite:copy.db"]);
    assert_eq!(copied.code, Some(0), "{}", copied.stderr);
    let explained = site.ok(&["explain", job.trim(), "--database", "sqlite:copy.db"]);
    has(
        &explained,
        "attempt 1 measured, which its owner forgot at 20",
    );
}

/// The jobs of a sweep that nobody wants any more are for `retry`, and so is what
/// failed.
#[test]
fn one_result_is_forgotten_beside_what_failed() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write(
        "code/t.sh",
        "[ \"$1\" = 2 ] && exit 7\necho acc=$(cat ../data/value)\n",
    );
    site.write("data/value", "1\n");
    site.write("s.toml", &sweep("mixed", "[1, 2, 3]"));
    let _worker = site.worker("w", 2, &["sh"]);
    site.run(&["submit", "s.toml", "--wait"]);
    assert_eq!(site.count("mixed", "failed"), 1);
    let asked = site.run(&["forget", "mixed"]);
    has(&asked.stderr, "left alone: 1 failed or cancelled job");
    let nothing = site.run(&["forget", "mixed", "x=2", "--yes"]);
    assert_eq!(nothing.code, Some(5), "{}", nothing.stderr);
    has(
        &nothing.stderr,
        "(1 failed); `coordinator retry mixed x=2` queues",
    );
    site.write("data/value", "3\n");
    let one = site.run(&["forget", "mixed", "x=3", "--yes"]);
    assert_eq!(one.code, Some(0), "{}", one.stderr);
    has(
        &one.stderr,
        "1 result is forgotten, and its job is queued again",
    );
    all_succeed(&site, "mixed", 2);
    let failed = site.count("mixed", "failed");
    assert_eq!(failed, 1);
    assert_eq!(medians(&site, "mixed"), ["1.0", "null", "3.0"]);
}
