//! Tables that are wider than their place.

use insta::assert_snapshot;
use proptest::prelude::*;
use swath_results::summary::{Figure, Objective, Quantity, Tally, Unit};
use swath_results::table::{Column, Field, Kind, Row, Shown, Table};
use swath_sweep::Measure;

use super::fixture::replicate;
use crate::style::width;
use crate::{Markup, Style, table};

fn column(name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        group: None,
        unit: None,
        kind,
    }
}

fn noted(text: &str) -> Field {
    Field::Noted {
        text: text.to_owned(),
        behind: None,
        marks: vec!["a".to_owned(), "b".to_owned()],
    }
}

/// Rows whose name is a word, with four numbers, and something that is the same
/// in all rows.
fn wide(rows: &[(&str, [&str; 4])]) -> Table {
    let names = [
        "model",
        "model depth",
        "model initial channels",
        "random erasing probability",
        "mixup alpha",
        "schedule",
    ];
    let mut columns: Vec<Column> = names.iter().map(|it| column(it, Kind::Name)).collect();
    columns.push(column("published (%)", Kind::Measure));
    columns.push(column("difference", Kind::Measure));
    let row = |(word, numbers): &(&str, [&str; 4])| {
        let number = |text: &&str| match *text {
            "" => Field::Blank,
            text => Field::Number(text.to_owned()),
        };
        let mut fields = vec![Field::Text((*word).to_owned())];
        fields.extend(numbers.iter().map(number));
        fields.push(Field::Text("cosine".to_owned()));
        fields.push(noted("7.25"));
        fields.push(Field::Number("+0.10".to_owned()));
        Row { fields }
    };
    Table {
        columns,
        rows: rows.iter().map(row).collect(),
        ..Table::default()
    }
}

fn within(width: usize, of: &Table) -> String {
    let style = Style {
        width: Some(width),
        ..Style::PIPE
    };
    table(of, Markup::Plain, &style)
}

#[test]
fn a_table_gets_narrower_step_by_step() {
    let table = wide(&[
        ("resnet_preact", ["20", "64", "", ""]),
        ("resnet_preact", ["20", "16", "0.5", ""]),
        ("shake_shake of a very long name", ["26", "96", "", "1"]),
    ]);
    let all: Vec<String> = [160, 100, 60].map(|it| within(it, &table)).into();
    assert_snapshot!(all.join("\n"), @r"
    model                            model depth  model initial channels  random erasing probability  mixup alpha  schedule  published (%)  difference
    ───────────────────────────────  ───────────  ──────────────────────  ──────────────────────────  ───────────  ────────  ─────────────  ──────────
    resnet_preact                             20                      64                                           cosine       7.25 [a,b]       +0.10
    resnet_preact                             20                      16                         0.5               cosine       7.25 [a,b]       +0.10
    shake_shake of a very long name           26                      96                                        1  cosine       7.25 [a,b]       +0.10

                                               model       random
                                     model   initial      erasing  mixup             published
    model                            depth  channels  probability  alpha  schedule         (%)  diff.
    ───────────────────────────────  ─────  ────────  ───────────  ─────  ────────  ──────────  ─────
    resnet_preact                       20        64                      cosine    7.25 [a,b]  +0.10
    resnet_preact                       20        16          0.5         cosine    7.25 [a,b]  +0.10
    shake_shake of a very long name     26        96                   1  cosine    7.25 [a,b]  +0.10

    In every row: schedule cosine.

                                   model
                          model  initial  published
    cell                  depth channels        (%) diff.
    ───────────────────── ───── ──────── ────────── ─────
    resnet_preact            20       64 7.25 [a,b] +0.10
    resnet_preact,           20       16 7.25 [a,b] +0.10
      random erasing
      probability 0.5
    shake_shake of a very    26       96 7.25 [a,b] +0.10
      long name,
      mixup alpha 1
    ");
}

/// A pivot of single runs: what every bracket contains is said once; where
/// columns differ, once per column.
#[test]
fn the_same_brackets_everywhere_are_said_once() {
    let pivot = |last: &str| {
        let mut columns = vec![column("lr", Kind::Name)];
        columns.extend(["4096", "2048", "1024"].map(|it| column(it, Kind::Measure)));
        let figure = |ends: &str| {
            let ends = ends.split(' ').zip(1..);
            let runs: Vec<_> = ends.map(|(end, it)| replicate(1, it, end)).collect();
            let tally = Tally::new(&runs, 3);
            let measured = Quantity::Measured(Objective::new("test_error", Measure::Last));
            Field::Figure(Shown {
                figure: Figure::new(&measured, Unit::Percent, &runs, tally).unwrap(),
                best: false,
                marks: vec!["a".to_owned()],
                brief: false,
            })
        };
        let row = |lr: &str| Row {
            fields: vec![
                Field::Number(lr.to_owned()),
                figure("10.57 q q"),
                figure("8.25 q q"),
                figure(last),
            ],
        };
        Table {
            columns,
            rows: ["3.2", "1.6"].map(row).into(),
            ..Table::default()
        }
    };
    let notes = |of: &Table| -> Vec<String> {
        let text = within(40, of);
        let notes = text.lines().filter(|it| it.contains("n brackets"));
        notes.map(str::to_owned).collect()
    };
    assert_eq!(
        notes(&pivot("8.07 q q")),
        ["In brackets behind every number: 1 of 3."]
    );
    // The second column is covered by the first; the third has its own note.
    assert_eq!(
        notes(&pivot("8.07 8.09 q")),
        [
            "The n in brackets is that of the whole row.",
            "In brackets behind every 4096: 1 of 3.",
            "In brackets behind every 1024: 2 of 3.",
        ]
    );
}

/// The facts of a row: each must be in its lines or above them.
fn facts(text: &str) -> Vec<&str> {
    text.split(|char: char| char.is_whitespace() || ",.:[]".contains(char))
        .filter(|it| !it.is_empty())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_width_loses_a_fact(
        rows in prop::collection::vec(
            (
                prop::sample::select(vec!["vgg", "resnet", "a longer name"]),
                prop::array::uniform4(prop::sample::select(vec!["", "1", "22", "333"])),
            ),
            1..6,
        ),
        most in 20..140usize,
    ) {
        let rows: Vec<(&str, [&str; 4])> = rows;
        let text = within(most, &wide(&rows));
        let said = facts(&text);
        for (word, numbers) in &rows {
            for fact in facts(word).into_iter().chain(numbers.iter().copied()) {
                prop_assert!(fact.is_empty() || said.contains(&fact), "{fact} not in {text}");
            }
        }
        prop_assert!(said.contains(&"cosine"));
        // In less space, the measured columns alone would be too wide.
        if most >= 50 {
            let lines = text.lines().skip_while(|line| !line.starts_with('─'));
            let widest = lines.map(width).max().unwrap_or(0);
            prop_assert!(widest <= most, "{widest} columns in {most}: {text}");
        }
    }
}
