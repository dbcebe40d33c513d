use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use swath_sweep::Measure;

use super::*;
use crate::summary::Objective;

const GOAL: Goal = Goal::Minimize;
const BOUNDS: Bounds = Bounds { min: 3, max: 10 };

fn cell(index: u64, trials: Vec<Trial>) -> Trials {
    Trials {
        index,
        cell: CellDigest::from_bytes([index as u8 + 1; 32]),
        trials,
    }
}

fn measured(values: &[f64]) -> Vec<Trial> {
    values.iter().copied().map(Trial::Measured).collect()
}

/// The verdict, where nothing more is to be trained.
fn settled(said: &[Steering]) -> Option<&Verdict> {
    match said {
        [Steering::Settle(verdict)] => Some(verdict),
        _ => None,
    }
}

/// What is to be trained.
fn added(said: Vec<Steering>) -> Vec<Decision> {
    let added = said.into_iter().map(|one| match one {
        Steering::Add(decision) => decision,
        Steering::Settle(verdict) => panic!("{verdict:?}"),
    });
    added.collect()
}

/// Trains what is decided until the sweep is settled. Returns the counts of the
/// cells, the rounds, and how it was settled. `value` gives what becomes of the
/// i-th replicate of a cell, from 1.
fn run(
    bounds: Bounds,
    cells: u64,
    value: impl Fn(u64, u32) -> Trial,
) -> (Vec<usize>, Vec<Vec<Decision>>, Verdict) {
    let first = |index| (1..=bounds.min).map(|it| value(index, it)).collect();
    let mut all: Vec<Trials> = (0..cells).map(|index| cell(index, first(index))).collect();
    let mut rounds = Vec::new();
    loop {
        let said = look(bounds, GOAL, &all);
        if let Some(verdict) = settled(&said) {
            let counts = all.iter().map(|cell| cell.trials.len()).collect();
            return (counts, rounds, verdict.clone());
        }
        let decisions = added(said);
        assert!(!decisions.is_empty());
        for decision in &decisions {
            let cell = all.iter_mut().find(|it| it.cell == decision.cell).unwrap();
            assert_eq!(decision.replicate.0 as usize, cell.trials.len() + 1);
            let next = value(cell.index, decision.replicate.0);
            cell.trials.push(next);
        }
        rounds.push(decisions);
    }
}

#[test]
fn the_level_is_shared_by_the_looks() {
    assert_eq!((BOUNDS.looks(), BOUNDS.level()), (8, 0.05 / 8.0));
    assert!(BOUNDS.can_decide());
    // Of the 70 divisions of 4 against 4, two are extreme: 0.029, above 0.05 /
    // 2.
    let short = Bounds { min: 3, max: 4 };
    assert!(!short.can_decide());
    assert_eq!(short.deciding_max(), 5);
    assert!(!Bounds { min: 3, max: 3 }.can_decide());
    assert!(Bounds { min: 4, max: 4 }.can_decide());
}

#[test]
fn close_cells_get_more_than_a_far_one() {
    // Two cells that measure the same numbers, and one far away.
    let value = |index, replicate| {
        let noise = f64::from(replicate * 7 % 11) / 10.0;
        let centre = if index == 2 { 50.0 } else { 10.0 };
        Trial::Measured(centre + noise)
    };
    let (counts, rounds, verdict) = run(BOUNDS, 3, value);
    // Against 10 others, 5 numbers are enough: 2 of 3003 divisions.
    assert_eq!(counts, [10, 10, 6]);
    assert_eq!(rounds.len(), 7);
    assert_eq!((verdict.pairs, verdict.undecided.len()), (2, 1));
    assert_eq!(verdict.undecided[0].stop, Stop::Max);
    let reason = rounds[0][2];
    assert_eq!(reason.replicate, Replicate(4));
    assert_eq!((reason.pair.p, reason.pair.better.n), (0.1, 3));
    assert!(!reason.pair.is_decided());
}

#[test]
fn what_diverged_is_worse_than_any_number() {
    let value = |index, _| match index {
        0 => Trial::Diverged,
        index => Trial::Measured(index as f64 * 1e300),
    };
    let (counts, _, verdict) = run(BOUNDS, 3, value);
    assert_eq!(counts, [6, 6, 6]);
    assert!(verdict.undecided.is_empty());
    // Two cells that diverged are not told apart; a median between two is not
    // used either.
    let both = [
        cell(0, vec![Trial::Diverged; 3]),
        cell(1, vec![Trial::Measured(1.0), Trial::Diverged]),
    ];
    assert_eq!(
        look(BOUNDS, GOAL, &both),
        [Steering::Settle(Verdict::default())]
    );
}

