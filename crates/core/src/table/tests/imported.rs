//! Imported numbers beside published ones.

use serde_json::json;

use super::{cells, pivot, results, with_reference};
use crate::job::StateName;

#[test]
fn imported_numbers_are_judged_until_a_training_begins() {
    let published = json!([{"line": 2, "cells": [0], "test_error": 10.0, "n": 1}]);
    let mut cells = cells();
    let number = crate::import::Imported {
        test_error: 10.0,
        seconds: None,
        runs: 1,
        replicate: None,
        seed: None,
        source: "a paper".to_owned(),
        file: "a.csv".to_owned(),
        line: 2,
    };
    let replicates = &mut cells[0].replicates;
    let mut open = replicates[0].clone();
    (open.state, open.measurement) = (StateName::Queued, None);
    replicates.clear();
    crate::import::fill(replicates, [number]);
    open.replicate = crate::id::Replicate(2);
    replicates.push(open);
    let checked = |cells| {
        let results = results(with_reference(pivot(), &published), cells);
        results.check().unwrap()
    };
    let check = checked(cells.clone());
    assert_eq!(
        (check.reproduced, check.undecided, check.imported),
        (1, 0, 1)
    );
    assert!(
        check
            .words()
            .ends_with("; 1 cell by imported numbers alone")
    );
    // One more number is on its way.
    cells[0].replicates[1].state = StateName::Leased;
    let check = checked(cells);
    assert_eq!((check.reproduced, check.undecided), (0, 1));
}
