//! What a table says in addition to its fields: how it was measured, and every
//! fact without which a field would be misread.

use std::collections::BTreeMap;

use swath_model::job::StateName;
use swath_model::metrics::{BEST_TEST_ERROR, TEST_ERROR, TEST_LOSS};
use swath_model::protocol::MEDIAN_EPOCHS;
use swath_model::replication::Bounds;
use swath_model::text::{counted, decimals};
use swath_sweep::Measure;

use super::imported::Marked;
use super::list::Measured;
use super::{Footnote, Results, Verdict};
use crate::summary::{Quantity, Tally, Unit, covers};

/// Which fields carry which mark.
#[derive(Default)]
pub(super) struct Marks {
    /// For each cell, the notes about its figure.
    figures: Vec<Vec<usize>>,
    /// For each cell, the notes about its published value.
    published: Vec<Vec<usize>>,
    texts: Vec<String>,
    /// The letters of the texts; none for a text that is true of every value
    /// that it could mark.
    letters: Vec<Option<String>>,
}

impl Marks {
    /// The marks of a table that shows published values, if there are any, in
    /// columns of their own.
    pub(super) fn new(results: &Results) -> Self {
        let mut marks = Self::mixed(results);
        marks.add_imported(results);
        if results.has_reference() {
            marks.add_published(results);
        }
        marks.lettered()
    }

    /// The marks of a table of figures only. Figures that did not reproduce the
    /// published value are marked if they are `measured`.
    pub(super) fn of_figures(results: &Results, measured: bool) -> Self {
        let mut marks = Self::mixed(results);
        marks.add_imported(results);
        for place in (0..marks.figures.len()).filter(|_| measured) {
            let text = match results.verdict(place) {
                Some(Verdict::NotReproduced) => {
                    "Not reproduced: what was published differs by more than the noise of both \
                     sides, or the reference's tolerance"
                }
                Some(Verdict::Undecided) => "Undecided: whether this is what was published",
                // Imported numbers are marked as such.
                Some(Verdict::Reproduced | Verdict::Imported) | None => continue,
            };
            let mark = marks.mark(text);
            marks.figures[place].push(mark);
        }
        marks.lettered()
    }

    fn mixed(results: &Results) -> Self {
        let cells = results.summaries.len();
        let mut marks = Self {
            figures: vec![Vec::new(); cells],
            published: vec![Vec::new(); cells],
            ..Self::default()
        };
        let measured = results.summaries.iter();
        let mut measured = measured.filter(|it| it.tally().succeeded > 0);
        let first = measured.next().map(|it| &it.mixed);
        if let Some(first) = first.filter(|it| !it.is_empty())
            && measured.all(|it| it.mixed == *first)
        {
            marks.mark(&format!("Every median mixes {}", first.describe()));
            marks.letters.push(None);
            return marks;
        }
        for (place, summary) in results.summaries.iter().enumerate() {
            if !summary.mixed.is_empty() {
                let text = format!("The median mixes {}", summary.mixed.describe());
                let mark = marks.mark(&text);
                marks.figures[place].push(mark);
            }
        }
        marks
    }

    /// Marks each cell that rests on imported numbers, even if all do.
    fn add_imported(&mut self, results: &Results) {
        let imported = Marked::of(results);
        for (place, text) in imported.of.iter().enumerate() {
            if let Some(text) = text {
                let mark = self.mark(&imported.texts[*text]);
                self.figures[place].push(mark);
            }
        }
    }

    fn add_published(&mut self, results: &Results) {
        let mut values = 0;
        for place in 0..self.published.len() {
            let mut noted = Vec::new();
            let mut has_value = false;
            for compared in results.compared(place) {
                let published = compared.published;
                let count = published.values().count();
                if count == 0 {
                    // A blank field carries no mark.
                    continue;
                }
                // This is said below, and better.
                let said = |part: &str| count > 1 && part == "table and figure disagree";
                let parts = published.caveat.split("; ");
                for part in parts.filter(|part| !part.is_empty() && !said(part)) {
                    noted.push(self.mark(&format!("Published: {part}")));
                }
                let figure = published.figure_error.filter(|_| count > 1);
                if let Some(value) = figure {
                    noted.push(self.mark(&format!(
                        "Published: {} in the figure beside the table; either counts as reproduced",
                        results.definition.unit().text(value)
                    )));
                }
                has_value = true;
            }
            values += usize::from(has_value);
            noted.sort_unstable();
            noted.dedup();
            self.published[place] = noted;
        }
        let mut counts = vec![0; self.texts.len()];
        for mark in self.published.iter().flatten() {
            counts[*mark] += 1;
        }
        let mut letters = std::mem::take(&mut self.letters);
        for count in counts.into_iter().skip(letters.len()) {
            let is_common = count == values && count > 1;
            letters.push((!is_common).then(String::new));
        }
        self.letters = letters;
    }

