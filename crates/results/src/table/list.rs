//! Tables with one row per cell, and what they share with pivots: which column
//! shows what.

use std::collections::BTreeSet;

use swath_model::metrics::{self, Goal, TEST_ERROR};
use swath_model::outcome::COLUMNS;
use swath_model::spec::{canonical, keys};
use swath_model::text::parameter;
use swath_sweep::{LABEL, Layout, metric_of};

use super::best::mark_best;
use super::known::Named;
use super::label::{label, labels};
use super::notes::{Marks, caption, footnotes, intervals};
use super::{Column, Field, Kind, Results, Row, Shown, Table, TableError};
use crate::summary::{Quantity, Unit, alike, covered};

/// What a measured column shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) quantity: Quantity,
    pub(super) unit: Unit,
    /// What stands beside its name.
    pub(super) sign: Option<String>,
    pub(super) name: String,
    /// Which of its values are better; none where nobody said so, or where the
    /// better one is not what a sweep looks for.
    pub(super) goal: Option<Goal>,
}

impl Measured {
    fn column(&self) -> Column {
        Column {
            name: self.name.clone(),
            group: None,
            unit: self.sign.clone(),
            kind: Kind::Measure,
        }
    }
}

enum Shows<'a> {
    Parameter(&'a str),
    Measured(Measured),
    /// The published value of the cell, or how it compares.
    Reference(Beside),
}

/// A column that stands beside a measured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Published,
    Difference,
    Verdict,
    Time,
}

impl Beside {
    /// The columns that follow a measured one.
    fn following(quantity: &Quantity) -> &'static [Self] {
        match quantity {
            Quantity::Measured(..) => &[Self::Published, Self::Difference, Self::Verdict],
            Quantity::TrainSeconds => &[Self::Time],
            Quantity::Metric(_) => &[],
        }
    }

    fn column(self, unit: Option<&str>) -> Column {
        let (name, unit) = match self {
            Self::Published => ("published", unit),
            Self::Difference => ("difference", None),
            Self::Verdict => ("verdict", None),
            Self::Time => ("published time", None),
        };
        Column {
            name: name.to_owned(),
            group: None,
            unit: unit.map(str::to_owned),
            kind: if self == Self::Verdict {
                Kind::Name
            } else {
                Kind::Measure
            },
        }
    }
}

impl Results {
    /// The table as the sweep file lays it out.
    ///
    /// # Errors
    ///
    /// When the layout shows something that nothing measures, or cells of a
    /// pivot fall on the same place.
    pub fn table(&self) -> Result<Table, TableError> {
        match &self.definition.layout {
            Layout::List { rows, columns } => self.list(rows, columns),
            Layout::Pivot {
                rows,
                columns,
                cell,
            } => self.pivot(rows, columns, cell),
        }
    }

    /// The table with one row per cell that shows everything: every axis; the
    /// median with its n; least and greatest value, mean, standard deviation
    /// and an interval for the median with what it covers; the time; the cell's
    /// id.
    ///
    /// # Errors
    ///
    /// As [`Results::table`].
    pub fn wide(&self) -> Result<Table, TableError> {
        let rows = self.axes.clone();
        let columns = [self.metric().to_owned(), "train_time".to_owned()];
        let mut table = self.list(&rows, &columns)?;
        // Insert them right after the median.
        let at = rows.len() + 1;
        let unit = self.definition.sign();
        for name in ["interval of median", "sd", "mean", "max", "min", "n"] {
            let column = Column {
                name: name.to_owned(),
                group: None,
                unit: unit.filter(|_| name != "n").map(str::to_owned),
                kind: Kind::Measure,
            };
            table.columns.insert(at, column);
        }
        table.columns.push(Column {
            name: "cell".to_owned(),
            group: None,
            unit: None,
            kind: Kind::Name,
        });
        for (row, (cell, summary)) in table.rows.iter_mut().zip(self.cells()) {
            let figure = match &row.fields[at - 1] {
                Field::Figure(shown) => shown.figure,
                _ => summary.measured,
            };
            let number = |value: Option<f64>| match value {
                Some(value) => Field::Number(figure.text(value)),
                None => Field::Blank,
            };
            let interval = summary.interval();
            let interval = interval.map_or(Field::Blank, |it| Field::Noted {
                text: it.ends.map(|end| figure.text(end)).join(" to "),
                behind: Some(covered(it.coverage)),
                marks: Vec::new(),
            });
            row.fields.insert(at, interval);
            row.fields.insert(at, number(summary.deviation()));
            row.fields.insert(at, number(summary.mean()));
            row.fields.insert(at, number(figure.max()));
            row.fields.insert(at, number(figure.min()));
            let n = format!("{} of {}", figure.n(), figure.of());
            row.fields.insert(at, Field::Number(n));
            row.fields.push(Field::Text(cell.cell.short()));
        }
        table.footnotes.extend(intervals(self));
        Ok(table)
    }

