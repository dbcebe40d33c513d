use std::fmt::Write;

use serde_json::json;
use swath_model::id::CellDigest;
use swath_model::import::ImportRow;

use super::*;

fn cell(number: u8, batch: u32, lr: f64) -> CandidateCell {
    CandidateCell {
        digest: CellDigest::from_bytes([number; 32]),
        axes: vec![
            ("batch_size".to_owned(), json!(batch)),
            ("optimizer.lr".to_owned(), json!(lr)),
        ],
        spec: json!({"batch_size": batch, "optimizer": {"lr": lr}, "epochs": 200, "model": {"name": "resnet"}}),
    }
}

fn candidates() -> Vec<Candidate> {
    vec![Candidate {
        sweep: "scaling".to_owned(),
        cells: vec![cell(1, 128, 0.1), cell(2, 128, 0.2), cell(3, 64, 0.05)],
    }]
}

fn errors(text: &str) -> String {
    let errors = read("runs.csv", text, "me", None, &candidates()).unwrap_err();
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn rows(text: &str) -> Vec<(CellDigest, u32, f64, u32)> {
    let rows = read("runs.csv", text, "me", None, &candidates()).unwrap();
    let short = |row: ImportRow| (row.cell, row.place, row.number.test_error, row.number.runs);
    rows.into_iter().map(short).collect()
}

fn digest(number: u8) -> CellDigest {
    CellDigest::from_bytes([number; 32])
}

#[test]
fn rows_find_their_cells_by_axes_and_by_what_is_fixed() {
    let text = "table,batch_size,optimizer.lr,epochs,test_error,n,minutes,caveat\n\
                11,128,1e-1,200,7.6,3,24,\"a, b\"\n\
                11,64,,200,8,1,,\n\
                11,128,0.2,200,,1,,not run\n";
    let found = read("runs.csv", text, "me", None, &candidates()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].number.seconds, Some(1440.0));
    assert_eq!((found[0].number.line, found[1].number.line), (2, 3));
    assert_eq!(found[0].number.source, "me");
    assert_eq!(rows(text), [(digest(1), 1, 7.6, 3), (digest(3), 1, 8.0, 1)]);
}

#[test]
fn a_number_in_two_tables_counts_once_and_two_in_one_table_twice() {
    let text = "table,batch_size,optimizer.lr,test_error\n\
                1,128,0.1,7.9\n2,128,0.1,7.9\n2,128,0.1,7.9\n3,128,0.1,7.6\n";
    assert_eq!(
        rows(text),
        [
            (digest(1), 1, 7.9, 1),
            (digest(1), 2, 7.9, 1),
            (digest(1), 3, 7.6, 1)
        ]
    );
}

#[test]
fn single_runs_come_one_by_one_and_one_table_alone() {
    let text = "table,batch_size,test_error,n,runs\n1,64,7,3,6.5 7 7.25\n2,64,9,1,\n";
    let all = rows(text);
    let errors: Vec<f64> = all.iter().map(|row| row.2).collect();
    assert_eq!(errors, [6.5, 7.0, 7.25, 9.0]);
    assert!(all.iter().all(|row| row.3 == 1));
    let second = read("runs.csv", text, "me", Some("2"), &candidates()).unwrap();
    let errors: Vec<f64> = second.iter().map(|row| row.number.test_error).collect();
    assert_eq!(errors, [9.0]);
}

