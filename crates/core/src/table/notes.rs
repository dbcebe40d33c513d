//! What a table says beside its fields: how it was measured, and every fact
//! without which a field would be misread.

use std::collections::BTreeMap;

use super::list::Measured;
use super::{Field, Footnote, Results, Table};
use crate::job::StateName;
use crate::protocol::MEDIAN_EPOCHS;
use crate::summary::text::{counted, decimals};
use crate::summary::{Quantity, Tally, Unit};
use crate::sweep::Measure;

/// Which cells carry which mark.
pub(super) struct Marks {
    /// Per cell.
    of: Vec<Option<usize>>,
    texts: Vec<String>,
    /// One text that is true of every measured cell needs no marks.
    everywhere: bool,
}

impl Marks {
    pub(super) fn new(results: &Results) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut of = Vec::with_capacity(results.summaries.len());
        for summary in &results.summaries {
            of.push((!summary.mixed.is_empty()).then(|| {
                let text = summary.mixed.describe();
                texts.iter().position(|it| *it == text).unwrap_or_else(|| {
                    texts.push(text);
                    texts.len() - 1
                })
            }));
        }
        let mut measured = of
            .iter()
            .zip(&results.summaries)
            .filter(|(_, summary)| summary.tally().succeeded > 0)
            .map(|(mark, _)| mark);
        let everywhere = texts.len() == 1 && measured.all(Option::is_some);
        Self {
            of,
            texts,
            everywhere,
        }
    }

    /// The marks of the cell at `place`.
    pub(super) fn of(&self, place: usize) -> Vec<String> {
        match self.of[place] {
            Some(mark) if !self.everywhere => vec![letter(mark)],
            _ => Vec::new(),
        }
    }

    fn footnotes(&self) -> impl Iterator<Item = Footnote> {
        self.texts.iter().enumerate().map(|(mark, text)| Footnote {
            mark: (!self.everywhere).then(|| letter(mark)),
            text: if self.everywhere {
                format!("Every median mixes {text}")
            } else {
                format!("The median mixes {text}")
            },
        })
    }
}

/// `a` to `z`, then `a1` and so on.
fn letter(mark: usize) -> String {
    let letter = char::from(b'a' + (mark % 26) as u8);
    match mark / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{round}"),
    }
}

/// The sentences of the caption.
pub(super) fn caption<'a>(
    results: &Results,
    shown: impl Iterator<Item = &'a Measured>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let runs = match results.replicates {
        1 => "one run".to_owned(),
        count => format!("median of {}", counted(u64::from(count), "run")),
    };
    let last = |count| format!("each the median of its last {}", counted(count, "epoch"));
    for measured in shown {
        let how = match &measured.quantity {
            Quantity::TrainSeconds => continue,
            Quantity::Measured(Measure::Last) | Quantity::TestLoss => {
                "each at its last epoch".to_owned()
            }
            Quantity::Measured(Measure::Best) | Quantity::BestTestError => {
                "each at its best epoch, chosen on the test set".to_owned()
            }
            Quantity::Measured(Measure::MedianOfLast(count)) => last(u64::from(*count)),
            Quantity::Metric(metric) => match metric.as_str() {
                "median_test_error" => last(MEDIAN_EPOCHS as u64),
                "train_loss" | "train_error" => "each over its last epoch's batches".to_owned(),
                _ => "each at its end".to_owned(),
            },
        };
        let unit = match measured.unit {
            Unit::Percent => " in %",
            Unit::Plain | Unit::Seconds => "",
        };
        let how = if results.replicates == 1 {
            how.replacen("each ", "", 1)
        } else {
            how
        };
        notes.push(format!(
            "{}{unit}: {runs}, {how}.",
            sentence(&measured.name)
        ));
    }
    if notes.is_empty() {
        notes.push(format!("{}.", sentence(&runs)));
    }
    notes.extend(progress(results));
    notes
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

/// How far the sweep is, while it is not through.
fn progress(results: &Results) -> Option<String> {
    let total = sum(results);
    (total.open > 0).then(|| {
        let done = total.of - total.open;
        let all = counted(u64::from(total.of), "replicate");
        let share = 100.0 * f64::from(done) / f64::from(total.of);
        // Never 100 % while something is open.
        let share = decimals(share.floor(), 0);
        format!("Not final: {done} of {all} done ({share} %).")
    })
}

fn sum(results: &Results) -> Tally {
    let mut sum = Tally::default();
    for summary in &results.summaries {
        let tally = summary.tally();
        sum.of += tally.of;
        sum.succeeded += tally.succeeded;
        sum.diverged += tally.diverged;
        sum.failed += tally.failed;
        sum.cancelled += tally.cancelled;
        sum.open += tally.open;
    }
    sum
}

