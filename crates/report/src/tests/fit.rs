//! Tables that are wider than their place.

use insta::assert_snapshot;
use proptest::prelude::*;
use swath_core::table::{Column, Field, Kind, Row, Table};

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

/// Rows that name themselves by a word, four numbers, and what is the same in
/// all.
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

/// Every fact of a row is in its lines, or above.
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
        // Below that the measured columns alone are wider.
        if most >= 50 {
            let lines = text.lines().skip_while(|line| !line.starts_with('─'));
            let widest = lines.map(width).max().unwrap_or(0);
            prop_assert!(widest <= most, "{widest} columns in {most}: {text}");
        }
    }
}
