//! A store with the published numbers reproduces the published tables.

#[path = "../../sweep/tests/shipped_sweeps/files.rs"]
#[expect(dead_code, reason = "the tests of swath-sweep use the rest")]
mod files;
#[path = "../../sweep/tests/shipped_sweeps/matched.rs"]
mod matched;
#[path = "../../sweep/tests/shipped_sweeps/rows.rs"]
#[expect(dead_code, reason = "the tests of swath-sweep use the rest")]
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use swath_e2e::{Process, Site};

use files::Line;
use matched::{TABLES, matched, sweep_of, table};

/// One published row that has a value.
#[derive(Clone, Debug, PartialEq)]
struct Published {
    test_error: f64,
    runs: u64,
    seconds: Option<f64>,
}

impl Published {
    fn of(row: Line<'_>) -> Option<Self> {
        let number = |column| row.get(column).parse::<f64>().ok();
        Some(Self {
            test_error: number("err")?,
            runs: row.get("runs").parse().unwrap(),
            seconds: number("minutes").map(|minutes| minutes * 60.0),
        })
    }
}

/// The published numbers of a sweep's cells, from any of its tables or from
/// one. Each number is listed once, however many tables repeat it. Also the
/// count of rows.
fn published(sweep: &str, only: Option<u32>) -> (BTreeMap<String, Vec<Published>>, usize) {
    let mut of_cells: BTreeMap<String, Vec<Published>> = BTreeMap::new();
    let mut count = 0;
    for (row, cell) in matched() {
        let number = table(row);
        if sweep_of(number) != sweep || only.is_some_and(|only| only != number) {
            continue;
        }
        if let Some(found) = Published::of(row) {
            count += 1;
            let seen = of_cells.entry(cell.digest.to_string()).or_default();
            if !seen.contains(&found) {
                seen.push(found);
            }
        }
    }
    (of_cells, count)
}

/// A site with the shipped sweeps where a user has them, at the root of the
/// repository.
fn site() -> Site {
    let site = Site::new();
    let sweeps = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sweeps");
    std::os::unix::fs::symlink(Path::new(sweeps), site.path().join("sweeps")).unwrap();
    site
}

/// A store into which every published number was imported.
fn filled() -> (Site, Process) {
    let mut site = site();
    let serving = site.serve();
    for (name, ..) in TABLES {
        site.ok(&["submit", &format!("sweeps/{name}.toml")]);
        let done = site.run(&["import", &format!("sweeps/reference/{name}.csv")]);
        assert_eq!(done.code, Some(0), "{name}: {}", done.stderr);
        assert!(
            done.stderr.contains(&format!("`{name}`")),
            "{}",
            done.stderr
        );
    }
    (site, serving)
}

/// The rows of a Markdown table by their fields, without the mark of the best.
fn drawn(text: &str) -> Vec<BTreeMap<String, String>> {
    let fields = |line: &str| -> Vec<String> {
        let line = without_marks(&line.trim_matches('|').replace("**", ""));
        line.split('|').map(|it| it.trim().to_owned()).collect()
    };
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    let heads = fields(lines.next().unwrap());
    let row = |line| heads.iter().cloned().zip(fields(line)).collect();
    lines.skip(1).map(row).collect()
}

/// A line without footnote marks.
fn without_marks(line: &str) -> String {
    let mut parts = line.split("<sup>");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once("</sup>").unwrap().1);
    let line = first + &rest.collect::<String>();
    line.split('|').map(str::trim).collect::<Vec<_>>().join("|")
}

/// Compares a sweep's table with the published rows of all its tables, or of
/// one: each number is in one row, and no other row has a value. Returns the
/// number of cells that several numbers were published for.
fn compare(site: &Site, sweep: &str, only: Option<u32>) -> usize {
    let (mut published, _) = published(sweep, only);
    let document = site.json(&["table", sweep]);
    let rows = document["rows"].as_array().unwrap();
    let text = site.ok(&["table", sweep, "-o", "md"]);
    for (mark, _) in text
        .lines()
        .filter_map(|line| line.strip_prefix("- <sup>")?.split_once('<'))
    {
        let fields = text.matches(&format!("<sup>{mark}</sup>")).count() - 1;
        assert!(fields > 0, "{sweep}: no field has the mark {mark}");
    }
    let text = drawn(&text);
    assert_eq!(rows.len(), text.len(), "{sweep}");
    let mut disputed = 0;
    for (row, text) in rows.iter().zip(text) {
        let place = format!("{sweep}, {only:?}: {}", row["axes"]);
        let cell = row["cell"].as_str().unwrap();
        let said = published.remove(cell).unwrap_or_default();
        let (median, n) = (row["median"].as_f64(), row["n"].as_u64().unwrap());
        let seconds = row["train_seconds_median"].as_f64();
        let shown = &text["test error (%)"];
        match &said[..] {
            [] => assert_eq!((median, n, &**shown), (None, 0, "pending"), "{place}"),
            [one] => {
                assert_eq!(median, Some(one.test_error), "{place}");
                assert_eq!((n, seconds), (one.runs, one.seconds), "{place}");
                let number = format!("{:.2}", one.test_error);
                let of = row["of"].as_u64().unwrap();
                let whole = if n == of {
                    number
                } else {
                    format!("{number} ({n} of {of})")
                };
                assert_eq!(*shown, whole, "{place}");
            }
            several => {
                disputed += 1;
                let mut values = row["values"].as_array().unwrap().clone();
                let key = |value: &Value| value.as_f64().unwrap();
                values.sort_by(|left, right| key(left).total_cmp(&key(right)));
                let mut wanted: Vec<f64> = several.iter().map(|it| it.test_error).collect();
                wanted.sort_by(f64::total_cmp);
                assert_eq!(values, wanted, "{place}");
            }
        }
        let replicates = row["replicates"].as_array().unwrap();
        let valued = replicates.iter().filter(|it| !it["value"].is_null());
        assert!(
            valued.clone().all(|it| it["imported"].is_object()),
            "{place}"
        );
        assert_eq!(valued.count() as u64, n, "{place}");
    }
    assert!(published.is_empty(), "{sweep}: {published:?}");
    disputed
}