    /// Gives a letter to every text that needs one.
    fn lettered(mut self) -> Self {
        self.letters
            .resize_with(self.texts.len(), || Some(String::new()));
        let needed = self.letters.iter_mut().flatten();
        for (at, text) in needed.enumerate() {
            *text = letter(at);
        }
        self
    }

    fn mark(&mut self, text: &str) -> usize {
        let known = self.texts.iter().position(|it| it == text);
        known.unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        })
    }

    /// The marks of the figure of the cell at `place`.
    pub(super) fn of(&self, place: usize) -> Vec<String> {
        self.letters_of(&self.figures[place])
    }

    /// The marks of the published value of the cell at `place`.
    pub(super) fn of_published(&self, place: usize) -> Vec<String> {
        self.letters_of(&self.published[place])
    }

    fn letters_of(&self, marks: &[usize]) -> Vec<String> {
        let letters = marks.iter().filter_map(|mark| self.letters[*mark].clone());
        letters.collect()
    }

    /// The footnotes; those with marks come first.
    fn footnotes(&self) -> impl Iterator<Item = Footnote> {
        let notes = |marked: bool| {
            let both = self.letters.iter().zip(&self.texts);
            both.filter(move |(letter, _)| letter.is_some() == marked)
                .map(|(mark, text)| Footnote {
                    mark: mark.clone(),
                    text: text.clone(),
                })
        };
        notes(true).chain(notes(false))
    }
}

/// The letters `a` to `z`, then `a1` and so on.
pub(super) fn letter(mark: usize) -> String {
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
    let runs = match (results.replicates, results.replication) {
        (least, Some(it)) => format!("median of {least} to {} runs", it.max),
        (1, None) => "one run".to_owned(),
        (count, None) => format!("median of {}", counted(u64::from(count), "run")),
    };
    let last = |count| format!("each the median of its last {}", counted(count, "epoch"));
    let at_last = || "each at its last epoch".to_owned();
    let at_best = || "each at its best epoch, chosen on the test set".to_owned();
    for measured in shown {
        let how = match &measured.quantity {
            Quantity::TrainSeconds => continue,
            Quantity::Measured(objective) => match objective.measure {
                Measure::Last => at_last(),
                Measure::Best if objective.metric == TEST_ERROR => at_best(),
                Measure::Best => "each at its best epoch".to_owned(),
                Measure::MedianOfLast(count) => last(u64::from(count)),
            },
            Quantity::Metric(metric) => match metric.as_str() {
                TEST_LOSS => at_last(),
                BEST_TEST_ERROR => at_best(),
                "median_test_error" => last(MEDIAN_EPOCHS as u64),
                "train_loss" | "train_error" => "each over its last epoch's batches".to_owned(),
                _ => "each at its end".to_owned(),
            },
        };
        let unit = measured.sign.as_deref();
        let unit = unit.map_or_else(String::new, |unit| format!(" in {unit}"));
        let how = if results.replicates == 1 && results.replication.is_none() {
            how.replacen("each ", "", 1)
        } else {
            how
        };
        notes.push(format!("{}{unit}: {runs}, {how}.", beginning(measured)));
    }
    if notes.is_empty() {
        notes.push(format!("{}.", sentence(&runs)));
    }
    notes.extend(progress(results));
    notes
}

