use std::fmt::Write as _;

use super::*;

fn rows(kind: fn(String) -> Read, text: &str) -> Result<Vec<Vec<(String, f64)>>, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("r"), text).unwrap();
    let mut rows = read(&kind("r".to_owned()), directory.path().to_str(), "acc")?;
    let rows = std::iter::from_fn(|| rows.pop_if(|_| true));
    Ok(rows.map(|row| row.values).collect())
}

fn pair(name: &str, value: f64) -> (String, f64) {
    (name.to_owned(), value)
}

#[test]
fn files_of_all_kinds_are_rows() {
    let one = rows(Read::Json, "{\"val\": {\"acc\": 0.5}, \"note\": \"x\"}\n");
    assert_eq!(one, Ok(vec![vec![pair("val/acc", 0.5)]]));
    let two = Ok(vec![
        vec![pair("acc", 0.5), pair("epoch", 1.0)],
        vec![pair("acc", 0.75)],
    ]);
    assert_eq!(
        rows(Read::Jsonl, "{\"epoch\":1,\"acc\":0.5}\n\n{\"acc\":0.75}"),
        two
    );
    assert_eq!(rows(Read::Csv, "acc, epoch\n0.5, 1\n75e-2,\n"), two);
}

#[test]
fn a_blank_cell_is_nan_where_its_row_is_of_a_kind_that_has_the_metric() {
    let of_acc = |text: &str| {
        let rows = rows(Read::Csv, text).unwrap();
        let values = rows.into_iter().flatten();
        let values = values.filter(|(name, _)| name == "acc");
        values
            .map(|(_, value)| value.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(of_acc("epoch,acc\n1,.5\n2,.4\n3,\n"), ["0.5", "0.4", "NaN"]);
    assert_eq!(of_acc("epoch,acc\n1,.5\n2,\"1,5\"\n"), ["0.5"]);
    let kinds = "epoch,loss,acc,test\n1,2,,\n1,,.5,\n2,1,,\n2,,,.4\n";
    assert_eq!(of_acc(kinds), ["0.5"]);
}

#[test]
fn what_is_not_there_or_broken_is_told() {
    let read = read(&Read::Json("nowhere.json".to_owned()), Some("/tmp"), "acc");
    assert_eq!(
        read,
        Err("`read`: the program has not written /tmp/nowhere.json".to_owned())
    );
    let broken = rows(Read::Jsonl, "{\"acc\":1}\n{\"acc\":").unwrap_err();
    assert!(broken.contains("line 2: EOF while parsing"), "{broken}");
}

#[test]
fn of_too_many_rows_the_best_one_stays() {
    let mut text = "n,acc\n".to_owned();
    for number in 0..3 * ROWS_MAX {
        let acc = u8::from(number == 77_777);
        writeln!(text, "{number},{acc}").unwrap();
    }
    let kept = rows(Read::Csv, &text).unwrap();
    assert!(kept.len() <= ROWS_MAX);
    assert!(kept.contains(&vec![pair("n", 77_777.0), pair("acc", 1.0)]));
}