/// Each published value is its own, and says that it was not trained here.
fn check(site: &Site, sweep: &str) {
    let done = site.run(&["table", sweep, "--check", "-q"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    let cells = published(sweep, None).0.len();
    let said = format!("{sweep}: 0 reproduced, 0 not reproduced, 0 undecided, {cells} imported");
    assert_eq!(done.stderr.trim_end(), said);
}

#[test]
fn a_store_of_the_published_numbers_gives_every_published_table() {
    let (site, _serving) = filled();
    let mut rows = 0;
    for (name, first, last) in TABLES {
        let disputed = compare(&site, name, None);
        // These are trainings on one device beside another's. Elsewhere no
        // table disagrees with a table of the same sweep.
        assert_eq!(disputed, if name == "precision" { 7 } else { 0 }, "{name}");
        check(&site, name);
        if disputed == 0 {
            rows += published(name, None).1;
            continue;
        }
        // Each table alone is as it was published.
        for number in first..=last {
            let file = format!("sweeps/reference/{name}.csv");
            let number = number.to_string();
            site.ok(&["import", &file, "--table", &number, "--replace"]);
            let number = number.parse().unwrap();
            assert_eq!(compare(&site, name, Some(number)), 0, "T{number}");
            rows += published(name, Some(number)).1;
        }
    }
    // Of 362 rows, nine have no value.
    assert_eq!(rows, 353);
    // Rows have the names that they were published under.
    insta::assert_snapshot!("labels", site.ok(&["table", "models", "-o", "md"]));
    for format in ["md", "latex"] {
        insta::assert_snapshot!(format, site.ok(&["table", "ghost_bn", "-o", format]));
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a measured time, for who looks for it")]
fn a_plan_of_every_published_table_counts_181_jobs_behind_the_grids() {
    let site = site();
    let files: Vec<String> = TABLES
        .iter()
        .map(|(name, ..)| format!("sweeps/{name}.toml"))
        .collect();
    let mut arguments = vec!["--database", "sqlite:swath.db", "plan"];
    arguments.extend(files.iter().map(String::as_str));
    let started = Instant::now();
    let plan = site.json(&arguments);
    eprintln!("plan of {} files: {:?}", files.len(), started.elapsed());
    let first_grid = |name: &str| TABLES.iter().any(|it| it.0 == name && it.1 >= 10);
    let (mut cells, mut by_replicate) = (0, BTreeMap::<usize, BTreeSet<String>>::new());
    for sweep in plan["sweeps"].as_array().unwrap() {
        if !first_grid(sweep["sweep"].as_str().unwrap()) {
            continue;
        }
        for cell in sweep["cells"].as_array().unwrap() {
            cells += 1;
            for (place, job) in cell["jobs"].as_array().unwrap().iter().enumerate() {
                let digest = job["digest"].as_str().unwrap().to_owned();
                by_replicate.entry(place).or_default().insert(digest);
            }
        }
    }
    let distinct: Vec<usize> = by_replicate.values().map(BTreeSet::len).collect();
    assert_eq!((cells, distinct), (250, vec![181; 3]));
}

/// The published tables as printed: none wider than 100 columns, and LaTeX that
/// a real engine typesets without an error and without a line wider than the
/// text.
#[test]
fn published_tables_fit_their_place() {
    let (site, _serving) = filled();
    let mut document = String::from(
        "\\documentclass{article}\n\\usepackage{booktabs,longtable}\n\\begin{document}\n",
    );
    for (name, ..) in TABLES {
        let text = site.ok(&["table", name]);
        let mut lines = text.lines().skip_while(|line| !line.starts_with('─'));
        let rule = lines.next().unwrap().chars().count();
        let rows = lines.take_while(|line| !line.is_empty());
        let widest = rows.map(|line| line.chars().count()).fold(rule, usize::max);
        assert!(widest <= 100, "{name}: {widest} columns");
        document.push_str(&site.ok(&["table", name, "-o", "latex"]));
        document.push_str("\\clearpage\n");
    }
    document.push_str("\\end{document}\n");
    std::fs::write(site.path().join("tables.tex"), document).unwrap();
    typeset(site.path());
}

/// Typesets `tables.tex` with pdflatex, if there is one.
#[expect(
    clippy::print_stderr,
    reason = "that a check was left out, and how to have it"
)]
fn typeset(directory: &Path) {
    let mut engine = std::process::Command::new("pdflatex");
    engine.args(["-interaction=nonstopmode", "-halt-on-error", "tables.tex"]);
    engine.current_dir(directory);
    // The second time the columns of long tables have their widths.
    for _ in 0..3 {
        match engine.output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("not checked: no pdflatex here; install texlive-latex-recommended");
                return;
            }
            done => {
                let done = done.unwrap();
                let said = String::from_utf8_lossy(&done.stdout);
                assert!(done.status.success(), "{said}");
            }
        }
    }
    let log = std::fs::read(directory.join("tables.log")).unwrap();
    let log = String::from_utf8_lossy(&log);
    let wide = log.lines().filter_map(|line| {
        let points = line.strip_prefix("Overfull \\hbox (")?;
        points.split_once("pt")?.0.parse::<f64>().ok()
    });
    let widest = wide.fold(0.0, f64::max);
    assert!(widest < 2.0, "a line is {widest} pt too wide: {log}");
    assert!(!log.contains("Float too large"), "{log}");
}