#[test]
fn cells_without_a_number_have_no_place() {
    let cells = [
        cell(0, vec![Trial::Nothing; 3]),
        cell(1, measured(&[1.0, 2.0, 3.0])),
    ];
    assert_eq!(
        look(BOUNDS, GOAL, &cells),
        [Steering::Settle(Verdict::default())]
    );
}

#[test]
fn a_cell_with_a_cancelled_job_gets_no_more() {
    let mut cells = vec![
        cell(0, measured(&[1.0, 2.0, 3.0])),
        cell(1, measured(&[1.5, 2.5])),
    ];
    cells[1].trials.push(Trial::Cancelled);
    let said = look(BOUNDS, GOAL, &cells);
    let verdict = settled(&said).expect("the pair does not wait for a cell that gets no more");
    assert_eq!(verdict.undecided[0].stop, Stop::Cancelled);
    cells[0].trials.push(Trial::Open);
    assert_eq!(look(BOUNDS, GOAL, &cells), []);
}

#[test]
fn of_two_pairs_the_one_further_from_a_decision_is_the_reason() {
    let cells = [
        cell(0, measured(&[1.0, 2.0, 3.0])),
        cell(1, measured(&[2.1, 2.2, 3.3])),
        cell(2, measured(&[9.0, 9.1, 9.2])),
    ];
    let decisions = added(look(BOUNDS, GOAL, &cells));
    assert_eq!(decisions.len(), 3);
    assert_eq!(decisions[1].pair.better.cell, cells[0].cell);
    assert!((decisions[2].pair.p - 0.1).abs() < 1e-12);
}

#[test]
fn imported_numbers_do_not_steer() {
    use swath_model::import::{Imported, fill};
    let replicate = |number: u32, state, value: Option<f64>| ReplicateResult {
        replicate: Replicate(number),
        job: swath_model::id::JobDigest::from_bytes([number as u8; 32]),
        seed: 0,
        state,
        fault: None,
        measurement: value.map(|test_error| swath_model::outcome::Measurement {
            values: [("test_error", test_error)].into(),
            train_seconds: 1.0,
            weights: None,
        }),
        last_values: Vec::new(),
        provenance: None,
        imported: None,
    };
    let mut replicates = vec![
        replicate(1, StateName::Succeeded, Some(8.0)),
        replicate(2, StateName::Cancelled, None),
    ];
    let number = serde_json::json!({
        "test_error": 1.0, "runs": 3, "source": "me", "file": "runs.csv", "line": 2
    });
    let number: Imported = serde_json::from_value(number).unwrap();
    fill(&mut replicates, [number]);
    assert_eq!(replicates.len(), 4);
    let results = CellResults {
        index: 0,
        cell: CellDigest::from_bytes([1; 32]),
        axes: Vec::new(),
        replicates,
    };
    let measured = Quantity::Measured(Objective::new("test_error", Measure::Last));
    let trials = Trials::new(&results, &measured).unwrap().trials;
    assert_eq!(trials, [Trial::Measured(8.0), Trial::Cancelled]);
}