    fn list(&self, rows: &[String], columns: &[String]) -> Result<Table, TableError> {
        let mut shown: Vec<Shows<'_>> = Vec::new();
        shown.extend(rows.iter().map(|path| Shows::Parameter(path)));
        for name in columns {
            let next = self.shows(name)?;
            let beside = match &next {
                Shows::Measured(it) if self.has_reference() => Beside::following(&it.quantity),
                _ => &[],
            };
            shown.push(next);
            shown.extend(beside.iter().copied().map(Shows::Reference));
        }
        let measures = || {
            shown.iter().filter_map(|it| match it {
                Shows::Measured(measured) => Some(measured),
                Shows::Parameter(_) | Shows::Reference(_) => None,
            })
        };
        let marks = Marks::new(self);
        let mut fields = Vec::with_capacity(self.cells.len());
        for place in 0..self.cells.len() {
            fields.push(Row {
                fields: self.row(place, &shown, &marks)?,
            });
        }
        let mut table = Table {
            title: self.title.clone(),
            notes: caption(self, measures()),
            columns: heads(&shown, self.definition.sign()),
            rows: fields,
            footnotes: footnotes(self, measures(), &marks),
            best: None,
            advice: self.border(),
        };
        if let Some(note) = self.ambiguous(&shown) {
            table.notes.push(note);
        }
        let compared = shown
            .iter()
            .enumerate()
            .filter_map(|(at, show)| match show {
                Shows::Measured(it) => Some((at, it.goal?)),
                Shows::Parameter(_) | Shows::Reference(_) => None,
            });
        mark_best(&mut table, &compared.collect::<Vec<_>>());
        Ok(table)
    }

