//! One record per replicate, for programs: every axis in a column of its own
//! type, what was measured, and what it ran on.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use swath_model::import::Imported;
use swath_model::metrics::{BEST_TEST_ERROR, TEST_ERROR, TEST_LOSS};
use swath_model::outcome::COLUMNS;
use swath_model::text::bare_parameter;
use swath_model::view::{CellResults, ReplicateResult};
use swath_results::table::Results;

use crate::csv;

/// One field of a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum<'a> {
    /// Nothing: it is not measured yet, or there is no such parameter here.
    Null,
    /// Words.
    Text(Cow<'a, str>),
    /// A whole number of an axis.
    Integer(i64),
    /// A whole number that is at least 0.
    Count(u64),
    /// A number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// The type of a column's fields; any of them may be null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Words.
    Text,
    /// Whole numbers.
    Integer,
    /// Whole numbers that are at least 0.
    Count,
    /// Numbers.
    Number,
    /// Yes or no.
    Flag,
}

/// A column: its name, the type of its fields, and where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name; no two columns share one.
    pub name: String,
    /// The type of its fields.
    pub kind: Kind,
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Sweep,
    Cell,
    Index,
    Axis(String),
    Replicate,
    Seed,
    Job,
    State,
    Fault,
    Value,
    Unit,
    Column(&'static str),
    Seconds,
    Metric(String),
    Device,
    Driver,
    Libtorch,
    Trainer,
    Threads,
    Determinism,
    Weights,
    Imported,
    RunsBehind,
    Teller,
    FileLine,
}

/// The columns before the axes, those between axes and metrics, and those at
/// the end.
const BEFORE: [(&str, Kind, Source); 3] = [
    ("sweep", Kind::Text, Source::Sweep),
    ("cell", Kind::Text, Source::Cell),
    ("index", Kind::Count, Source::Index),
];
const BETWEEN: [(&str, Kind, Source); 11] = [
    ("replicate", Kind::Count, Source::Replicate),
    ("seed", Kind::Count, Source::Seed),
    ("job", Kind::Text, Source::Job),
    ("state", Kind::Text, Source::State),
    ("fault", Kind::Text, Source::Fault),
    ("value", Kind::Number, Source::Value),
    ("test_error", Kind::Number, Source::Column(TEST_ERROR)),
    (
        "best_test_error",
        Kind::Number,
        Source::Column(BEST_TEST_ERROR),
    ),
    ("test_loss", Kind::Number, Source::Column(TEST_LOSS)),
    ("train_seconds", Kind::Number, Source::Seconds),
    ("weights", Kind::Text, Source::Weights),
];
const BEHIND: [(&str, Kind, Source); 10] = [
    ("device", Kind::Text, Source::Device),
    ("driver", Kind::Text, Source::Driver),
    ("libtorch", Kind::Text, Source::Libtorch),
    ("trainer", Kind::Text, Source::Trainer),
    ("threads", Kind::Count, Source::Threads),
    ("determinism", Kind::Text, Source::Determinism),
    ("imported", Kind::Flag, Source::Imported),
    ("imported_runs", Kind::Count, Source::RunsBehind),
    ("imported_source", Kind::Text, Source::Teller),
    ("imported_from", Kind::Text, Source::FileLine),
];

/// The column behind the value, where the sweep gives its metric a unit.
const UNIT: &str = "unit";

/// Every replicate of a sweep as a record.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    results: &'a Results,
    fields: Vec<Field>,
}

