//! Two sweeps beside each other, cell by cell.

mod rows;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

pub use self::rows::{PairRow, PairSide};
use swath_model::spec::canonical;
use swath_model::text::{counted, decimals, parameter};
use swath_model::view::CellResults;
use swath_stats::{Test, holm, least_p, mann_whitney};

use super::border::of;
use super::imported::Marked;
use super::label::labels;
use super::list::signed;
use super::notes::letter;
use super::{Column, Field, Footnote, Kind, Results, Row, Shown, Table, TableError};
use crate::summary::{Figure, Summary, alike};

/// A difference is called one if its corrected p is at most this.
const ALPHA: f64 = 0.05;
/// The most pairs; sweeps that share hardly any axis give more.
pub const PAIRS_MAX: usize = 100_000;

/// Two sweeps, joined.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    left: &'a Results,
    right: &'a Results,
    /// The axes that both sweeps have, in the order of the left one.
    shared: Vec<&'a str>,
    /// Axes that only one sweep has; the cells of one pair may differ in them.
    own: [Vec<&'a str>; 2],
    pairs: Vec<Pair>,
    /// Cells of either sweep with no partner.
    alone: [usize; 2],
    /// The best cells against each other, if both sweeps have one; the first of
    /// several.
    best: Option<Pair>,
    /// How many cells of either sweep are its best.
    ties: [usize; 2],
    /// How many more decimals than usual tell the medians of each pair apart.
    more: usize,
    /// Which cells of either sweep rest on imported numbers.
    imported: [Marked; 2],
}

/// One cell of each sweep, and how they differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The places of the cells in their sweeps.
    places: [usize; 2],
    /// The right median minus the left one.
    difference: Option<f64>,
    /// The test; none where a side has no measurement, or both are the same
    /// jobs.
    test: Option<Test>,
    /// The test's p, corrected for all tests of the comparison.
    corrected: Option<f64>,
    outcome: Outcome,
}

/// The result of comparing two cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The right one measures less, significantly.
    Less,
    /// The right one measures more, significantly.
    More,
    /// The difference may be chance.
    NotDistinguishable,
    /// With so few replicates no difference could have been shown.
    TooFew,
    /// It is one cell in both sweeps: the same jobs.
    Same,
    /// A side has no measurement yet.
    Missing,
    /// A side has only imported medians, and no run that could be tested.
    Untold,
}

impl Outcome {
    /// The name for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Less => "less",
            Self::More => "more",
            Self::NotDistinguishable => "not_distinguishable",
            Self::TooFew => "too_few",
            Self::Same => "same",
            Self::Missing => "missing",
            Self::Untold => "untold",
        }
    }
}

impl<'a> Comparison<'a> {
    /// Joins the cells of two sweeps that agree on every axis that both sweeps
    /// have. An axis of only one sweep gives several pairs.
    ///
    /// # Errors
    ///
    /// When the sweeps measure different things, share no axis, or have more than
    /// [`PAIRS_MAX`] pairs.
    pub fn new(left: &'a Results, right: &'a Results) -> Result<Self, TableError> {
        let measures = [left, right].map(|it| (it.metric(), it.definition.measure));
        if measures[0] != measures[1] {
            let [one, other] = measures.map(|(metric, measure)| format!("{metric} ({measure})"));
            return Err(TableError::Incomparable(format!(
                "{} measures {one}, {} {other}",
                left.name, right.name
            )));
        }
        let units = [left, right].map(|it| it.definition.unit.as_deref());
        if let [Some(one), Some(other)] = units
            && one != other
        {
            return Err(TableError::Incomparable(format!(
                "{} measures {} in {one}, {} in {other}",
                left.name,
                left.metric(),
                right.name
            )));
        }
        let has = |results: &Results, axis: &str| results.axes.iter().any(|it| it == axis);
        let part = |results: &'a Results, other: &Results, shared: bool| -> Vec<&'a str> {
            let axes = results.axes.iter().map(String::as_str);
            axes.filter(|axis| has(other, axis) == shared).collect()
        };
        let shared = part(left, right, true);
        if shared.is_empty() {
            return Err(TableError::Incomparable(format!(
                "{} and {} share no axis; their cells cannot be paired",
                left.name, right.name
            )));
        }
        let mut comparison = Self {
            own: [part(left, right, false), part(right, left, false)],
            left,
            right,
            shared,
            pairs: Vec::new(),
            alone: [0; 2],
            best: None,
            ties: [0; 2],
            more: 0,
            imported: [left, right].map(Marked::of),
        };
        comparison.join()?;
        comparison.test();
        Ok(comparison)
    }