/// The footnotes: marked ones first.
pub(super) fn footnotes<'a>(
    results: &Results,
    shown: impl Iterator<Item = &'a Measured>,
    marks: &Marks,
) -> Vec<Footnote> {
    let mut notes: Vec<Footnote> = marks.footnotes().collect();
    let facts = [replicates(results), even(results), short(results)];
    let times = shown
        .into_iter()
        .any(|measured| measured.quantity == Quantity::TrainSeconds);
    let facts = facts.into_iter().flatten();
    let facts = facts.chain(super::imported::notes(results));
    let facts = facts.chain(ended(results)).chain(devices(results, times));
    notes.extend(facts.map(|text| Footnote { mark: None, text }));
    notes
}

/// That some medians are over fewer replicates than the rest.
fn replicates(results: &Results) -> Option<String> {
    let fewer = results.summaries.iter().map(|summary| summary.measured);
    let fewer = fewer.filter(|it| !it.is_complete() && it.n() > 0).count();
    let verb = if fewer == 1 { "has" } else { "have" };
    (fewer > 0).then(|| {
        format!(
            "{} {verb} a median of fewer runs, as told in brackets",
            counted(fewer as u64, "cell")
        )
    })
}

fn even(results: &Results) -> Option<String> {
    let mut figures = results.summaries.iter().map(|it| it.measured);
    figures.any(|it| it.is_even()).then(|| {
        "The median of an even number of runs is the mean of the two middle ones".to_owned()
    })
}

fn short(results: &Results) -> Option<String> {
    let runs: u32 = results.summaries.iter().map(|it| it.short).sum();
    let Measure::MedianOfLast(count) = results.definition.measure else {
        return None;
    };
    (runs > 0).then(|| {
        let runs = counted(u64::from(runs), "run");
        format!("{runs} had fewer than {count} epochs with a test error; the median is over those")
    })
}

/// How many replicates ended without a measurement.
fn ended(results: &Results) -> impl Iterator<Item = String> {
    type Count = fn(&Tally) -> u32;
    let kinds: [(&str, Count); 3] = [
        ("diverged", |tally| tally.diverged),
        ("failed", |tally| tally.failed),
        ("cancelled", |tally| tally.cancelled),
    ];
    let mut texts = Vec::new();
    for (word, count) in kinds {
        let counts = results.summaries.iter().map(|it| count(&it.tally()));
        let counts: Vec<u32> = counts.filter(|count| *count > 0).collect();
        if counts.is_empty() {
            continue;
        }
        let runs = counted(counts.iter().copied().map(u64::from).sum(), "run");
        let cells = counted(counts.len() as u64, "cell");
        let was = match (word, counts.as_slice()) {
            ("cancelled", [1]) => "was ",
            ("cancelled", _) => "were ",
            _ => "",
        };
        texts.push(format!("{runs} {was}{word}, in {cells}"));
    }
    texts.into_iter()
}

/// That cells were trained on different device models: their times, and on
/// some models their numbers, compare only within one.
fn devices(results: &Results, times: bool) -> Option<String> {
    let mut cells_of: BTreeMap<&str, u64> = BTreeMap::new();
    for cell in &results.cells {
        let succeeded = |it: &&crate::view::ReplicateResult| it.state == StateName::Succeeded;
        let mut seen: Vec<&str> = Vec::new();
        for replicate in cell.replicates.iter().filter(succeeded) {
            let device = replicate.provenance.as_ref().map_or("", |it| &it.device);
            if !device.is_empty() && !seen.contains(&device) {
                seen.push(device);
                *cells_of.entry(device).or_default() += 1;
            }
        }
    }
    (cells_of.len() > 1).then(|| {
        let each = cells_of.iter();
        let each: Vec<_> = each
            .map(|(device, cells)| format!("{device} ({})", counted(*cells, "cell")))
            .collect();
        let warning = if times {
            "; times compare only within one"
        } else {
            ""
        };
        format!("Trained on {}{warning}", each.join(", "))
    })
}

/// Marks the least median of a column, and what reads the same. Only complete
/// cells compete: a median of the lucky replicates is too good.
pub(super) fn mark_best(table: &mut Table, at: usize) {
    let complete = |field: &Field| match field {
        Field::Figure(shown) if shown.figure.is_complete() => shown.figure.median(),
        _ => None,
    };
    let medians = table
        .rows
        .iter()
        .filter_map(|row| complete(row.fields.get(at)?));
    let mut count = 0;
    let least = medians.inspect(|_| count += 1).reduce(f64::min);
    let Some(least) = least.filter(|_| count > 1) else {
        return;
    };
    // Farther off than any rounding: nothing to compare by text.
    let near = |median: f64| median - least <= 0.02 + least.abs() * 0.01;
    for row in &mut table.rows {
        let Some(Field::Figure(shown)) = row.fields.get_mut(at) else {
            continue;
        };
        let unit = shown.figure.unit();
        let median = shown.figure.median().filter(|median| near(*median));
        shown.best = shown.figure.is_complete()
            && median.is_some_and(|median| unit.text(median) == unit.text(least));
    }
    table.best = Some("the least of its column among cells with every run".to_owned());
}