impl<'a> Records<'a> {
    /// The records of a sweep. `value` is what the sweep measures, by its rule
    /// over epochs. `test_error` is what was reported at the end; for a program
    /// the column is that of the metric that its file names. An imported number
    /// has no job and no such value. The median of several runs stands for as many
    /// replicates; it is the `value` of the first.
    pub fn new(results: &'a Results) -> Self {
        let fixed = |(name, kind, source): (&str, Kind, Source)| Field {
            name: name.to_owned(),
            kind,
            source,
        };
        let has_unit = results.definition().unit.is_some();
        let taken = |name: &str| {
            let all = BEFORE.iter().chain(&BETWEEN).chain(&BEHIND);
            (has_unit && name == UNIT) || all.into_iter().any(|(fixed, ..)| *fixed == name)
        };
        let mut fields: Vec<Field> = BEFORE.map(fixed).into();
        fields.extend(results.axes().iter().map(|axis| Field {
            name: if taken(axis) {
                format!("axis.{axis}")
            } else {
                axis.clone()
            },
            kind: kind_of(results, axis),
            source: Source::Axis(axis.clone()),
        }));
        let mut metrics: BTreeSet<&str> = BTreeSet::new();
        let cells = results.cells().map(|(cell, _)| cell);
        for replicate in cells.flat_map(|cell| &cell.replicates) {
            let measured = replicate.measurement.iter();
            metrics.extend(measured.flat_map(|it| it.values.iter().map(|(name, _)| name)));
        }
        let own = results.metric();
        for column in BETWEEN {
            let is_error = column.2 == Source::Column(TEST_ERROR);
            if is_error && own != TEST_ERROR {
                let is_free = !taken(own) && fields.iter().all(|it| it.name != own);
                fields.push(Field {
                    name: if is_free {
                        own.to_owned()
                    } else {
                        format!("metrics.{own}")
                    },
                    kind: Kind::Number,
                    source: Source::Metric(own.to_owned()),
                });
            }
            let is_value = column.2 == Source::Value;
            if !is_error || own == TEST_ERROR || metrics.contains(TEST_ERROR) {
                fields.push(fixed(column));
            }
            if is_value && has_unit {
                fields.push(fixed((UNIT, Kind::Text, Source::Unit)));
            }
        }
        metrics.remove(own);
        metrics.retain(|name| !COLUMNS.contains(name));
        fields.extend(metrics.into_iter().map(|metric| Field {
            name: format!("metrics.{metric}"),
            kind: Kind::Number,
            source: Source::Metric(metric.to_owned()),
        }));
        fields.extend(BEHIND.map(fixed));
        Self { results, fields }
    }

    /// The columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The replicates in canonical order, each with its cell.
    pub fn rows(&self) -> impl Iterator<Item = (&'a CellResults, &'a ReplicateResult)> + use<'a> {
        let cells = self.results.cells().map(|(cell, _)| cell);
        cells.flat_map(|cell| cell.replicates.iter().map(move |it| (cell, it)))
    }

    /// The field of a record in a column.
    pub fn datum(
        &self,
        field: &Field,
        cell: &'a CellResults,
        it: &'a ReplicateResult,
    ) -> Datum<'a> {
        let measurement = it
            .measurement
            .as_ref()
            .filter(|_| it.state == swath_model::job::StateName::Succeeded);
        let number = |value: Option<f64>| value.map_or(Datum::Null, Datum::Number);
        let ran = |of: fn(&swath_model::outcome::Provenance) -> &str| {
            let text = it.provenance.as_deref().map_or("", of);
            if text.is_empty() {
                Datum::Null
            } else {
                Datum::Text(text.into())
            }
        };
        match &field.source {
            Source::Sweep => Datum::Text(self.results.name().into()),
            Source::Cell => Datum::Text(cell.cell.to_string().into()),
            Source::Index => Datum::Count(cell.index),
            Source::Axis(axis) => {
                let value = cell.axes.iter().find(|(path, _)| path == axis);
                value.map_or(Datum::Null, |(_, value)| typed(value, field.kind))
            }
            Source::Replicate => Datum::Count(it.replicate.0.into()),
            // A number that stands in a job's place was not computed by that
            // job.
            Source::Seed => match &it.imported {
                None => Datum::Count(it.seed),
                Some(imported) => imported.seed.map_or(Datum::Null, Datum::Count),
            },
            Source::Job if it.imported.is_some() => Datum::Null,
            Source::Job => Datum::Text(it.job.to_string().into()),
            Source::State => Datum::Text(it.state.name().into()),
            Source::Fault => it
                .fault
                .map_or(Datum::Null, |fault| Datum::Text(fault.name().into())),
            Source::Unit => {
                let unit = self.results.definition().sign();
                unit.map_or(Datum::Null, |unit| Datum::Text(unit.into()))
            }
            Source::Value if is_repeated(cell, it) => Datum::Null,
            Source::Value => number(self.results.quantity().of(it).ok().flatten()),
            Source::Seconds => number(measurement.map(|it| it.train_seconds)),
            Source::Weights => measurement
                .and_then(|it| it.weights)
                .map_or(Datum::Null, |it| Datum::Text(it.to_string().into())),
            Source::Column(name) => number(measurement.and_then(|it| it.values.get(name))),
            Source::Metric(name) => number(measurement.and_then(|it| it.values.get(name))),
            Source::Device => ran(|it| &it.device),
            Source::Driver => ran(|it| &it.driver),
            Source::Libtorch => ran(|it| &it.libtorch),
            Source::Trainer => ran(|it| &it.trainer),
            Source::Determinism => ran(|it| &it.determinism),
            Source::Threads => it
                .provenance
                .as_ref()
                .filter(|it| it.threads > 0)
                .map_or(Datum::Null, |it| Datum::Count(it.threads.into())),
            Source::Imported => Datum::Flag(it.imported.is_some()),
            Source::RunsBehind | Source::Teller | Source::FileLine => {
                (it.imported.as_deref()).map_or(Datum::Null, |it| said(&field.source, it))
            }
        }
    }

    /// Writes the records as CSV with a header; nulls are empty fields.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn write_csv(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = String::new();
        csv::record(
            &mut line,
            self.fields.iter().map(|it| it.name.as_str().into()),
        );
        out.write_all(line.as_bytes())?;
        for (cell, it) in self.rows() {
            line.clear();
            let texts = self
                .fields
                .iter()
                .map(|field| text(self.datum(field, cell, it)));
            csv::record(&mut line, texts);
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    /// Writes the records as JSON, one document per line; nulls are written.
    ///
    /// # Errors
    ///
    /// When `out` cannot be written.
    pub fn write_jsonl(&self, out: &mut impl Write) -> io::Result<()> {
        for (cell, it) in self.rows() {
            let line = Line {
                records: self,
                cell,
                it,
            };
            serde_json::to_writer(&mut *out, &line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

struct Line<'r, 'a> {
    records: &'r Records<'a>,
    cell: &'a CellResults,
    it: &'a ReplicateResult,
}

impl Serialize for Line<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = &self.records.fields;
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for field in fields {
            map.serialize_entry(&field.name, &self.records.datum(field, self.cell, self.it))?;
        }
        map.end()
    }
}

/// What an imported number says about its origin.
fn said<'a>(source: &Source, number: &'a Imported) -> Datum<'a> {
    match source {
        Source::RunsBehind => Datum::Count(number.runs.into()),
        Source::Teller => Datum::Text(number.source.as_str().into()),
        _ => Datum::Text(format!("{}:{}", number.file, number.line).into()),
    }
}