    fn join(&mut self) -> Result<(), TableError> {
        let key = |cell: &CellResults| {
            let values = self.shared.iter().map(|axis| of(cell, axis).map(canonical));
            values.collect::<Vec<_>>()
        };
        let mut by_key: BTreeMap<Vec<Option<String>>, Vec<usize>> = BTreeMap::new();
        for (place, cell) in self.right.cells.iter().enumerate() {
            by_key.entry(key(cell)).or_default().push(place);
        }
        let mut paired = vec![false; self.right.cells.len()];
        let mut pairs = Vec::new();
        let mut alone = 0;
        for (place, cell) in self.left.cells.iter().enumerate() {
            let Some(others) = by_key.get(&key(cell)) else {
                alone += 1;
                continue;
            };
            for other in others {
                paired[*other] = true;
                pairs.push(self.pair([place, *other]));
            }
            if pairs.len() > PAIRS_MAX {
                return Err(TableError::Incomparable(format!(
                    "{} and {} make more than {PAIRS_MAX} pairs by the axes that they share ({})",
                    self.left.name,
                    self.right.name,
                    self.shared.join(", ")
                )));
            }
        }
        self.pairs = pairs;
        self.alone = [alone, paired.iter().filter(|it| !**it).count()];
        let best = [self.left, self.right].map(Results::best);
        self.ties = [best[0].len(), best[1].len()];
        let first = best[0].first().zip(best[1].first());
        self.best = first.map(|(left, right)| self.pair([*left, *right]));
        let medians = self.pairs.iter().chain(&self.best).filter_map(|pair| {
            let median = |side| self.cell(side, pair.places).1.measured.median();
            Some([median(0)?, median(1)?])
        });
        self.more = self.left.definition.unit().telling_apart(medians);
        Ok(())
    }

    /// A pair whose p is not corrected yet.
    fn pair(&self, places: [usize; 2]) -> Pair {
        let (left, right) = (self.cell(0, places), self.cell(1, places));
        let medians = left.1.measured.median().zip(right.1.measured.median());
        // Imported numbers belong to one sweep, but jobs to every sweep.
        let is_ours = |side: usize| self.imported[side].of[places[side]].is_none();
        let same = left.0.cell == right.0.cell && is_ours(0) && is_ours(1);
        let test = if same {
            None
        } else {
            mann_whitney(&left.1.sample(), &right.1.sample())
        };
        let outcome = match (same, test, medians) {
            (true, ..) => Outcome::Same,
            (false, None, None) => Outcome::Missing,
            (false, None, Some(_)) => Outcome::Untold,
            (false, Some(_), _) => Outcome::NotDistinguishable,
        };
        Pair {
            places,
            difference: medians.map(|(left, right)| right - left),
            test,
            corrected: None,
            outcome,
        }
    }

    fn cell(&self, side: usize, places: [usize; 2]) -> (&'a CellResults, &'a Summary) {
        let results = if side == 0 { self.left } else { self.right };
        (
            &results.cells[places[side]],
            &results.summaries[places[side]],
        )
    }

    /// The difference of a pair, without what is only rounding.
    fn told(&self, pair: &Pair) -> Option<f64> {
        let left = self.cell(0, pair.places).1.measured.median()?;
        let difference = pair.difference?;
        Some(if alike(left, left + difference) {
            0.0
        } else {
            difference
        })
    }

    /// The figure of one side of a pair.
    fn figure(&self, side: usize, pair: &Pair) -> Figure {
        let figure = self.cell(side, pair.places).1.measured;
        figure.precise(self.more)
    }

    /// Corrects the p of every pair for the number of tests. The best cells
    /// against each other are a question of its own.
    fn test(&mut self) {
        let p: Vec<f64> = self
            .pairs
            .iter()
            .filter_map(|it| Some(it.test?.p))
            .collect();
        let least = self.pairs.iter().filter_map(|it| Some(it.test?.least));
        let least = least.fold(1.0, f64::min);
        // If this holds, the method of Holm stops at its first step.
        let hopeless = least * p.len() as f64 > ALPHA;
        let mut corrected = holm(&p).into_iter();
        for pair in self.pairs.iter_mut().filter(|it| it.test.is_some()) {
            pair.conclude(corrected.next(), hopeless);
        }
        if let Some(best) = &mut self.best {
            best.conclude(best.test.map(|it| it.p), false);
        }
    }

