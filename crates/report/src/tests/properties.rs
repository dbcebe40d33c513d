//! Laws of every rendering.

use proptest::prelude::*;
use serde_json::json;
use swath_results::table::{Column, Field, Footnote, Kind, Row, Table};

use super::fixture::{cells, list, pivot, results, sweep};
use crate::csv::guarded;
use crate::{Format, Listing, ListingColumn, Markup, Style, visible};
use swath_results::table::Results;

const MARKUPS: [Markup; 4] = [Markup::Plain, Markup::Markdown, Markup::Latex, Markup::Csv];

fn texts() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        ".*",
        "[|\\\\_*`<>\\[\\]~&#$ ab\\n\\r\\t\",;=+@-]{0,12}",
        "\\PC{0,6}[\u{202e}\u{7}\u{1b}]\\PC{0,6}",
        "\u{feff}[=@ a-]{0,3}",
        Just(String::new()),
    ]
}

/// A table of words, numbers and blanks.
fn tables() -> impl Strategy<Value = Table> {
    let field = prop_oneof![
        3 => texts().prop_map(Field::Text),
        1 => any::<f64>().prop_map(|value| Field::Number(value.to_string())),
        1 => Just(Field::Blank),
    ];
    let column = (texts(), proptest::option::of("[ab]"));
    (1..5_usize).prop_flat_map(move |width| {
        let row = proptest::collection::vec(field.clone(), width);
        (
            texts(),
            proptest::collection::vec(column.clone(), width),
            proptest::collection::vec(row, 0..6),
        )
            .prop_map(|(text, columns, rows)| Table {
                title: text.clone(),
                notes: vec![text.clone()],
                columns: columns
                    .into_iter()
                    .map(|(name, group)| Column {
                        name,
                        group,
                        unit: None,
                        kind: Kind::Name,
                    })
                    .collect(),
                rows: rows.into_iter().map(|fields| Row { fields }).collect(),
                footnotes: vec![Footnote { mark: None, text }],
                best: None,
                advice: vec!["Try it".to_owned()],
            })
    })
}

fn styles() -> impl Strategy<Value = Style> {
    (
        any::<bool>(),
        proptest::option::of(0..200_usize),
        any::<bool>(),
    )
        .prop_map(|(color, width, unicode)| Style {
            color,
            width,
            unicode,
        })
}

fn plain(field: &Field) -> &str {
    match field {
        Field::Text(text) | Field::Number(text) | Field::Noted { text, .. } => text,
        Field::Blank | Field::Figure(_) => "",
    }
}

/// Whether the words of `field` follow one another in `text`. Where a table is too wide, the columns that name a row are
/// merged, and the name is broken between words: the rest of the row stands between its lines.
fn has_words(text: &str, field: &str) -> bool {
    let mut rest = Some(text);
    for word in field.split(' ') {
        let found = rest.and_then(|rest| rest.split_once(word));
        rest = found.map(|(_, behind)| behind);
    }
    rest.is_some()
}

/// The texts of a Markdown table, its escapes undone.
fn read_markdown(text: &str) -> Vec<Vec<String>> {
    let tables = text.lines().filter(|line| line.starts_with("| "));
    let rows = tables.map(|line| {
        let mut fields = vec![String::new()];
        let mut chars = line[1..].chars();
        while let Some(char) = chars.next() {
            let last = fields.len() - 1;
            match char {
                '\\' => fields[last].extend(chars.next()),
                '|' => fields.push(String::new()),
                _ => fields[last].push(char),
            }
        }
        fields.pop();
        let trimmed = fields
            .iter()
            .map(|field| field.trim_matches(' ').to_owned());
        trimmed.collect()
    });
    rows.collect()
}

