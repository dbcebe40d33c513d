//! Lists, curves and progress lines, to the letter.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use swath_model::time::Timestamp;
use swath_model::view::{ReplicationView, SettledView, SweepState, SweepView};

use super::fixture::{pivot, points, sweep};
use crate::{
    Format, Given, Listing, ListingColumn, Style, curve, curve_listing, metrics_of, progress,
};

const ASCII: Style = Style {
    color: false,
    width: None,
    unicode: false,
};

fn workers() -> Listing {
    let columns = [
        ListingColumn::text("worker"),
        ListingColumn::text("state"),
        ListingColumn::number("slots"),
        ListingColumn::text("host").wide(),
        ListingColumn::text("reason"),
    ];
    let mut listing = Listing::new("workers", columns);
    let rows = [
        ("gpu-01", "active", "8", "gpu-01.lab", ""),
        (
            "gpu-02",
            "cordoned",
            "16",
            "gpu-02.lab",
            "3 jobs failed in a row | see its logs\x1b[2J",
        ),
    ];
    for (name, state, slots, host, reason) in rows {
        let row = [name, state, slots, host, reason].map(str::to_owned);
        listing.push(name, row.to_vec(), json!({"name": name, "state": state}));
    }
    listing
}

#[test]
fn listings() {
    let listing = workers();
    assert_snapshot!(listing.render(Format::Table, &Style::PIPE), @r#"
    worker  state     slots  reason
    ──────  ────────  ─────  ──────────────────────────────────────────────
    gpu-01  active        8
    gpu-02  cordoned     16  3 jobs failed in a row | see its logs\u{1b}[2J
    "#);
    assert_snapshot!(listing.render(Format::Wide, &ASCII), @r#"
    worker  state     slots  host        reason
    ------  --------  -----  ----------  ----------------------------------------------
    gpu-01  active        8  gpu-01.lab
    gpu-02  cordoned     16  gpu-02.lab  3 jobs failed in a row | see its logs\u{1b}[2J
    "#);
    let narrow = Style {
        width: Some(40),
        ..Style::PIPE
    };
    assert_snapshot!(listing.render(Format::Table, &narrow), @r#"
    worker  state     slots  reason
    ──────  ────────  ─────  ───────────────
    gpu-01  active        8
    gpu-02  cordoned     16  3 jobs failed …
    "#);
    // Too narrow for the numbers and the least of every text.
    let narrower = Style {
        width: Some(30),
        ..Style::PIPE
    };
    assert_eq!(
        listing.render(Format::Table, &narrower),
        listing.render(Format::Table, &Style::PIPE)
    );
    assert_snapshot!(listing.render(Format::Markdown, &Style::PIPE), @r#"
    | worker | state | slots | host | reason |
    | --- | --- | ---: | --- | --- |
    | gpu-01 | active | 8 | gpu-01.lab | |
    | gpu-02 | cordoned | 16 | gpu-02.lab | 3 jobs failed in a row \| see its logs\\u{1b}\[2J |
    "#);
    assert_snapshot!(listing.render(Format::Json, &Style::PIPE), @r#"{"schema_version":1,"workers":[{"name":"gpu-01","state":"active"},{"name":"gpu-02","state":"cordoned"}]}"#);
    assert_snapshot!(listing.render(Format::Jsonl, &Style::PIPE), @r#"
    {"name":"gpu-01","schema_version":1,"state":"active"}
    {"name":"gpu-02","schema_version":1,"state":"cordoned"}
    "#);
    assert_snapshot!(listing.render(Format::Ids, &Style::PIPE), @r#"
    gpu-01
    gpu-02
    "#);
}

#[test]
fn curves() {
    let style = Style {
        width: Some(60),
        ..Style::PIPE
    };
    assert_snapshot!(curve(&points(), None, None, &style), @r#"
    error in % by epoch: test line, training dots
       68.00 ┤⢣
             ┤⠄⢣
             ┤⠀⠀⢣
             ┤⠀⠀⠀⢣
             ┤⠀⠀⠀⠀⢣
             ┤⠀⠀⠀⠀⠀⢣
       37.00 ┤⠀⠀⠀⠀⠀⠀⠉⠢⣀
             ┤⠀⠀⠀⠀⠀⠐⠀⠀⠀⠑⠢⢄⣀
             ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠉⠒⠢⠤⢄⣀⣀
             ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠈⠀⠀⠀⠀⠀⠀⠀⠀⠀⠉⠉⠑⠒⠒⠢⠤⠤⠤⣀⣀⣀⣀⣀⡀
             ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠁⠀⠀⠀⠀⠄⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠈⠉⠉⠉⠉⠉⠉⠉⠉⠉⠉⠒⠒⠒
        6.00 ┤⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠀⠈⠀⠀⠀⠀⠐⠀⠀⠀⠀⠀⠄⠀⠀⠀⠀⠄⠀⠀⠀⠀⢀
              1                                             10
    "#);
    let ascii = Style {
        width: Some(60),
        ..ASCII
    };
    assert_snapshot!(curve(&points(), None, None, &ascii), @r#"
    error in % by epoch: test *, training .
       68.00 |*
             |.*
             |  *
             |   *
             |    *
             |     **
       37.00 |       **
             |     .   ****
             |             ******
             |          .     .  **************************
             |                     .    .                  ***
        6.00 |                               .     .    .    .
              1                                             10
    "#);
    assert_snapshot!(curve_listing(&points(), None).render(Format::Table, &Style::PIPE), @r#"
    epoch  train loss  train error (%)  test loss  test error (%)   lr      time  images/s
    ─────  ──────────  ───────────────  ─────────  ──────────────  ───  ────────  ────────
        1      1.0000            60.00                      68.00  0.1     6.5 s      7812
        2      0.5000            30.00                      38.00  0.1      13 s      7812
        3      0.3333            20.00                      28.00  0.1      20 s      7812
        4      0.2500            15.00                      23.00  0.1      26 s      7812
        5      0.2000            12.00                      20.00  0.1      33 s      7812
        6      0.1667            10.00                      18.00  0.1      39 s      7812
        7      0.1429             8.57                      16.57  0.1      46 s      7812
        8      0.1250             7.50                      15.50  0.1      52 s      7812
        9      0.1111             6.67                      14.67  0.1      59 s      7812
       10      0.1000             6.00                      14.00  0.1  1 m 05 s      7812
    "#);
    assert_eq!(curve(&[], None, None, &Style::PIPE), "");
    let loss = curve(&points(), Some("train_loss"), None, &ascii);
    assert!(loss.starts_with("train loss by epoch\n"), "{loss}");
    assert!(!loss.contains("training"), "{loss}");
    let mut close = points();
    for (at, point) in close.iter_mut().enumerate() {
        let accuracy = 0.9991 + 1e-5 * at as f64;
        point
            .observation
            .values
            .insert("val/acc", accuracy)
            .unwrap();
    }
    assert!(metrics_of(&close).contains("val/acc"));
    let given = Given {
        metric: "val/acc",
        unit: "%",
    };
    let told = curve(&close, Some("val/acc"), Some(given), &ascii);
    assert!(told.starts_with("val/acc (%) by epoch\n"), "{told}");
    let listing = curve_listing(&close, Some(given));
    let listed = listing.render(Format::Table, &Style::PIPE);
    assert!(listed.contains("val/acc (%)"), "{listed}");
    let told = curve(&close, Some("val/acc"), None, &ascii);
    let labels = told.lines().filter_map(|it| it.split_once('|'));
    let labels: Vec<&str> = labels
        .map(|it| it.0.trim())
        .filter(|it| !it.is_empty())
        .collect();
    assert_eq!(labels, ["0.9992", "0.99915", "0.9991"]);
}

#[test]
fn progress_lines() {
    let mut sweep = sweep(&pivot()).view;
    let now = Timestamp::from_ms(95_000);
    let eta = Some(Duration::from_secs(42));
    let line = progress(&sweep, 2, eta, now, &Style::PIPE);
    assert_eq!(
        line,
        "[=====================>  ] 32/36 jobs, 1 training, 5 diverged, 1 failed, ETA 42 s"
    );
    let narrow = Style {
        width: Some(30),
        ..Style::PIPE
    };
    assert_eq!(
        progress(&sweep, 2, None, now, &narrow),
        "32/36 jobs, 1 training, 5 div…"
    );
    sweep.counts.leased = 4;
    let line = progress(&sweep, 2, None, now, &Style::PIPE);
    assert!(line.contains("2 training, 2 fetched, "), "{line}");
    sweep.state = SweepState::Finished;
    sweep.counts.leased = 0;
    sweep.counts.queued = 0;
    sweep.finished_at = Some(Timestamp::from_ms(60_000));
    let line = progress(&sweep, 2, None, now, &Style::PIPE);
    assert_eq!(
        line,
        "[========================] 32/32 jobs, 5 diverged, 1 failed, took 1 m 00 s"
    );
}

#[test]
fn progress_tells_of_replicates_that_results_decide() {
    let mut sweep = sweep(&pivot()).view;
    let told = |sweep: &SweepView| {
        let line = progress(sweep, 2, None, Timestamp::from_ms(95_000), &Style::PIPE);
        line.split_once("1 failed, ").unwrap().1.to_owned()
    };
    let mut replication = ReplicationView {
        max: 10,
        rounds: 0,
        seeds: 0,
        settled: None,
    };
    sweep.replication = Some(replication);
    assert_eq!(told(&sweep), "no round yet, 1 m 35 s so far");
    (replication.rounds, replication.seeds) = (2, 7);
    sweep.replication = Some(replication);
    assert_eq!(told(&sweep), "round 2, 7 seeds added, 1 m 35 s so far");
    let mut settled = SettledView {
        at: Timestamp::from_ms(60_000),
        pairs: 5,
        undecided: 0,
    };
    replication.settled = Some(settled);
    sweep.replication = Some(replication);
    sweep.state = SweepState::Finished;
    sweep.finished_at = Some(Timestamp::from_ms(60_000));
    let wanted = "round 2, 7 seeds added, settled, took 1 m 00 s";
    assert_eq!(told(&sweep), wanted);
    settled.undecided = 1;
    replication.settled = Some(settled);
    sweep.replication = Some(replication);
    let wanted = "round 2, 7 seeds added, settled with 1 of 5 pairs undecided, took 1 m 00 s";
    assert_eq!(told(&sweep), wanted);
}