/// Whether an earlier replicate of the cell has this value already: an imported
/// median stands for several replicates, but it is one number.
fn is_repeated(cell: &CellResults, it: &ReplicateResult) -> bool {
    let mut alike = cell.replicates.iter();
    it.is_summary()
        && alike
            .find(|other| other.imported == it.imported)
            .is_some_and(|first| first.replicate != it.replicate)
}

impl Serialize for Datum<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(value) => serializer.serialize_i64(*value),
            Self::Count(value) => serializer.serialize_u64(*value),
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Flag(value) => serializer.serialize_bool(*value),
        }
    }
}

fn text(datum: Datum<'_>) -> Cow<'_, str> {
    match datum {
        Datum::Null => Cow::Borrowed(""),
        Datum::Text(text) => text,
        Datum::Integer(value) => value.to_string().into(),
        Datum::Count(value) => value.to_string().into(),
        Datum::Number(value) => value.to_string().into(),
        Datum::Flag(value) => value.to_string().into(),
    }
}

/// The narrowest kind that holds every value of an axis.
fn kind_of(results: &Results, axis: &str) -> Kind {
    let mut kind = None;
    for (cell, _) in results.cells() {
        let value = cell.axes.iter().find(|(path, _)| path == axis);
        let this = match value.map(|(_, value)| value) {
            None | Some(Value::Null) => continue,
            Some(Value::Bool(_)) => Kind::Flag,
            Some(value) if value.is_i64() => Kind::Integer,
            Some(value) if value.is_number() => Kind::Number,
            Some(_) => return Kind::Text,
        };
        kind = match (kind, this) {
            (None, _) => Some(this),
            (Some(kind), _) if kind == this => Some(kind),
            (Some(Kind::Integer | Kind::Number), Kind::Integer | Kind::Number) => {
                Some(Kind::Number)
            }
            _ => return Kind::Text,
        };
    }
    kind.unwrap_or(Kind::Text)
}

fn typed(value: &Value, kind: Kind) -> Datum<'static> {
    let found = match kind {
        _ if value.is_null() => Some(Datum::Null),
        Kind::Flag => value.as_bool().map(Datum::Flag),
        Kind::Integer => value.as_i64().map(Datum::Integer),
        Kind::Count => value.as_u64().map(Datum::Count),
        Kind::Number => value.as_f64().map(Datum::Number),
        Kind::Text => None,
    };
    found.unwrap_or_else(|| Datum::Text(bare_parameter(value).into()))
}