#[test]
fn an_empty_field_asks_for_the_cell_without_the_parameter() {
    let mut with = candidates();
    with[0].cells[1] = cell(2, 128, 0.1);
    with[0].cells[1]
        .axes
        .push(("augmentation.cutout.size".to_owned(), json!(16)));
    let text = "batch_size,augmentation.cutout.size,test_error\n128,,7\n128,16,6\n";
    let found = read("runs.csv", text, "me", None, &with).unwrap();
    let cells: Vec<_> = found.iter().map(|row| row.cell).collect();
    assert_eq!(cells, [digest(1), digest(2)]);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_nearest() {
    insta::assert_snapshot!(errors("batch_sise,test_error\n128,7\n"), @"runs.csv:1: column 1 `batch_sise`: no cell has a parameter of this name; did you mean `batch_size`?");
    insta::assert_snapshot!(errors("batch_size\n128\n"), @"runs.csv:1: there is no column `test_error`");
    insta::assert_snapshot!(errors("batch_size,optimizer.lr,test_error\n128,0.3,7\n96,,7\n128,,7\n128,0.1,good\n128,7\n64,,7\n"), @"
    runs.csv:2: column 2 `optimizer.lr`: no cell of `scaling` with what stands before has `0.3`; the nearest is `0.2` of `0.1`, `0.2`
    runs.csv:3: column 1 `batch_size`: no cell of `scaling` with what stands before has `96`; the nearest is `128` of `128`, `64`
    runs.csv:4: it fits 2 cells of `scaling`, which differ in `optimizer.lr`; say its value
    runs.csv:5: column 3 `test_error`: `good` is no number
    runs.csv:6: it has 2 fields, the header has 3
    ");
    insta::assert_snapshot!(errors("batch_size,test_error,n,runs\n64,7,2,7\n64,7,1,8\n"), @"
    runs.csv:2: column 4 `runs`: there are 1, and `n` is 2
    runs.csv:3: column 4 `runs`: their median is 8, and `test_error` is 7
    ");
    insta::assert_snapshot!(errors("sweep,batch_size,test_error,n\nscalin,64,7,1\nscaling,64,7,0\n"), @"
    runs.csv:2: column 1 `sweep`: no sweep here is named `scalin`; did you mean `scaling`?
    runs.csv:3: column 4 `n`: `0` is no whole number from 1 to 1000
    ");
}

/// A grid of many cells and a long file of numbers for them, of several spellings.
#[test]
fn long_files_over_large_grids_are_read_in_one_pass() {
    let (batches, rates, rows_of_each) = (20_u32, 50_u32, 5_u32);
    let mut cells = Vec::new();
    for at in 0..batches * rates {
        let (batch, lr) = (1 + at / rates, 0.01 * f64::from(1 + at % rates));
        let mut one = cell(0, batch, lr);
        one.digest = CellDigest::from_bytes(*blake3::hash(&at.to_le_bytes()).as_bytes());
        cells.push(one);
    }
    let candidates = [Candidate {
        sweep: "large".to_owned(),
        cells,
    }];
    let mut text = String::from("optimizer.lr,batch_size,test_error\n");
    for row in 0..batches * rates * rows_of_each {
        let at = row % (batches * rates);
        let (batch, lr) = (1 + at / rates, 0.01 * f64::from(1 + at % rates));
        let lr = if row % 2 == 0 {
            format!("{lr}")
        } else {
            format!("{lr:e}")
        };
        writeln!(text, "{lr},{batch},7.{row}").unwrap();
    }
    let rows = read("long.csv", &text, "me", None, &candidates).unwrap();
    assert_eq!(rows.len() as u32, batches * rates * rows_of_each);
    for (row, found) in (0..).zip(&rows) {
        let at: u32 = row % (batches * rates);
        assert_eq!(found.cell, candidates[0].cells[at as usize].digest);
        assert_eq!(found.place, 1 + row / (batches * rates));
    }
}

#[test]
fn a_file_is_no_longer_than_it_may_be() {
    let mut text = String::from("batch_size,test_error\n");
    for _ in 0..=ROWS_MAX {
        text.push_str("64,7\n");
    }
    assert_eq!(
        errors(&text),
        "runs.csv:100002: a file has at most 100000 rows"
    );
    // Every one of them is a replicate of its own.
    text.truncate(text.len() - "64,7\n".len());
    let found = rows(&text);
    assert_eq!((found.len(), found[ROWS_MAX - 1].1), (ROWS_MAX, 100_000));
}