proptest! {
    #[test]
    fn nothing_panics_and_the_same_gives_the_same(table in tables(), style in styles()) {
        for markup in MARKUPS {
            let text = crate::table(&table, markup, &style);
            prop_assert_eq!(&text, &crate::table(&table, markup, &style));
        }
    }

    #[test]
    fn terminals_get_no_control_characters(table in tables(), unicode in any::<bool>()) {
        let style = Style { color: false, width: None, unicode };
        for markup in [Markup::Plain, Markup::Markdown, Markup::Latex] {
            let text = crate::table(&table, markup, &style);
            let bad = |char: char| char != '\n' && char.is_control();
            prop_assert!(!text.contains(bad));
            prop_assert!(!text.contains('\u{202e}'), "it turns the text round");
        }
    }

    #[test]
    fn nothing_is_cut_without_a_terminal(table in tables()) {
        let text = crate::table(&table, Markup::Plain, &Style::PIPE);
        for field in table.rows.iter().flat_map(|row| &row.fields) {
            let field = visible(plain(field));
            prop_assert!(has_words(&text, &field), "{field}");
        }
    }

    #[test]
    fn csv_reads_back(table in tables()) {
        let text = crate::table(&table, Markup::Csv, &Style::PIPE);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(text.as_bytes());
        let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), table.rows.len() + 1);
        for (record, row) in read[1..].iter().zip(&table.rows) {
            let written: Vec<String> = row
                .fields
                .iter()
                .map(|field| guarded(plain(field)).into_owned())
                .collect();
            prop_assert_eq!(record.iter().collect::<Vec<_>>(), written);
        }
        let runs = |field: &str| field.starts_with(['=', '+', '-', '@']);
        for field in read.iter().flatten() {
            prop_assert!(!runs(field) || field.parse::<f64>().is_ok(), "{field}");
        }
    }

    #[test]
    fn markdown_reads_back(table in tables()) {
        let table = Table { title: String::new(), notes: Vec::new(), ..table };
        let text = crate::table(&table, Markup::Markdown, &Style::PIPE);
        let read = read_markdown(&text);
        prop_assert_eq!(read.len(), table.rows.len() + 2);
        for (fields, row) in read[2..].iter().zip(&table.rows) {
            let shown = row.fields.iter().map(|field| visible(plain(field)));
            let shown: Vec<String> = shown.map(|text| text.trim_matches(' ').to_owned()).collect();
            prop_assert_eq!(fields, &shown);
        }
    }

    #[test]
    fn html_has_the_fields_as_text_and_no_tags_of_theirs(table in tables()) {
        let page = crate::table(&table, Markup::Html, &Style::PIPE);
        let body = page.split("<tbody>").nth(1).unwrap_or("");
        prop_assert_eq!(body.matches("<td").count(), body.matches("</td>").count());
        let fields: usize = table.rows.iter().map(|row| row.fields.len()).sum();
        prop_assert_eq!(body.matches("<td").count(), fields);
        let entities = ["amp;", "lt;", "gt;", "quot;", "#39;"];
        let is_entity = |rest: &str| entities.iter().any(|it| rest.starts_with(it));
        prop_assert!(page.split('&').skip(1).all(is_entity));
    }

    #[test]
    fn listings_take_any_text(
        rows in proptest::collection::vec((texts(), texts()), 0..5),
        style in styles(),
    ) {
        let columns = [ListingColumn::text("a"), ListingColumn::number("b").wide()];
        let mut listing = Listing::new("things", columns);
        for (left, right) in rows {
            listing.push(left.clone(), vec![left.clone(), right], json!({ "a": left }));
        }
        for format in Format::ALL {
            let text = listing.render(format, &style);
            if format == Format::Jsonl || format == Format::Ids {
                prop_assert_eq!(text.lines().count(), listing.rows.len());
            }
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(cells in Just(cells()).prop_shuffle()) {
        for layout in [pivot(), list()] {
            let shuffled = Results::new(&sweep(&layout), cells.clone()).unwrap();
            for format in Format::ALL {
                let text = |it: &Results| crate::results(it, format, &Style::PIPE).unwrap();
                prop_assert_eq!(text(&results(&layout)), text(&shuffled));
            }
        }
    }
}

#[test]
fn a_name_that_is_too_wide_is_broken_between_words_and_stays_whole() {
    let name = "a first name of seven words, all whole";
    let number = "1".repeat(75);
    let column = |kind| Column {
        name: String::new(),
        group: None,
        unit: None,
        kind,
    };
    let fields = vec![Field::Text(name.to_owned()), Field::Number(number.clone())];
    let table = Table {
        title: String::new(),
        notes: Vec::new(),
        columns: vec![column(Kind::Name), column(Kind::Measure)],
        rows: vec![Row { fields }],
        footnotes: Vec::new(),
        best: None,
        advice: vec!["Try it".to_owned()],
    };
    let text = crate::table(&table, Markup::Plain, &Style::PIPE);
    assert!(!text.contains(name), "{text}");
    assert!(has_words(&text, name), "{text}");
    assert!(text.contains(&number), "{text}");
    assert!(!has_words(&text, "seven first"), "{text}");
}

/// A paper is no place for what its author may try next.
#[test]
fn advice_is_for_terminals() {
    let table = Table {
        advice: vec!["Try 16".to_owned()],
        ..Table::default()
    };
    for markup in [Markup::Plain, Markup::Markdown, Markup::Latex, Markup::Html] {
        let text = crate::table(&table, markup, &Style::PIPE);
        assert_eq!(text.contains("Try 16"), markup == Markup::Plain, "{text}");
    }
}

#[test]
fn formats_read_back() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    let error = "yaml".parse::<Format>().unwrap_err();
    assert!(error.contains("jsonl"), "{error}");
}

#[test]
fn formulas_are_guarded_and_numbers_are_not() {
    assert_eq!(guarded("=1+1"), "'=1+1");
    assert_eq!(guarded("-1.5e3"), "-1.5e3");
    assert_eq!(guarded("-x"), "'-x");
    assert_eq!(guarded("@a"), "'@a");
    assert_eq!(guarded("a=b"), "a=b");
}