fn trial() -> impl Strategy<Value = Trial> {
    prop_oneof![
        // Coarse values, so that ties are frequent.
        8 => (0..40_u32).prop_map(|it| Trial::Measured(f64::from(it) / 4.0)),
        1 => Just(Trial::Diverged),
        1 => Just(Trial::Nothing),
    ]
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (1..5_u32, 0..8_u32).prop_map(|(min, more)| Bounds {
        min,
        max: min + more,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sweep_is_settled_within_its_bounds(
        bounds in bounds(),
        table in prop::collection::vec(prop::collection::vec(trial(), 12), 1..6),
    ) {
        let value = |index: u64, it: u32| table[index as usize][it as usize - 1];
        let (counts, rounds, verdict) = run(bounds, table.len() as u64, value);
        let (min, max) = (bounds.min as usize, bounds.max as usize);
        prop_assert!(counts.iter().all(|count| (min..=max).contains(count)), "{counts:?}");
        let spent: usize = rounds.iter().map(Vec::len).sum();
        prop_assert_eq!(spent, counts.iter().sum::<usize>() - min * table.len());
        let decisions = rounds.iter().flatten();
        for pair in decisions.map(|it| it.pair).chain(verdict.undecided.iter().map(|it| it.pair)) {
            prop_assert!(!pair.is_decided(), "{pair:?}");
        }
        for left in &verdict.undecided {
            let fewest = left.pair.better.replicates.min(left.pair.worse.replicates);
            prop_assert_eq!((fewest, left.stop), (bounds.max, Stop::Max));
        }
    }

    /// Each of them stands for one chance to err: see the level.
    #[test]
    fn a_pair_is_undecided_no_more_often_than_there_are_looks(
        bounds in bounds(),
        table in prop::collection::vec(prop::collection::vec(trial(), 12), 2..6),
    ) {
        let value = |index: u64, it: u32| table[index as usize][it as usize - 1];
        let (_, rounds, verdict) = run(bounds, table.len() as u64, value);
        let mut seen: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        let pairs = rounds.iter().flatten().map(|it| it.pair);
        for Pair { better, worse, .. } in pairs.chain(verdict.undecided.iter().map(|it| it.pair)) {
            let names = [better.cell, worse.cell];
            let names = (names.into_iter().min(), names.into_iter().max());
            seen.entry(names).or_default().insert((better.replicates, worse.replicates));
        }
        for (names, looks) in seen {
            prop_assert!(looks.len() <= bounds.looks() as usize, "{names:?}: {looks:?}");
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(
        table in prop::collection::vec(prop::collection::vec(trial(), 3..8), 1..7),
        seed in any::<u64>(),
    ) {
        let cells: Vec<Trials> = (0..).zip(table).map(|(index, it)| cell(index, it)).collect();
        let wanted = look(BOUNDS, GOAL, &cells);
        // Turned by any amount, cells and trials alike.
        let mut turned = cells.clone();
        let by = seed as usize % cells.len();
        turned.rotate_left(by);
        for cell in &mut turned {
            let by = seed as usize % cell.trials.len();
            cell.trials.rotate_left(by);
            cell.trials.reverse();
        }
        turned.reverse();
        prop_assert_eq!(look(BOUNDS, GOAL, &turned), wanted);
    }

    #[test]
    fn more_is_better_as_less_is_with_signs_turned(
        table in prop::collection::vec(prop::collection::vec(trial(), 3..8), 1..7),
    ) {
        let cells: Vec<Trials> = (0..).zip(table).map(|(index, it)| cell(index, it)).collect();
        let mut turned = cells.clone();
        for trial in turned.iter_mut().flat_map(|cell| &mut cell.trials) {
            if let Trial::Measured(value) = trial {
                *value = -*value;
            }
        }
        let told = |said: Vec<Steering>, sign: f64| -> Vec<_> {
            let pairs = match &*said {
                [Steering::Settle(verdict)] => {
                    verdict.undecided.iter().map(|it| it.pair).collect()
                }
                _ => added(said).iter().map(|it| it.pair).collect::<Vec<_>>(),
            };
            let median = |it: &Neighbour| it.median.map(|median| median * sign);
            let pairs = pairs.iter();
            pairs.map(|it| (it.p, it.better.cell, median(&it.better), median(&it.worse))).collect()
        };
        let wanted = told(look(BOUNDS, Goal::Minimize, &cells), 1.0);
        prop_assert_eq!(told(look(BOUNDS, Goal::Maximize, &turned), -1.0), wanted);
    }

    #[test]
    fn separated_cells_get_no_more(
        counts in prop::collection::vec(6..=10_usize, 1..6),
    ) {
        // At 6 against 6 numbers no overlap is decided: 2 of 924 divisions.
        let cells: Vec<Trials> = (0..).zip(counts).map(|(index, count)| {
            let values: Vec<f64> = (0..count).map(|it| index as f64 * 100.0 + it as f64).collect();
            cell(index, measured(&values))
        }).collect();
        let said = look(BOUNDS, GOAL, &cells);
        let undecided = settled(&said).map(|verdict| verdict.undecided.len());
        prop_assert_eq!(undecided, Some(0), "a separated cell got more");
    }

    #[test]
    fn identical_cells_go_to_the_maximum(
        bounds in bounds(),
        values in prop::collection::vec(0.0..100.0, 12),
        cells in 2..5_u64,
    ) {
        let value = |_, it: u32| Trial::Measured(values[it as usize - 1]);
        let (counts, rounds, verdict) = run(bounds, cells, value);
        prop_assert_eq!(counts, vec![bounds.max as usize; cells as usize]);
        prop_assert_eq!(rounds.len() as u32, bounds.max - bounds.min);
        prop_assert_eq!(verdict.undecided.len() as u64, cells - 1);
    }
}
