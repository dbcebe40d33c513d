use super::*;

fn rows(kind: fn(String) -> Read, text: &str) -> Result<Vec<Vec<(String, f64)>>, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("r"), text).unwrap();
    let rows = read(&kind("r".to_owned()), directory.path().to_str())?;
    Ok(rows.into_iter().map(|row| row.values).collect())
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
fn what_is_not_there_or_broken_is_told() {
    let read = read(&Read::Json("nowhere.json".to_owned()), Some("/tmp"));
    assert_eq!(
        read,
        Err("`read`: the program has not written /tmp/nowhere.json".to_owned())
    );
    let broken = rows(Read::Jsonl, "{\"acc\":1}\n{\"acc\":").unwrap_err();
    assert!(broken.contains("line 2: EOF while parsing"), "{broken}");
}

#[test]
fn too_many_rows_are_thinned_evenly_and_keep_both_ends() {
    let mut rows = Rows::default();
    let total = 5 * ROWS_MAX + 3;
    for number in 0..total {
        rows.push(Row {
            values: vec![pair("n", number as f64)],
        });
    }
    let kept: Vec<usize> = rows
        .into_rows()
        .iter()
        .map(|row| row.values[0].1 as usize)
        .collect();
    assert!(kept.len() <= ROWS_MAX + 1 && kept.len() > ROWS_MAX / 2);
    assert_eq!((kept[0], kept[kept.len() - 1]), (0, total - 1));
    let steps = kept.windows(2).map(|pair| pair[1] - pair[0]);
    let inner: std::collections::BTreeSet<usize> = steps.take(kept.len() - 2).collect();
    assert_eq!(inner.len(), 1, "{inner:?}");
}
