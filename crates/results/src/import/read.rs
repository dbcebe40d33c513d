//! From a CSV file to numbers for the cells of sweeps.

use std::collections::BTreeMap;
use std::fmt;

use csv::StringRecord;
use serde_json::Value;
use swath_model::id::{CellDigest, Replicate};
use swath_model::import::{ImportRow, Imported, RUNS_MAX};
use swath_model::suggest::{listed, nearest};
use swath_stats::Sample;

use super::find::{Field, Finder, Missed};
use super::rows::Rows;

/// The most rows of one file.
pub const ROWS_MAX: usize = 100_000;

/// How many errors of one file are reported at once.
const ERRORS_MAX: usize = 20;

/// Columns that are not parameters, unless a sweep has an axis of that name.
const COLUMNS: [&str; 16] = [
    "test_error",
    "n",
    "runs",
    "replicate",
    "seed",
    "seconds",
    "minutes",
    "source",
    "sweep",
    "table",
    // Columns in files of published values, for people and for verdicts.
    "tolerance",
    "figure_error",
    "caveat",
    "best",
    "paper",
    "paper_sd",
];

/// A sweep that rows may belong to.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The sweep's name.
    pub sweep: String,
    /// Its cells in canonical order.
    pub cells: Vec<CandidateCell>,
}

/// A cell that a row may belong to.
#[derive(Clone, Debug)]
pub struct CandidateCell {
    /// The cell's digest.
    pub digest: CellDigest,
    /// Its axes in written order.
    pub axes: Vec<(String, Value)>,
    /// Its spec: a column may name a parameter that is fixed and not an axis.
    pub spec: Value,
}

impl CandidateCell {
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        let axis = self.axes.iter().find(|(axis, _)| axis == path);
        axis.map(|(_, value)| value)
            .or_else(|| path.split('.').try_fold(&self.spec, |at, key| at.get(key)))
    }
}

/// What is wrong in a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ImportError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1, with its name.
    pub column: Option<(usize, String)>,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if let Some((place, name)) = &self.column {
            write!(f, "column {place} `{name}`: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Reads the rows of a CSV `text` and finds the cells that they belong to.
///
/// The first line names the columns: parameters, `test_error`, and optionally
/// `n` (how many runs it is the median of), `runs` (the test error of each,
/// separated by spaces), `replicate`, `seed`, `seconds` or `minutes`, `source`,
/// `sweep`, `table`. A row belongs to the cell, of each candidate, that has the
/// values of its parameters. An empty field matches any value; where several
/// cells match, only those without that parameter are considered, and exactly
/// one must be left. A row without a test error is skipped; with `only_table`,
/// so is a row of another table. A number that one file gives twice for one
/// cell, under different values of `table`, counts once.
///
/// # Errors
///
/// Everything that is wrong, at most 20 errors, in the order of the file.
pub fn read(
    file: &str,
    text: &str,
    source: &str,
    only_table: Option<&str>,
    candidates: &[Candidate],
) -> Result<Vec<ImportRow>, Vec<ImportError>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => return Err(vec![broken(file, &error)]),
    };
    let columns = Columns::new(file, &header, candidates).map_err(|error| vec![error])?;
    if only_table.is_some() && !columns.others.contains_key("table") {
        let message = "there is no column `table` to choose by".to_owned();
        return Err(vec![error_at(file, 1, None, message)]);
    }
    let mut finders: Vec<Finder<'_>> = candidates.iter().map(Finder::new).collect();
    let mut rows = Rows::default();
    let mut errors = Vec::new();
    for (count, record) in reader.records().enumerate() {
        let found = match record {
            Ok(_) if count >= ROWS_MAX => {
                let message = format!("a file has at most {ROWS_MAX} rows");
                Err(error_at(file, count as u64 + 2, None, message))
            }
            Ok(record) if !columns.is_of(&record, only_table) => Ok(None),
            Ok(record) => columns.row(&record, source, &mut finders),
            Err(error) => Err(broken(file, &error)),
        };
        match found {
            Ok(Some(found)) => rows.add(found, candidates),
            Ok(None) => {}
            Err(error) => errors.push(error),
        }
        if errors.len() >= ERRORS_MAX || count >= ROWS_MAX {
            break;
        }
    }
    if errors.is_empty() {
        Ok(rows.all)
    } else {
        Err(errors)
    }
}

