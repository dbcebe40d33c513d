use proptest::prelude::*;
use std::sync::Arc;
use swath_model::id::{CellDigest, JobDigest};
use swath_model::metrics::Metrics;
use swath_model::outcome::{Fault, Measurement};
use swath_model::view::ReplicateResult;

use super::*;

/// How a replicate ended, in one letter: a number is its test error.
fn replicate(number: u32, end: &str) -> ReplicateResult {
    let (state, fault) = match end {
        "d" => (StateName::Failed, Some(Fault::Diverged)),
        "f" => (StateName::Failed, Some(Fault::OutOfMemory)),
        "c" => (StateName::Cancelled, None),
        "q" => (StateName::Queued, None),
        "l" => (StateName::Leased, None),
        "s" => (StateName::Suspect, None),
        _ => (StateName::Succeeded, None),
    };
    let measurement = end.parse().ok().map(|test_error| Measurement {
        values: Metrics::from([
            ("test_error", Some(test_error)),
            ("best_test_error", (number != 2).then_some(test_error - 0.5)),
        ]),
        train_seconds: 60.0 + f64::from(number),
        weights: None,
    });
    ReplicateResult {
        replicate: Replicate(number),
        job: JobDigest::from_bytes([number as u8; 32]),
        seed: u64::from(number),
        state,
        fault,
        measurement,
        last_values: Vec::new(),
        provenance: None,
        imported: None,
    }
}

fn cell(ends: &str) -> CellResults {
    let ends = ends.split_whitespace().zip(1..);
    CellResults {
        index: 0,
        cell: CellDigest::from_bytes([9; 32]),
        axes: Vec::new(),
        replicates: ends.map(|(end, number)| replicate(number, end)).collect(),
    }
}

fn quantity(measure: Measure) -> Quantity {
    Quantity::Measured(Objective::new("test_error", measure))
}

fn summary(cell: &CellResults, measure: Measure, of: u32) -> Summary {
    Summary::new(cell, &quantity(measure), Unit::Percent, of).unwrap()
}

fn text(ends: &str) -> String {
    summary(&cell(ends), Measure::Last, 0).measured.to_string()
}

#[test]
fn texts() {
    for (ends, expected) in [
        ("8.21 8.1 8.5", "8.21"),
        ("8.21 8.1 q", "8.16 (2 of 3)"),
        ("9.6 9.7 9.5 9.4 d", "9.55 (4 of 5, 1 diverged)"),
        (
            "9.6 d f c q",
            "9.60 (1 of 5, 1 diverged, 1 failed, 1 cancelled)",
        ),
        ("d d d", "diverged (3 of 3)"),
        ("d d f", "diverged (2 of 3, 1 failed)"),
        ("f c c", "failed (1 of 3, 2 cancelled)"),
        ("c c c", "cancelled (3 of 3)"),
        ("q l s", "pending"),
        ("q d s", "pending (0 of 3, 1 diverged)"),
        ("0.0", "0.00"),
        ("", "pending"),
    ] {
        assert_eq!(text(ends), expected, "{ends}");
    }
}

#[test]
fn replicates_that_are_not_stored_yet_are_open() {
    let grown = summary(&cell("8.0 8.2 8.4"), Measure::Last, 5);
    assert_eq!(grown.measured.to_string(), "8.20 (3 of 5)");
    assert_eq!(grown.tally().open, 2);
    assert!(!grown.is_final());
}

#[test]
fn what_was_not_measured_is_told() {
    let best = summary(&cell("8.0 8.2 8.4"), Measure::Best, 3);
    assert_eq!(best.measured.to_string(), "7.70 (2 of 3, 1 not measured)");
    assert_eq!(best.train_time.to_string(), "1 m 02 s");
    let values = [(Replicate(1), 7.5), (Replicate(3), 7.9)];
    assert_eq!(best.values, values);
}

#[test]
fn the_median_of_the_last_epochs() {
    let mut cell = cell("8.0 8.2");
    cell.replicates[0].last_values = vec![99.0, 7.0, 8.0, 9.0];
    cell.replicates[1].last_values = vec![6.0, 5.0];
    let summary = summary(&cell, Measure::MedianOfLast(3), 2);
    assert_eq!(summary.values, [(Replicate(1), 8.0), (Replicate(2), 5.5)]);
    assert_eq!(summary.short, 1);
    assert!(summary.measured.is_even());
}

#[test]
fn a_measurement_from_before_a_retry_does_not_count() {
    let mut cell = cell("8.0 8.2 8.4");
    cell.replicates[0].state = StateName::Queued;
    let summary = summary(&cell, Measure::Last, 3);
    assert_eq!(summary.measured.to_string(), "8.30 (2 of 3)");
}

#[test]
fn numbers_that_are_none_are_refused() {
    let mut broken = cell("8.0 9.0");
    broken.replicates[1]
        .measurement
        .as_mut()
        .unwrap()
        .train_seconds = f64::NAN;
    let refused = Summary::new(&broken, &quantity(Measure::Last), Unit::Percent, 2);
    assert_eq!(refused, Err(NotFinite));
}

#[test]
fn what_differs_is_told() {
    let mut cell = cell("8.0 8.2 8.4 d");
    let devices = ["B", "A", "", "C"];
    for (replicate, device) in cell.replicates.iter_mut().zip(devices) {
        replicate.provenance = Some(Arc::new(Provenance {
            device: device.to_owned(),
            threads: 1 + device.len() as u32,
            ..Provenance::default()
        }));
    }
    let mixed = summary(&cell, Measure::Last, 4).mixed;
    // The diverged one counts in no number.
    assert_eq!(mixed.devices, ["A", "B"]);
    assert_eq!(
        mixed.describe(),
        "device models (A, B), thread counts (1, 2)"
    );
    cell.replicates.truncate(1);
    assert!(Mixed::of(&cell).is_empty());
}