/// What is measured, at the beginning of a sentence. The name of a program's metric stays as the program has it.
fn beginning(measured: &Measured) -> String {
    let metric = match &measured.quantity {
        Quantity::TrainSeconds => "",
        Quantity::Measured(objective) => &objective.metric,
        Quantity::Metric(metric) => metric,
    };
    if measured.name == metric {
        return measured.name.clone();
    }
    sentence(&measured.name)
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

/// How far the sweep is, until it is complete.
fn progress(results: &Results) -> Option<String> {
    let total = sum(results);
    (total.open > 0).then(|| {
        let done = total.of - total.open;
        let all = counted(u64::from(total.of), "replicate");
        let share = 100.0 * f64::from(done) / f64::from(total.of);
        // Never show 100 % while something is open.
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
    let facts = [
        replicates(results),
        even(results),
        short(results),
        repeated(results),
    ];
    let times = shown
        .into_iter()
        .any(|measured| measured.quantity == Quantity::TrainSeconds);
    let facts = facts.into_iter().flatten();
    let facts = facts.chain(replication(results));
    let facts = facts.chain(ended(results)).chain(devices(results, times));
    let facts = facts.chain(reproduced(results));
    notes.extend(facts.map(|text| Footnote { mark: None, text }));
    notes
}

/// What the ranges and the intervals of a wide table cover.
pub(super) fn intervals(results: &Results) -> Option<Footnote> {
    let told = results.summaries.iter().filter(|it| it.summarised == 0);
    let range = covers(told.map(|it| it.values.len()))?;
    let text = format!(
        "The range from min to max {range}; the interval of the median is the shortest between \
         runs equally far from either end that holds it in at least 95 % of cases, of fewer than 6 \
         runs their range; in brackets what it covers, by order statistics, whatever the \
         distribution of runs"
    );
    Some(Footnote { mark: None, text })
}

/// How the sweep compares with what was published.
fn reproduced(results: &Results) -> Option<String> {
    let check = results.check()?;
    let covers = match results.definition.unit() {
        Unit::Percent => "if runs scatter normally, 95 % of differences by chance alone are less",
        // Nothing else tells how such a metric scatters.
        Unit::Plain | Unit::Seconds => {
            "as far as the runs tell how they scatter: few runs tell too little for 95 %"
        }
    };
    Some(format!(
        "Published values: {}; reproduced where ours differs by no more than 1.96 standard errors \
         of the difference of two medians ({covers}), or the reference's own tolerance",
        check.words()
    ))
}

/// Says that some medians are over fewer replicates than the rest.
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

/// Says that results decided how often a cell was trained, and how far they
/// got.
fn replication(results: &Results) -> Option<String> {
    let it = results.replication?;
    let bounds = Bounds {
        min: results.replicates,
        max: it.max,
    };
    let (least, most, level) = (bounds.min, bounds.max, bounds.level());
    let rule = format!(
        "Numbers of runs chosen from results: {least} for each cell, and up to {most} where the U \
         test of Mann and Whitney does not tell it from its neighbour in the order of medians \
         (p <= {level:.5} at each look)"
    );
    let spent = match it.rounds {
        0 => "none was added".to_owned(),
        rounds => format!(
            "{} added in {}",
            counted(it.seeds, "run"),
            counted(u64::from(rounds), "round")
        ),
    };
    let state = match it.settled {
        None => "not settled yet".to_owned(),
        Some(it) if it.pairs == 0 => "no two cells could be compared".to_owned(),
        Some(it) if it.undecided == 0 => "all neighbours are told apart".to_owned(),
        Some(it) => format!(
            "{} of {} of neighbours not told apart",
            it.undecided,
            counted(it.pairs, "pair")
        ),
    };
    Some(format!("{rule}; {spent}, {state}"))
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
        let metric = match results.definition.metric() {
            TEST_ERROR => "a test error".to_owned(),
            other => format!("`{other}`"),
        };
        format!("{runs} had fewer than {count} epochs with {metric}; the median is over those")
    })
}

/// Says that no two runs of a cell differ, anywhere: the number of runs then tells
/// nothing of how sure a median is. Two runs alone may be equal by chance.
fn repeated(results: &Results) -> Option<String> {
    let values = results.summaries.iter().map(|it| it.values.as_slice());
    let several: Vec<_> = values.filter(|it| it.len() > 1).collect();
    let runs: usize = several.iter().map(|it| it.len()).sum();
    let equal = several.iter().all(|values| {
        let mut pairs = values.windows(2);
        pairs.all(|pair| pair[0].1.to_bits() == pair[1].1.to_bits())
    });
    (equal && runs > 2).then(|| {
        "All runs of a cell have the same value, in every cell: if that surprises, the program may \
         not use the seed that it is given"
            .to_owned()
    })
}

/// Says how many replicates ended without a measurement.
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

/// Says that cells were trained on different device models: times compare only
/// within one model, and on some models so do the numbers.
fn devices(results: &Results, times: bool) -> Option<String> {
    let mut cells_of: BTreeMap<&str, u64> = BTreeMap::new();
    for cell in &results.cells {
        let succeeded = |it: &&swath_model::view::ReplicateResult| it.state == StateName::Succeeded;
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
