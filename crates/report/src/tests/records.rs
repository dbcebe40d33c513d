//! One record per replicate, in every form.

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use swath_core::table::Results;

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

fn parquet_bytes(bytes: Vec<u8>) -> bytes::Bytes {
    bytes.into()
}