fn broken(file: &str, error: &csv::Error) -> ImportError {
    let line = error.position().map_or(1, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("it has {len} fields, the header has {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    error_at(file, line, None, message)
}

fn error_at(
    file: &str,
    line: u64,
    column: Option<(usize, String)>,
    message: String,
) -> ImportError {
    ImportError {
        file: file.to_owned(),
        line,
        column,
        message,
    }
}

/// What each column of a file means.
struct Columns<'a> {
    file: &'a str,
    names: Vec<String>,
    /// Indices of the columns of parameters.
    parameters: Vec<usize>,
    /// Indices of the other columns, by name.
    others: BTreeMap<&'static str, usize>,
}

/// A number of a row, with the cells it is for, as (candidate, cell).
pub(super) struct Found {
    pub(super) numbers: Vec<Imported>,
    pub(super) table: String,
    pub(super) cells: Vec<(usize, CellDigest)>,
}

impl<'a> Columns<'a> {
    fn new(
        file: &'a str,
        header: &StringRecord,
        candidates: &[Candidate],
    ) -> Result<Self, ImportError> {
        let mut columns = Self {
            file,
            names: header.iter().map(str::to_owned).collect(),
            parameters: Vec::new(),
            others: BTreeMap::new(),
        };
        for (place, name) in header.iter().enumerate() {
            if header.iter().take(place).any(|earlier| earlier == name) {
                return Err(columns.error(1, place, "two columns have this name".to_owned()));
            }
            let is_parameter = cells(candidates).any(|cell| cell.value(name).is_some());
            let is_axis = cells(candidates).any(|it| it.axes.iter().any(|(axis, _)| axis == name));
            match COLUMNS.into_iter().find(|column| *column == name) {
                Some(column) if !is_axis => {
                    columns.others.insert(column, place);
                }
                _ if is_parameter => columns.parameters.push(place),
                _ => {
                    let axes = cells(candidates).flat_map(|cell| &cell.axes);
                    let axes = axes.map(|(axis, _)| axis.as_str());
                    let hint = match nearest(name, axes.clone().chain(COLUMNS)) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("there are {}", listed(axes, 8)),
                    };
                    let message = format!("no cell has a parameter of this name; {hint}");
                    return Err(columns.error(1, place, message));
                }
            }
        }
        if columns.others.contains_key("test_error") {
            return Ok(columns);
        }
        let message = "there is no column `test_error`".to_owned();
        Err(error_at(file, 1, None, message))
    }

    fn error(&self, line: u64, place: usize, message: String) -> ImportError {
        let column = (place + 1, self.names[place].clone());
        error_at(self.file, line, Some(column), message)
    }

    /// Whether a row is of the requested table.
    fn is_of(&self, record: &StringRecord, table: Option<&str>) -> bool {
        let place = self.others.get("table");
        table.is_none_or(|table| place.and_then(|place| record.get(*place)) == Some(table))
    }

    /// What a row says; none when it has no test error.
    fn row(
        &self,
        record: &StringRecord,
        source: &str,
        finders: &mut [Finder<'_>],
    ) -> Result<Option<Found>, ImportError> {
        let line = record.position().map_or(0, csv::Position::line);
        let row = Row {
            columns: self,
            record,
            line,
        };
        let Some(test_error) = row.number("test_error")? else {
            return Ok(None);
        };
        let minutes = row.number("minutes")?.map(|minutes| minutes * 60.0);
        let number = Imported {
            test_error,
            seconds: row.number("seconds")?.or(minutes),
            runs: row.count("n", RUNS_MAX)?.unwrap_or(1),
            replicate: row.count("replicate", u32::MAX)?.map(Replicate),
            seed: row.seed()?,
            source: row.text("source").unwrap_or(source).to_owned(),
            file: self.file.to_owned(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
        };
        if !number.is_sound() {
            return Err(row.whole("a time must not be negative".to_owned()));
        }
        if number.runs > 1 && (number.replicate.is_some() || number.seed.is_some()) {
            let message = "a row of one replicate or seed is of one run".to_owned();
            return Err(self.error(line, self.others["n"], message));
        }
        Ok(Some(Found {
            numbers: row.runs(number)?,
            table: row.text("table").unwrap_or_default().to_owned(),
            cells: row.cells(finders)?,
        }))
    }
}

/// One row of a file.
struct Row<'a> {
    columns: &'a Columns<'a>,
    record: &'a StringRecord,
    line: u64,
}

impl Row<'_> {
    fn error(&self, place: usize, message: String) -> ImportError {
        self.columns.error(self.line, place, message)
    }

    /// The field of `column`, if it is there and not empty.
    fn text(&self, column: &str) -> Option<&str> {
        let place = *self.columns.others.get(column)?;
        self.record.get(place).filter(|text| !text.is_empty())
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        column: &str,
        fits: impl Fn(&T) -> bool,
        what: &str,
    ) -> Result<Option<T>, ImportError> {
        let Some(text) = self.text(column) else {
            return Ok(None);
        };
        if let Some(value) = text.parse().ok().filter(fits) {
            return Ok(Some(value));
        }
        let message = format!("`{text}` is no {what}");
        Err(self.error(self.columns.others[column], message))
    }

    fn number(&self, column: &str) -> Result<Option<f64>, ImportError> {
        self.parsed(column, |value: &f64| value.is_finite(), "number")
    }

    fn count(&self, column: &str, most: u32) -> Result<Option<u32>, ImportError> {
        let what = format!("whole number from 1 to {most}");
        self.parsed(column, |value: &u32| (1..=most).contains(value), &what)
    }

    fn seed(&self) -> Result<Option<u64>, ImportError> {
        self.parsed("seed", |value: &u64| *value < 1 << 53, "seed")
    }

    /// `number`, or the numbers of the runs that it is the median of.
    fn runs(&self, number: Imported) -> Result<Vec<Imported>, ImportError> {
        let Some(text) = self.text("runs") else {
            return Ok(vec![number]);
        };
        let place = self.columns.others["runs"];
        let mut values = Vec::new();
        for word in text.split_whitespace() {
            match word.parse::<f64>() {
                Ok(value) if value.is_finite() => values.push(value),
                _ => return Err(self.error(place, format!("`{word}` is no number"))),
            }
        }
        if values.len() != number.runs as usize {
            let (got, runs) = (values.len(), number.runs);
            return Err(self.error(place, format!("there are {got}, and `n` is {runs}")));
        }
        let median = Sample::new(values.iter().copied())
            .ok()
            .and_then(|it| it.median());
        if median.is_none_or(|median| (median - number.test_error).abs() > 0.005 + 1e-9) {
            let (median, said) = (median.unwrap_or_default(), number.test_error);
            let message = format!("their median is {median}, and `test_error` is {said}");
            return Err(self.error(place, message));
        }
        let one = |test_error| Imported {
            test_error,
            runs: 1,
            ..number.clone()
        };
        Ok(values.into_iter().map(one).collect())
    }

    /// The cell of each candidate that the row is for.
    fn cells(&self, finders: &mut [Finder<'_>]) -> Result<Vec<(usize, CellDigest)>, ImportError> {
        let named = self.text("sweep");
        let mut found = Vec::new();
        let mut first_error = None;
        let mut seen = false;
        for (at, finder) in finders.iter_mut().enumerate() {
            if named.is_some_and(|name| name != finder.sweep()) {
                continue;
            }
            seen = true;
            match self.cell(finder) {
                Ok(cell) => found.push((at, cell)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if let (false, Some(name)) = (seen, named) {
            let names = finders.iter().map(Finder::sweep);
            let hint = match nearest(name, names.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", listed(names, 8)),
            };
            let message = format!("no sweep here is named `{name}`; {hint}");
            return Err(self.error(self.columns.others["sweep"], message));
        }
        match first_error {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    /// The fields of the parameters, with the indices of their columns; an
    /// empty one matches any value.
    fn fields(&self) -> Vec<Field<'_>> {
        let parameters = self.columns.parameters.iter();
        let field = |&place: &usize| Field {
            place,
            name: &self.columns.names[place],
            text: &self.record[place],
        };
        parameters.map(field).collect()
    }

    /// The one cell of a candidate that has the row's parameters.
    fn cell(&self, finder: &mut Finder<'_>) -> Result<CellDigest, ImportError> {
        finder.find(&self.fields()).map_err(|missed| match missed {
            Missed::At(place, message) => self.error(place, message),
            Missed::Whole(message) => self.whole(message),
        })
    }

    fn whole(&self, message: String) -> ImportError {
        error_at(self.columns.file, self.line, None, message)
    }
}

fn cells(candidates: &[Candidate]) -> impl Iterator<Item = &CandidateCell> + Clone {
    candidates.iter().flat_map(|candidate| &candidate.cells)
}