    /// How many differences were tested.
    fn tests(&self) -> usize {
        self.pairs.iter().filter(|it| it.test.is_some()).count()
    }

    /// The comparison as a table; `wide` adds the cells' ids and the least p.
    pub fn table(&self, wide: bool) -> Table {
        let mut table = Table {
            title: format!("{} beside {}", self.right.title, self.left.title),
            notes: self.notes(),
            columns: self.columns(wide),
            footnotes: self.footnotes(),
            ..Table::default()
        };
        for pair in &self.pairs {
            table.rows.push(Row {
                fields: self.row(pair, wide),
            });
        }
        table
    }

    fn columns(&self, wide: bool) -> Vec<Column> {
        let column = |name: String, unit: Option<&str>, kind: Kind| Column {
            name,
            group: None,
            unit: unit.map(str::to_owned),
            kind,
        };
        let mut columns: Vec<Column> = labels(self.axes())
            .into_iter()
            .map(|name| column(name, None, Kind::Name))
            .collect();
        let units = [self.left, self.right].map(|it| it.definition.sign());
        for (name, unit) in self.names().into_iter().zip(units) {
            columns.push(column(name, unit, Kind::Measure));
        }
        columns.push(column("difference".to_owned(), None, Kind::Measure));
        for name in ["p", "corrected p"] {
            columns.push(column(name.to_owned(), None, Kind::Measure));
        }
        if wide {
            columns.push(column("least p".to_owned(), None, Kind::Measure));
        }
        columns.push(column("outcome".to_owned(), None, Kind::Name));
        if wide {
            for name in self.names() {
                columns.push(column(format!("cell of {name}"), None, Kind::Name));
            }
        }
        columns
    }

    /// The names of both sweeps; they may be the same, because a grown file
    /// keeps its name.
    fn names(&self) -> [String; 2] {
        let [left, right] = [self.left, self.right];
        if left.name == right.name {
            [left, right].map(|it| format!("{} ({})", it.name, it.digest.short()))
        } else {
            [left, right].map(|it| it.name.clone())
        }
    }

    fn row(&self, pair: &Pair, wide: bool) -> Vec<Field> {
        let field = |side: usize, axis: &&str| match of(self.cell(side, pair.places).0, axis) {
            None | Some(Value::Null) => Field::Blank,
            Some(value) if value.is_number() => Field::Number(parameter(value)),
            Some(value) => Field::Text(parameter(value)),
        };
        let mut fields: Vec<Field> = self.shared.iter().map(|axis| field(0, axis)).collect();
        for (side, own) in self.own.iter().enumerate() {
            fields.extend(own.iter().map(|axis| field(side, axis)));
        }
        for side in 0..2 {
            fields.push(Field::Figure(Shown {
                figure: self.figure(side, pair),
                best: false,
                marks: self.mark(side, pair.places[side]).into_iter().collect(),
                brief: false,
            }));
        }
        let unit = self.left.definition.unit();
        let number = |text: Option<String>| text.map_or(Field::Blank, Field::Number);
        let told = self.told(pair);
        fields.push(number(told.map(|it| signed(&unit.text_to(it, self.more)))));
        fields.push(number(pair.test.map(|it| chance(it.p))));
        fields.push(number(pair.corrected.map(chance)));
        if wide {
            fields.push(number(pair.test.map(|it| chance(it.least))));
        }
        fields.push(Field::Text(self.words(pair)));
        if wide {
            let ids = (0..2).map(|side| self.cell(side, pair.places).0.cell.short());
            fields.extend(ids.map(Field::Text));
        }
        fields
    }

    /// The mark of a cell that rests on imported numbers. The marks of the
    /// right sweep come after those of the left one.
    fn mark(&self, side: usize, place: usize) -> Option<String> {
        let at = self.imported[side].of[place]?;
        Some(letter(side * self.imported[0].texts.len() + at))
    }

    /// The outcome in words.
    fn words(&self, pair: &Pair) -> String {
        // What was tested; runs that are known only by a median were not.
        let n = [0, 1].map(|side| self.cell(side, pair.places).1.values.len());
        let at = if n[0] == n[1] {
            format!("n = {}", n[0])
        } else {
            format!("n = {} and {}", n[0], n[1])
        };
        let right = &self.names()[1];
        match pair.outcome {
            Outcome::Less => format!("{right} is less"),
            Outcome::More => format!("{right} is more"),
            Outcome::NotDistinguishable => format!("not distinguishable at {at}"),
            Outcome::TooFew => format!("not distinguishable at {at}: too few for any difference"),
            Outcome::Same => "the same cell".to_owned(),
            Outcome::Missing => "not measured".to_owned(),
            Outcome::Untold => "not tested: the runs behind a median are not known".to_owned(),
        }
    }