    fn row(
        &self,
        place: usize,
        shown: &[Shows<'_>],
        marks: &Marks,
    ) -> Result<Vec<Field>, TableError> {
        let mut fields = Vec::with_capacity(shown.len());
        let mut first = None;
        for show in shown {
            fields.push(match show {
                Shows::Parameter(path) => self.parameter(path, place),
                Shows::Reference(beside) => self.published_field(*beside, place, marks),
                Shows::Measured(measured) => {
                    let figure = self.figure(place, &measured.quantity, measured.unit)?;
                    // Only once per row: marks and reasons are about its
                    // replicates.
                    let told = *first.get_or_insert(figure.n());
                    let is_first = !fields.iter().any(|it| matches!(it, Field::Figure(_)));
                    Field::Figure(Shown {
                        figure,
                        best: false,
                        marks: if is_first {
                            marks.of(place)
                        } else {
                            Vec::new()
                        },
                        brief: !is_first && told == figure.n(),
                    })
                }
            });
        }
        Ok(fields)
    }

    /// The published value of the cell at `place`, or how it compares.
    fn published_field(&self, beside: Beside, place: usize, marks: &Marks) -> Field {
        let compared = self.compared(place);
        let unit = self.definition.unit();
        match beside {
            Beside::Published => {
                let texts = compared.iter().filter_map(|it| it.published.test_error);
                let text = distinct(texts.map(|value| unit.text(value)));
                // Where both exist, a footnote has the value of the figure.
                let figures = compared.iter().filter_map(|it| it.published.figure_error);
                let figures = distinct(figures.map(|value| unit.text(value)));
                let alone = text.is_empty() && !figures.is_empty();
                let behind = alone.then(|| format!("figure {figures}"));
                if text.is_empty() && behind.is_none() {
                    return Field::Blank;
                }
                Field::Noted {
                    text,
                    behind,
                    marks: marks.of_published(place),
                }
            }
            Beside::Difference => {
                // The difference from the value that is reproduced, or else
                // from the nearest.
                let differences = compared.iter().filter_map(|it| it.difference);
                let least = differences.min_by(|left, right| left.abs().total_cmp(&right.abs()));
                let median = self.summaries[place].measured.median().unwrap_or(0.0);
                let rounds = |it: f64| alike(median, median - it);
                let least = least.map(|it| if rounds(it) { 0.0 } else { it });
                least.map_or(Field::Blank, |it| Field::Number(signed(&unit.text(it))))
            }
            Beside::Verdict => self
                .verdict(place)
                .map_or(Field::Blank, |it| Field::Text(it.words().to_owned())),
            Beside::Time => {
                let minutes = compared.iter().filter_map(|it| it.published.minutes);
                let text = distinct(minutes.map(minutes_text));
                if text.is_empty() {
                    Field::Blank
                } else {
                    Field::Number(text)
                }
            }
        }
    }

    /// The field of a parameter.
    pub(super) fn parameter(&self, path: &str, place: usize) -> Field {
        let value = self.definition.value(path, &self.cells[place]);
        match value {
            None => Field::Blank,
            Some(value) if value.is_number() => Field::Number(parameter(value)),
            Some(value) => Field::Text(parameter(value)),
        }
    }

    fn shows<'a>(&self, name: &'a str) -> Result<Shows<'a>, TableError> {
        match self.measured(name) {
            Some(measured) => Ok(Shows::Measured(measured)),
            None if name == LABEL || keys::find(name).is_some() => Ok(Shows::Parameter(name)),
            None => Err(self.unknown(name, Named::Either)),
        }
    }

    /// What the measure of this name shows.
    pub(super) fn measured(&self, name: &str) -> Option<Measured> {
        let own = self.definition.unit();
        let unit_of = |metric| match metrics::kind(metric) {
            Some(known) if known.unit == metrics::Unit::Percent => own,
            _ => Unit::Plain,
        };
        let (quantity, unit) = match name {
            _ if name == self.metric() => (self.measured.clone(), own),
            TEST_ERROR => (self.measured.clone(), own),
            "train_time" => (Quantity::TrainSeconds, Unit::Seconds),
            _ => {
                let column = COLUMNS.contains(&name).then_some(name);
                // A program's own metrics go by their names, unless these are
                // parameters.
                let plain = || {
                    let is_free = name != LABEL && keys::find(name).is_none();
                    (is_free && self.recorded().contains(name)).then_some(name)
                };
                let metric = column.or_else(|| metric_of(name)).or_else(plain)?;
                (Quantity::Metric(metric.to_owned()), unit_of(metric))
            }
        };
        let name = match &quantity {
            Quantity::Measured(..) => label(self.metric()),
            // A dot separates the parts of a metric's name, as in that of a
            // test set.
            Quantity::Metric(metric) => metric.replace('_', " "),
            Quantity::TrainSeconds => label(name),
        };
        let sign = match &quantity {
            Quantity::Measured(..) => self.definition.sign(),
            Quantity::Metric(_) | Quantity::TrainSeconds => unit.sign(),
        };
        Some(Measured {
            sign: sign.map(str::to_owned),
            goal: match &quantity {
                // The quickest cell is not the best one.
                Quantity::TrainSeconds => None,
                Quantity::Measured(objective) => Some(objective.goal),
                Quantity::Metric(metric) => Goal::implied(metric),
            },
            quantity,
            unit,
            name,
        })
    }

    /// Whether the labels, together with the other parameters shown, tell all
    /// rows apart.
    fn is_labelled(&self, shown: &[Shows<'_>]) -> bool {
        let paths = shown.iter().filter_map(|show| match show {
            Shows::Parameter(path) => Some(*path),
            Shows::Measured(_) | Shows::Reference(_) => None,
        });
        let paths: Vec<&str> = paths.collect();
        let mut seen = BTreeSet::new();
        let mut rows = self.cells.iter().map(|cell| {
            let values = paths.iter().map(|path| self.definition.value(path, cell));
            values.map(|it| it.map(canonical)).collect::<Vec<_>>()
        });
        paths.contains(&LABEL) && rows.all(|row| seen.insert(row))
    }

    /// A warning if some rows cannot be told apart by the parameters shown.
    fn ambiguous(&self, shown: &[Shows<'_>]) -> Option<String> {
        if self.is_labelled(shown) {
            return None;
        }
        let hidden: Vec<String> = self
            .axes
            .iter()
            .filter(|axis| {
                let is_shown = shown
                    .iter()
                    .any(|show| matches!(show, Shows::Parameter(path) if path == axis));
                let value = |place: usize| self.definition.value(axis, &self.cells[place]);
                !is_shown && (1..self.cells.len()).any(|place| value(place) != value(0))
            })
            .map(|axis| label(axis))
            .collect();
        (!hidden.is_empty()).then(|| {
            let names = hidden.join(", ");
            format!("Not shown, but not the same in every row: {names}.")
        })
    }
}

/// The text of a published time; whole minutes are shown without seconds.
fn minutes_text(minutes: f64) -> String {
    if minutes < 60.0 && minutes.fract() == 0.0 {
        format!("{minutes} m")
    } else {
        Unit::Seconds.text(60.0 * minutes)
    }
}

/// Each text once, in order, separated by slashes.
fn distinct(texts: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for text in texts {
        if !all.contains(&text) {
            all.push(text);
        }
    }
    all.join(" / ")
}

/// A difference with its sign; 0.00 has none.
pub(super) fn signed(text: &str) -> String {
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if is_zero || text.starts_with('-') {
        text.to_owned()
    } else {
        format!("+{text}")
    }
}

fn heads(shown: &[Shows<'_>], unit: Option<&str>) -> Vec<Column> {
    let paths = shown.iter().filter_map(|show| match show {
        Shows::Parameter(path) => Some(*path),
        Shows::Measured(_) | Shows::Reference(_) => None,
    });
    let mut names = labels(paths).into_iter();
    let columns = shown.iter().map(|show| match show {
        Shows::Parameter(_) => Column {
            name: names.next().unwrap_or_default(),
            group: None,
            unit: None,
            kind: Kind::Name,
        },
        Shows::Measured(measured) => measured.column(),
        Shows::Reference(beside) => beside.column(unit),
    });
    columns.collect()
}
