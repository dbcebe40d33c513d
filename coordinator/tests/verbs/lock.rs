//! `export --lock` and `table --lock` as a shell sees them.

use super::import::{RUNS, submitted};
use crate::support::{Site, json};

#[test]
fn a_lock_file_draws_the_same_table_without_a_database() {
    let site = submitted();
    assert_eq!(site.local("import runs.csv").code, 0);
    let done = site.local("export small --lock small.lock");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (0, ""),
        "{}",
        done.stderr
    );
    let elsewhere = Site::new();
    let text = std::fs::read_to_string(site.path().join("small.lock")).unwrap();
    elsewhere.write("small.lock", &text);
    for format in [
        "table", "wide", "json", "jsonl", "csv", "md", "latex", "html",
    ] {
        let here = site.local(&format!("table small -o {format}"));
        let there = elsewhere.run(&format!("table --lock small.lock -o {format}"));
        assert_eq!(there.code, 0, "{}", there.stderr);
        assert!(!there.stdout.is_empty());
        assert_eq!(there.stdout, here.stdout, "{format}");
    }
    // The same store gives the same file.
    assert_eq!(site.local("export small --lock again.lock").code, 0);
    let again = std::fs::read_to_string(site.path().join("again.lock")).unwrap();
    assert_eq!(again, text);
}

#[test]
fn a_lock_file_is_checked_as_the_store_is() {
    let site = Site::new();
    let file = crate::support::SMALL.to_owned() + "\n[reference]\nfile = \"runs.csv\"\n";
    site.write("small.toml", &file);
    site.write("runs.csv", RUNS);
    let serving = crate::support::Serving::start(&site, "sqlite:swath.db");
    let submit = format!("submit small.toml --coordinator {}", serving.url);
    assert_eq!(site.run(&submit).code, 0);
    assert_eq!(serving.stop(), Some(0));
    let unlike = RUNS.replace("6.5,2,6.4 6.6", "9.5,2,9.4 9.6");
    // Imported numbers reproduce nothing, whatever they are.
    for (numbers, imported) in [(None, 0), (Some(RUNS), 3), (Some(&*unlike), 3)] {
        if let Some(numbers) = numbers {
            site.write("numbers.csv", numbers);
            let done = site.local("import numbers.csv --sweep small --replace");
            assert_eq!(done.code, 0, "{}", done.stderr);
        }
        assert_eq!(site.local("export small --lock small.lock").code, 0);
        let here = site.local("table small --check -q");
        let there = site.run("table --lock small.lock --check -q");
        assert_eq!((here.code, there.code), (3, 3), "{}", there.stderr);
        let told = format!(", {imported} imported");
        assert_eq!(here.stderr.contains(&told), imported > 0, "{}", here.stderr);
        assert_eq!(here.stderr, there.stderr);
        assert_eq!(here.stdout, there.stdout);
    }
    let plain = submitted();
    assert_eq!(plain.local("export small --lock small.lock").code, 0);
    let none = plain.run("table --lock small.lock --check");
    assert_eq!(none.code, 2, "{}", none.stderr);
    assert!(
        none.stderr.contains("has no published values"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_lock_file_names_every_job_and_holds_the_files() {
    let site = submitted();
    assert_eq!(site.local("export small --lock small.lock").code, 0);
    let text = std::fs::read_to_string(site.path().join("small.lock")).unwrap();
    let lock = json(&text);
    let jobs = site.local("jobs small -o ids").stdout;
    for job in jobs.lines() {
        assert!(text.contains(job), "{job}");
    }
    assert_eq!(lock["lock_version"], 1);
    let file = lock["sources"]["files"]["small.toml"].as_str().unwrap();
    assert_eq!(file, crate::support::SMALL);
    let first = &lock["cells"][0]["replicates"][0];
    assert!(
        first["seed"].is_u64() && first["value"].is_null(),
        "{first}"
    );
}

#[test]
fn what_is_no_lock_file_is_refused() {
    let site = Site::new();
    site.write("runs.csv", RUNS);
    site.write("new.lock", r#"{"lock_version": 2}"#);
    for (file, why) in [
        ("runs.csv", "runs.csv: it is not a lock file"),
        ("new.lock", "new.lock: it has version 2"),
        ("none.lock", "cannot read none.lock"),
    ] {
        let done = site.run(&format!("table --lock {file}"));
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{file}");
        assert!(done.stderr.contains(why), "{}", done.stderr);
    }
    assert_eq!(site.run("table small --lock new.lock").code, 2);
}
