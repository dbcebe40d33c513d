//! Results in files, through the real commands.

use swath_e2e::{Site, SweepText};

/// A site whose database holds a finished sweep `null` of jobs that do
/// nothing.
fn filled() -> Site {
    let site = Site::new();
    site.write("null.toml", &SweepText::null("null", 4).to_string());
    site.ok(&["run", "null.toml"]);
    site
}

#[test]
fn exports_are_whole_and_the_same_bytes_again() {
    let site = filled();
    let read = |name: &str| std::fs::read(site.path().join(name)).unwrap();
    for ending in ["csv", "jsonl", "html", "tex", "md"] {
        let (first, second) = (format!("a.{ending}"), format!("b.{ending}"));
        for name in [&first, &second] {
            assert_eq!(site.ok(&["export", "null", "-o", name]), "");
        }
        assert!(!read(&first).is_empty());
        assert_eq!(read(&first), read(&second), "{ending}");
    }
    let csv = String::from_utf8(read("a.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.starts_with("sweep,cell,index,params.x,replicate,seed,job,state,"));
    assert_eq!(site.ok(&["export", "null"]), csv);
    let html = String::from_utf8(read("a.html")).unwrap();
    assert_eq!(html, site.ok(&["table", "null", "-o", "html"]));
}

#[test]
fn only_what_writes_files_takes_one() {
    let site = filled();
    let output = site.run(&["table", "null", "-o", "a.md"]);
    assert_eq!(output.code, Some(2));
    assert!(
        output.stderr.contains("-o FORMAT > a.md"),
        "{}",
        output.stderr
    );
    let output = site.run(&["export", "null", "-o", "a.xyz"]);
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains(".jsonl"), "{}", output.stderr);
    let output = site.run(&["export", "null", "-o", "no/such/dir.csv"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(!site.path().join("a.md").exists());
}