    fn notes(&self) -> Vec<String> {
        let [left, right] = self.names();
        let mut notes = vec![format!(
            "{} of {left} and {right}; differences are {right} less {left}.",
            counted(self.pairs.len() as u64, "pair"),
        )];
        if let Some(best) = &self.best {
            let told = |side: usize| {
                let results = if side == 0 { self.left } else { self.right };
                let figure = self.figure(side, best);
                let tie = match self.ties[side] - 1 {
                    0 => String::new(),
                    1 => " (another cell ties)".to_owned(),
                    others => format!(" ({others} other cells tie)"),
                };
                format!("{figure} at {}{tie}", results.describe(best.places[side]))
            };
            let p = best.test.map_or_else(String::new, |it| {
                format!(" (p = {}, for cells picked as the best)", chance(it.p))
            });
            let (one, other, words) = (told(0), told(1), self.words(best));
            notes.push(format!("Best: {left} {one}, {right} {other}: {words}{p}."));
        }
        notes
    }

    fn footnotes(&self) -> Vec<Footnote> {
        let mut texts = Vec::new();
        let tests = self.tests();
        if tests > 0 {
            texts.push(format!(
                "p by the U test of Mann and Whitney, two-sided, exact for up to 50 replicates of \
                 both; corrected for {} by Holm's method; a difference counts at a corrected p of \
                 at most {ALPHA}",
                counted(tests as u64, "test")
            ));
        }
        let few = self.pairs.iter().filter(|it| it.outcome == Outcome::TooFew);
        if few.count() > 0 {
            texts.push(self.more(tests));
        }
        for (alone, name) in self.alone.iter().zip(self.names()) {
            if *alone > 0 {
                let cells = counted(*alone as u64, "cell");
                let verb = if *alone == 1 { "has" } else { "have" };
                texts.push(format!("{cells} of {name} {verb} no partner"));
            }
        }
        let imported = self.imported.iter().flat_map(|it| &it.texts);
        let imported = imported.enumerate().map(|(at, text)| Footnote {
            mark: Some(letter(at)),
            text: text.clone(),
        });
        let note = |text| Footnote { mark: None, text };
        imported.chain(texts.into_iter().map(note)).collect()
    }

    /// What it would take to find a difference.
    fn more(&self, tests: usize) -> String {
        let enough = (1..=1000).find(|n| least_p(*n, *n) * tests as f64 <= ALPHA);
        let enough = enough.unwrap_or(1000);
        let three = decimals(least_p(3, 3), 1);
        let [left, right] = [&self.left.name, &self.right.name];
        let commands = if left == right {
            format!("`coordinator extend {left} --replicates {enough}`")
        } else {
            format!(
                "`coordinator extend {left} --replicates {enough}` and `coordinator extend {right} \
                 --replicates {enough}`"
            )
        };
        format!(
            "So few replicates cannot show any difference: the least p of 3 against 3 is {three}, \
             whatever they measure. For {} it takes {enough} of each cell: {commands}",
            counted(tests as u64, "test")
        )
    }

    /// The ids of the left cells, in the order of the pairs.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        let cells = self.pairs.iter().map(|it| self.cell(0, it.places).0);
        cells.map(|cell| cell.cell.to_string())
    }

    /// The pairs for programs.
    pub fn rows(&self) -> impl Iterator<Item = PairRow<'_>> {
        self.pairs.iter().map(|pair| PairRow::new(self, pair))
    }
}

impl Pair {
    /// `hopeless`: with these counts no replicates could have told any pair
    /// apart.
    fn conclude(&mut self, corrected: Option<f64>, hopeless: bool) {
        let Some(test) = self.test else {
            return;
        };
        self.corrected = corrected;
        self.outcome = if corrected.is_some_and(|p| p <= ALPHA) {
            if self.difference.is_some_and(|it| it < 0.0) {
                Outcome::Less
            } else {
                Outcome::More
            }
        } else if hopeless || test.is_powerless(ALPHA) {
            Outcome::TooFew
        } else {
            Outcome::NotDistinguishable
        };
    }
}

/// A probability with as many digits as are meaningful.
fn chance(p: f64) -> String {
    if p < 0.001 {
        format!("{p:.0e}")
    } else {
        decimals(p, 3)
    }
}