fn number(test_error: f64, runs: u32) -> swath_model::import::Imported {
    swath_model::import::Imported {
        test_error,
        seconds: Some(60.0),
        runs,
        replicate: None,
        seed: None,
        source: "a paper".to_owned(),
        file: "a.csv".to_owned(),
        line: 2,
    }
}

#[test]
fn an_imported_median_is_no_three_equal_runs() {
    let mut imported = cell("q q q");
    swath_model::import::fill(&mut imported.replicates, [number(7.29, 3)]);
    let summed = summary(&imported, Measure::Last, 3);
    assert_eq!(summed.measured.to_string(), "7.29");
    assert_eq!((summed.measured.n(), summed.summarised), (3, 3));
    assert!(summed.values.is_empty() && summed.sample().is_empty());
    let ends = [summed.measured.min(), summed.measured.max()];
    assert_eq!(ends, [None; 2]);
    assert_eq!((summed.mean(), summed.deviation()), (None, None));
    assert_eq!(summed.interval(), None);
    let time = summed.train_time;
    assert_eq!((time.median(), time.n(), time.min()), (Some(60.0), 3, None));
    // Beside two of our runs it moves the median; only our runs show scatter.
    let mut mixed = cell("7.0 7.2 q q q");
    swath_model::import::fill(&mut mixed.replicates, [number(7.29, 3)]);
    let summed = summary(&mixed, Measure::Last, 5);
    assert_eq!(summed.measured.to_string(), "7.29");
    assert_eq!((summed.values.len(), summed.summarised), (2, 3));
    assert_eq!((summed.mean(), summed.interval()), (None, None));
    let deviation = summed.deviation().unwrap();
    assert!((deviation - 0.02_f64.sqrt()).abs() < 1e-9, "{deviation}");
}

fn end() -> impl Strategy<Value = String> {
    let word = |text: &'static str| Just(text.to_owned());
    prop_oneof![
        6 => (0.0..100.0).prop_map(|value: f64| value.to_string()),
        1 => word("d"), 1 => word("f"), 1 => word("c"), 1 => word("q"), 1 => word("l"),
    ]
}

proptest! {
    #[test]
    fn no_number_without_its_n(ends in proptest::collection::vec(end(), 1..8), more in 0..3_u32) {
        let of = ends.len() as u32 + more;
        let summary = summary(&cell(&ends.join(" ")), Measure::Last, of);
        let n = ends.iter().filter(|end| end.parse::<f64>().is_ok()).count() as u32;
        let figure = summary.measured;
        prop_assert_eq!((figure.n(), figure.of()), (n, of));
        let text = figure.to_string();
        let starts_with_number = text.starts_with(|char: char| char.is_ascii_digit());
        prop_assert_eq!(starts_with_number, n > 0, "{}", text);
        let told = format!("({n} of {of}");
        if n > 0 {
            prop_assert_eq!(text.contains(&told), n < of, "{}", text);
        }
        for (count, word) in [("d", "diverged"), ("f", "failed"), ("c", "cancelled")] {
            let is_there = ends.iter().any(|end| end == count);
            prop_assert_eq!(text.contains(word), is_there, "{}", text);
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(
        (ends, order) in proptest::collection::vec(end(), 1..8).prop_flat_map(|ends| {
            let order: Vec<usize> = (0..ends.len()).collect();
            (Just(ends), Just(order).prop_shuffle())
        })
    ) {
        let cell = cell(&ends.join(" "));
        let mut shuffled = cell.clone();
        shuffled.replicates = order.iter().map(|at| cell.replicates[*at].clone()).collect();
        for measure in [Measure::Last, Measure::Best] {
            prop_assert_eq!(summary(&cell, measure, 8), summary(&shuffled, measure, 8));
        }
    }

    /// Imported medians count as runs in n and in the median; every other
    /// statistic uses only runs that are known one by one.
    #[test]
    fn statistics_are_of_runs_alone(
        ends in proptest::collection::vec(end(), 0..6),
        numbers in proptest::collection::vec((0.0..100.0_f64, 1..5_u32), 0..4),
    ) {
        let mut cell = cell(&ends.join(" "));
        let before = summary(&cell, Measure::Last, 0);
        let fill = numbers.iter().map(|(value, runs)| number(*value, *runs));
        swath_model::import::fill(&mut cell.replicates, fill);
        let after = summary(&cell, Measure::Last, 0);
        let of_medians: u32 = numbers.iter().map(|it| it.1).filter(|runs| *runs > 1).sum();
        let singles = numbers.iter().filter(|it| it.1 == 1).count();
        prop_assert_eq!(after.summarised, of_medians);
        prop_assert_eq!(after.values.len(), before.values.len() + singles);
        prop_assert_eq!(after.measured.n() as usize, after.values.len() + of_medians as usize);
        if of_medians > 0 {
            prop_assert!(after.mean().is_none() && after.interval().is_none());
            prop_assert!(after.measured.min().is_none() && after.measured.max().is_none());
        }
        if singles == 0 {
            prop_assert_eq!(after.deviation(), before.deviation());
        }
    }

    #[test]
    fn every_replicate_is_counted_once(ends in proptest::collection::vec(end(), 0..8)) {
        let tally = summary(&cell(&ends.join(" ")), Measure::Last, 5).tally();
        let sum = tally.succeeded + tally.diverged + tally.failed + tally.cancelled + tally.open;
        prop_assert_eq!(sum, tally.of);
        prop_assert_eq!(tally.of, 5.max(ends.len() as u32));
    }
}
