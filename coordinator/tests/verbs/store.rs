//! Whole databases, as a shell sees them.

use crate::support::{Serving, Site, json};

fn digest(site: &Site, database: &str) -> String {
    let done = site.run(&format!("store verify --database {database} -o json"));
    assert_eq!(done.code, 0, "{}", done.stderr);
    let document = json(&done.stdout);
    assert_eq!(document["ok"], true);
    document["digest"].as_str().unwrap().to_owned()
}

#[test]
fn a_database_in_use_is_verified_and_backed_up() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let submit = format!("--coordinator {} submit small.toml", serving.url);
    assert_eq!(site.run(&submit).code, 0);
    let done = site.run("store verify --database sqlite:served.db");
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    assert!(
        done.stdout.starts_with("ok: sweeps 1, cells 3, "),
        "{}",
        done.stdout
    );

    let done = site.run("store backup kept.db --database sqlite:served.db");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(done.stderr.contains("jobs 6"), "{}", done.stderr);
    assert_eq!(digest(&site, "kept.db"), digest(&site, "served.db"));
    let again = site.run("store backup kept.db --database sqlite:served.db");
    assert_eq!(again.code, 2);
    assert!(
        again.stderr.contains("kept.db exists already"),
        "{}",
        again.stderr
    );
    assert_eq!(serving.stop(), Some(0));

    // Nothing but the file itself is needed, and nothing else was left.
    let left: Vec<String> = std::fs::read_dir(site.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("kept") || name.starts_with('.'))
        .collect();
    assert_eq!(left, ["kept.db"]);
    std::fs::rename(site.path().join("kept.db"), site.path().join("served.db")).unwrap();
    let serving = Serving::start(&site, "sqlite:served.db");
    let done = site.run(&format!("--coordinator {} sweeps -o ids", serving.url));
    assert_eq!(done.stdout.lines().count(), 1);
}

#[test]
fn a_database_is_copied_to_an_empty_one() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:swath.db");
    let submit = format!("--coordinator {} submit small.toml", serving.url);
    assert_eq!(site.run(&submit).code, 0);
    assert_eq!(serving.stop(), Some(0));
    let done = site.run("store copy swath.db copy.db");
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert_eq!(digest(&site, "copy.db"), digest(&site, "swath.db"));
    let again = site.run("store copy swath.db copy.db");
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);
    let same = site.run("store copy swath.db sqlite:swath.db");
    assert_eq!(same.code, 2, "{}", same.stderr);
    let none = site.run("store copy none.db other.db");
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no such file"), "{}", none.stderr);
    assert!(!site.path().join("other.db").exists());
}
