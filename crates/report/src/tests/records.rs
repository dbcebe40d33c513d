//! One record per replicate, in every form.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use swath_model::import::{Imported, fill};
use swath_results::table::Results;

use super::fixture;
use crate::Records;

fn csv_of(results: &Results) -> Vec<Vec<String>> {
    let mut text = Vec::new();
    Records::new(results).write_csv(&mut text).unwrap();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(&text[..]);
    let record = |it: csv::StringRecord| it.iter().map(str::to_owned).collect();
    reader.records().map(|it| record(it.unwrap())).collect()
}

#[test]
fn csv_has_every_replicate_with_typed_axes() {
    let results = fixture::results(&fixture::pivot());
    let rows = csv_of(&results);
    assert_eq!(rows.len(), 37);
    let column = |name: &str| rows[0].iter().position(|it| it == name).unwrap();
    for name in [
        "sweep",
        "cell",
        "batch_size",
        "optimizer.lr",
        "seed",
        "device",
        "determinism",
    ] {
        column(name);
    }
    let (state, fault, value) = (column("state"), column("fault"), column("value"));
    let diverged: Vec<_> = rows.iter().filter(|row| row[fault] == "diverged").collect();
    assert_eq!(diverged.len(), 5);
    assert!(
        diverged
            .iter()
            .all(|row| row[state] == "failed" && row[value].is_empty())
    );
}

#[test]
fn json_lines_tell_the_same_as_csv() {
    let results = fixture::results(&fixture::pivot());
    let rows = csv_of(&results);
    let mut text = Vec::new();
    Records::new(&results).write_jsonl(&mut text).unwrap();
    let lines: Vec<Value> = String::from_utf8(text)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), rows.len() - 1);
    for (line, row) in lines.iter().zip(&rows[1..]) {
        for (name, text) in rows[0].iter().zip(row) {
            match &line[name] {
                Value::Null => assert_eq!(text, ""),
                Value::String(word) => assert_eq!(text, word),
                Value::Bool(flag) => assert_eq!(*text, flag.to_string()),
                Value::Number(number) => {
                    let number = number.as_f64().unwrap();
                    assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
                }
                other => panic!("{name}: {other}"),
            }
        }
    }
}

