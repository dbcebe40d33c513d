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
    for ending in ["parquet", "csv", "jsonl", "html", "tex", "md"] {
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

#[test]
fn plots_are_drawn_in_letters_and_files() {
    let site = filled();
    let text = site.ok(&["plot", "null"]);
    assert!(text.contains("One run per point (n = 1)."), "{text}");
    let read = |name: &str| std::fs::read(site.path().join(name)).unwrap();
    for kind in ["lr", "box"] {
        for ending in ["svg", "png"] {
            let names = [format!("{kind}1.{ending}"), format!("{kind}2.{ending}")];
            for name in &names {
                site.ok(&["plot", "null", "--kind", kind, "-o", name]);
            }
            assert!(read(&names[0]).len() > 1000);
            assert_eq!(read(&names[0]), read(&names[1]), "{kind}.{ending}");
        }
    }
    let svg = String::from_utf8(read("lr1.svg")).unwrap();
    assert!(
        svg.starts_with("<svg ") && svg.contains(">x</text>"),
        "{svg}"
    );
    let some = site.ok(&["plot", "null", "params.x>=2"]);
    assert!(some.contains("Only x >= 2."), "{some}");
    for (words, hint) in [
        (["plot", "null", "--kind", "heat"], "needs two axes"),
        (["plot", "null", "--x", "lr"], "these axes vary: `params.x`"),
        (["plot", "null", "-o", "a.pdf"], ".svg or .png"),
        (["plot", "null", "--kind", "curves"], "no epoch"),
    ] {
        let output = site.run(&words);
        assert!(
            matches!(output.code, Some(2 | 5)),
            "{words:?}: {}",
            output.stderr
        );
        assert!(output.stderr.contains(hint), "{words:?}: {}", output.stderr);
    }
}

#[test]
fn tables_are_filtered_sorted_and_laid_out_anew() {
    let site = filled();
    let names = |args: &[&str]| -> Vec<String> {
        let text = site.ok(args);
        let cells = text.lines().skip_while(|line| !line.starts_with("| x"));
        let first = |line: &str| line.split('|').nth(1).map(|it| it.trim().to_owned());
        cells.skip(2).map_while(first).collect()
    };
    assert_eq!(names(&["table", "null", "-o", "md"]), ["0", "1", "2", "3"]);
    let some = [
        "table",
        "null",
        "params.x!=1",
        "--sort",
        "-params.x",
        "-o",
        "md",
    ];
    assert_eq!(names(&some), ["3", "2", "0"]);
    assert!(site.ok(&some).contains("Only x != 1"));
    let times = site.ok(&[
        "table",
        "null",
        "--columns",
        "train_time,test_error",
        "-o",
        "md",
    ]);
    assert!(times.contains("| x | train time | test error"), "{times}");
    for (words, hint) in [
        (["--sort", "nothing"], "`nothing`"),
        (["--cell", "test_error"], "`--columns`"),
        (["params.y=1", "-q"], "did you mean `params.x`?"),
    ] {
        let output = site.run(&[&["table", "null"], &words[..]].concat());
        assert_ne!(output.code, Some(0));
        assert!(output.stderr.contains(hint), "{words:?}: {}", output.stderr);
    }
}
