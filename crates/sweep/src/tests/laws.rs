//! Laws that every grid obeys.
#![expect(
    clippy::float_cmp,
    reason = "rounding promises the very double that a literal reads as"
)]

use std::collections::BTreeSet;
use std::fmt::Write;

use proptest::prelude::*;
use proptest::sample::subsequence;
use swath_model::id::JobDigest;

use super::*;

/// Values of a few axes; each list is without repetition.
pub(super) type Axes = Vec<(&'static str, Vec<String>)>;

pub(super) fn axes() -> impl Strategy<Value = Axes> {
    let all: Axes = vec![
        ("batch_size", words(&["8", "16", "32", "64"])),
        (
            "optimizer.lr",
            words(&["0.1", "0.2", "\"batch_size / 640\"", "0.05"]),
        ),
        ("epochs", words(&["1", "2", "3"])),
        (
            "schedule.name",
            words(&["\"cosine\"", "\"constant\"", "\"linear\""]),
        ),
        ("optimizer.momentum", words(&["0.5", "0.9", "0.95"])),
    ];
    subsequence(all, 1..=5)
        .prop_shuffle()
        .prop_flat_map(|axes| {
            axes.into_iter()
                .map(|(path, values)| {
                    let count = values.len();
                    subsequence(values, 1..=count)
                        .prop_shuffle()
                        .prop_map(move |some| (path, some))
                })
                .collect::<Vec<_>>()
        })
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn block(axes: &Axes) -> String {
    let mut text = "[[grid]]\n".to_owned();
    for (path, values) in axes {
        let _ = writeln!(text, "\"{path}\" = [{}]", values.join(", "));
    }
    text
}

pub(super) fn file(blocks: &[&Axes]) -> String {
    with_head(&blocks.iter().map(|axes| block(axes)).collect::<String>())
}

fn size(axes: &Axes) -> u64 {
    axes.iter().map(|(_, values)| values.len() as u64).product()
}

fn jobs(text: &str, replicates: u32) -> Vec<(u64, JobDigest)> {
    let jobs = |cell: Cell| {
        let jobs: Vec<_> = cell
            .jobs(replicates)
            .map(|job| (job.seed, job.digest))
            .collect();
        jobs
    };
    cells(text).into_iter().flat_map(jobs).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_product_has_every_combination_once(axes in axes()) {
        let text = file(&[&axes]);
        let parsed = parsed(&text);
        let expansion = expand(&parsed).unwrap();
        let totals = expansion.totals();
        // Two ways to write one rate may give the same value: "batch_size /
        // 640" and 0.05.
        prop_assert_eq!(totals.cells + totals.duplicates, size(&axes));
        prop_assert_eq!(totals.jobs, totals.cells * 3);
        prop_assert_eq!(expansion.cells().len() as u64, totals.cells);
        prop_assert_eq!(expansion.cells().count() as u64, totals.cells);
        let digests: BTreeSet<_> = expansion.cells().map(|cell| cell.digest).collect();
        prop_assert_eq!(digests.len() as u64, totals.cells);
        let indices: Vec<_> = expansion.cells().map(|cell| u64::from(cell.index)).collect();
        prop_assert_eq!(indices, (0..totals.cells).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_file_gives_the_same_jobs_in_the_same_order(axes in axes()) {
        let text = file(&[&axes]);
        prop_assert_eq!(jobs(&text, 3), jobs(&text, 3));
        let (one, two) = (parsed(&text), parsed(&text));
        prop_assert_eq!(expand(&one).unwrap().digest(), expand(&two).unwrap().digest());
    }

    #[test]
    fn growing_an_axis_keeps_every_job(axes in axes(), which in any::<prop::sample::Index>()) {
        let before: BTreeSet<_> = jobs(&file(&[&axes]), 2).into_iter().collect();
        let mut grown = axes;
        let (path, values) = {
            let index = which.index(grown.len());
            &mut grown[index]
        };
        values.push(match *path {
            "batch_size" => "128",
            "optimizer.lr" => "0.7",
            "epochs" => "9",
            "schedule.name" => "\"polynomial\"",
            _ => "0.1",
        }.to_owned());
        let after: BTreeSet<_> = jobs(&file(&[&grown]), 2).into_iter().collect();
        prop_assert!(before.is_subset(&after));
        prop_assert!(before.len() < after.len());
    }

    #[test]
    fn more_replicates_keep_every_job(axes in axes(), few in 1_u32..4, more in 0_u32..4) {
        let text = file(&[&axes]);
        for cell in cells(&text) {
            let before: Vec<_> = cell.jobs(few).collect();
            let after: Vec<_> = cell.jobs(few + more).collect();
            prop_assert_eq!(&before[..], &after[..before.len()]);
        }
    }

    #[test]
    fn the_order_of_axes_and_values_changes_no_job(axes in axes()) {
        let mut other = axes.clone();
        other.reverse();
        for (_, values) in &mut other {
            values.reverse();
        }
        let set = |axes| jobs(&file(&[axes]), 2).into_iter().collect::<BTreeSet<_>>();
        prop_assert_eq!(set(&axes), set(&other));
    }

    #[test]
    fn blocks_are_a_union(one in axes(), two in axes()) {
        let set = |blocks: &[&Axes]| {
            cells(&file(blocks)).into_iter().map(|cell| cell.digest).collect::<BTreeSet<_>>()
        };
        let both: BTreeSet<_> = set(&[&one]).union(&set(&[&two])).copied().collect();
        prop_assert_eq!(&set(&[&one, &two]), &both);
        prop_assert_eq!(&set(&[&two, &one]), &both);
        // The cells of the first block come first, in their own order.
        let first: Vec<_> = cells(&file(&[&one])).into_iter().map(|cell| cell.digest).collect();
        let united: Vec<_> = cells(&file(&[&one, &two])).into_iter().map(|cell| cell.digest).collect();
        prop_assert_eq!(&united[..first.len()], &first[..]);
        let twice = parsed(&file(&[&one, &one]));
        let totals = expand(&twice).unwrap().totals();
        prop_assert_eq!(totals.cells as usize, first.len());
        prop_assert!(totals.duplicates >= totals.cells);
    }

    #[test]
    fn a_zip_is_the_diagonal_of_the_product(
        pairs in prop::collection::vec((1_u32..500, 1_u32..500), 1..8),
    ) {
        let column = |pick: fn(&(u32, u32)) -> u32| {
            let items: Vec<_> = pairs.iter().map(|pair| pick(pair).to_string()).collect();
            items.join(", ")
        };
        let (epochs, sizes) = (column(|pair| pair.0), column(|pair| pair.1));
        let text = with_head(&format!(
            "[[grid]]\nzip = {{ epochs = [{epochs}], batch_size = [{sizes}] }}\n"
        ));
        let mut expected = pairs.clone();
        let mut seen = BTreeSet::new();
        expected.retain(|pair| seen.insert(*pair));
        let found: Vec<_> = cells(&text)
            .iter()
            .map(|cell| {
                let number = |path: &str| cell.spec.get(path).and_then(Value::as_u64).unwrap() as u32;
                (number("epochs"), number("batch_size"))
            })
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn exclusions_remove_what_they_describe(axes in axes(), limit in 1_u32..100) {
        let text = file(&[&axes]);
        let condition = format!("batch_size >= {limit} || optimizer.lr * epochs > 0.15");
        let keeps = |cell: &Cell| {
            let number = |path: &str| cell.spec.get(path).and_then(Value::as_f64).unwrap();
            number("batch_size") < f64::from(limit)
                && number("optimizer.lr") * number("epochs") <= 0.15
        };
        let expected: Vec<_> = cells(&text)
            .into_iter()
            .filter(keeps)
            .map(|cell| cell.digest)
            .collect();
        let text = format!("{text}exclude = \"{condition}\"\n");
        if expected.is_empty() {
            prop_assert!(errors(&text).contains("removes every cell"));
        } else {
            let found: Vec<_> = cells(&text).into_iter().map(|cell| cell.digest).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_expression_is_what_plain_arithmetic_gives(
        sizes in prop::collection::btree_set(1_u32..1347, 1..6),
        scale in 1_u32..1000,
    ) {
        let list: Vec<_> = sizes.iter().map(u32::to_string).collect();
        let text = with_head(&format!(
            "[[grid]]\nbatch_size = [{}]\n\"optimizer.lr\" = \"{scale} * batch_size / 12800\"\n",
            list.join(", ")
        ));
        for (cell, size) in cells(&text).iter().zip(&sizes) {
            let naive = f64::from(scale) * f64::from(*size) / 12_800.0;
            let found = cell.spec.get("optimizer.lr").and_then(Value::as_f64).unwrap();
            prop_assert_eq!(found, rounded(naive));
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "([\\[\\]a-z_.=\"{}, 0-9\n]|epochs|\\[\\[grid\\]\\]\n|zip){0,60}") {
        let _ = SweepFile::parse("x.toml", &text, &read);
        let _ = SweepFile::parse("x.toml", &with_head(&text), &read);
    }
}

/// A grid of 100,000 cells with 10 replicates, each job seen once.
#[test]
fn a_million_jobs_expand_one_by_one() {
    let numbers = |count: u32| {
        let numbers: Vec<_> = (1..=count).map(|number| number.to_string()).collect();
        numbers.join(", ")
    };
    let text = format!(
        "[sweep]\nname = \"million\"\nreplicates = 10\n[fixed]\ntrainer.null = true\n\
         [[grid]]\nparams.a = [{0}]\nparams.b = [{0}]\nparams.c = [{1}]\n",
        numbers(100),
        numbers(10)
    );
    let file = parsed(&text);
    let expansion = expand(&file).unwrap();
    assert_eq!(expansion.totals().jobs, 1_000_000);
    let mut jobs = 0;
    for cell in expansion.cells() {
        jobs += cell.jobs(file.replicates).count();
    }
    assert_eq!(jobs, 1_000_000);
}