#[test]
fn parquet_reads_back_as_csv_does() {
    let results = fixture::results(&fixture::pivot());
    let rows = csv_of(&results);
    let mut bytes = Vec::new();
    Records::new(&results).write_parquet(&mut bytes).unwrap();
    let mut again = Vec::new();
    Records::new(&results).write_parquet(&mut again).unwrap();
    assert_eq!(bytes, again);
    let reader = SerializedFileReader::new(parquet_bytes(bytes)).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 36);
    for (found, row) in reader.get_row_iter(None).unwrap().zip(&rows[1..]) {
        let found = found.unwrap();
        let names: Vec<&String> = found.get_column_iter().map(|(name, _)| name).collect();
        assert_eq!(names, rows[0].iter().collect::<Vec<_>>());
        for ((name, field), text) in found.get_column_iter().zip(row) {
            match field {
                Field::Null => assert_eq!(text, "", "{name}"),
                Field::Str(word) => assert_eq!(text, word),
                Field::Bool(flag) => assert_eq!(*text, flag.to_string()),
                Field::Double(number) => {
                    assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits());
                }
                Field::Long(number) => assert_eq!(*text, number.to_string()),
                Field::ULong(number) => assert_eq!(*text, number.to_string()),
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

/// A median of three runs and a single run, beside the replicates of two cells.
fn with_imports() -> Results {
    let number = |line, runs, seed| Imported {
        test_error: 7.29,
        seconds: Some(60.5),
        runs,
        replicate: None,
        seed,
        source: "a paper".to_owned(),
        file: "a.csv".to_owned(),
        line,
    };
    let mut cells = fixture::cells();
    fill(&mut cells[11].replicates, [number(2, 3, None)]);
    fill(&mut cells[9].replicates, [number(3, 1, Some(7))]);
    Results::new(&fixture::sweep(&fixture::pivot()), cells).unwrap()
}

#[test]
fn imported_numbers_are_told_from_measured_ones() {
    let results = with_imports();
    let rows = csv_of(&results);
    let columns = [
        "imported",
        "imported_runs",
        "imported_source",
        "imported_from",
        "value",
        "job",
        "seed",
        "test_error",
    ];
    let column = |name: &str| rows[0].iter().position(|it| it == name).unwrap();
    let of = |row: &[String]| columns.map(|name| row[column(name)].clone()).join("|");
    let imported: Vec<String> = rows
        .iter()
        .filter(|row| row[column("imported")] == "true")
        .map(|row| of(row))
        .collect();
    assert_eq!(
        imported,
        [
            "true|1|a paper|a.csv:3|7.29||7|",
            // One number, whatever it stands for; it has no spread.
            "true|3|a paper|a.csv:2|7.29|||",
            "true|3|a paper|a.csv:2||||",
            "true|3|a paper|a.csv:2||||",
        ]
    );
    let others = rows[1..]
        .iter()
        .filter(|row| row[column("imported")] == "false");
    assert_eq!(others.count(), 32);
    let table = crate::results(&results, crate::Format::Csv, &crate::Style::PIPE).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].ends_with(",cell,imported,imported_from"),
        "{table}"
    );
    assert!(lines[1].ends_with(",0,"), "{table}");
    assert!(lines[12].ends_with(",3,a paper (a.csv:2)"), "{table}");
    for (format, mark) in [
        (crate::Format::Table, "7.29* [c]"),
        (crate::Format::Markdown, "<sup>c</sup>"),
        (crate::Format::Latex, "\\textsuperscript{c}"),
        (crate::Format::Html, "7.29</strong><sup>c</sup>"),
    ] {
        let text = crate::results(&results, format, &crate::Style::PIPE).unwrap();
        assert!(text.contains(mark), "{text}");
        assert!(text.contains("(a.csv:2)"), "{text}");
    }
}

#[test]
fn a_program_is_exported_by_the_name_of_its_metric() {
    let mut cells = fixture::cells();
    let replicates = cells.iter_mut().flat_map(|it| &mut it.replicates);
    for measurement in replicates.filter_map(|it| it.measurement.as_mut()) {
        let value = measurement.values.remove("test_error").unwrap();
        let values = [("val/acc", value), ("value", 1.0)];
        measurement.values = values.into();
    }
    let named = |metric: &str| {
        let mut sweep = fixture::sweep(&fixture::pivot());
        sweep.definition["metric"] = metric.into();
        csv_of(&Results::new(&sweep, cells.clone()).unwrap())
    };
    let rows = named("val/acc");
    let at = rows[0].iter().position(|it| it == "val/acc").unwrap();
    assert_eq!((&*rows[1][at], &*rows[0][at - 1]), ("9.41", "value"));
    assert!(!rows[0].contains(&"test_error".to_owned()), "{:?}", rows[0]);
    // Its name stays as it is where it has a unit.
    let mut sweep = fixture::sweep(&fixture::pivot());
    sweep.definition["metric"] = "val/acc".into();
    sweep.definition["unit"] = "points".into();
    let with_unit = csv_of(&Results::new(&sweep, cells.clone()).unwrap());
    let at = with_unit[0].iter().position(|it| it == "val/acc").unwrap();
    assert_eq!(
        (&*with_unit[0][at - 1], &*with_unit[1][at - 1]),
        ("unit", "points")
    );
    assert_eq!(with_unit[0].len(), rows[0].len() + 1);
    // A metric whose name is taken.
    let rows = named("value");
    let count = |name: &str| rows[0].iter().filter(|it| *it == name).count();
    assert_eq!((count("value"), count("metrics.value")), (1, 1));
}

fn parquet_bytes(bytes: Vec<u8>) -> bytes::Bytes {
    bytes.into()
}
