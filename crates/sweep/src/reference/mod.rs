//! Published values: a CSV file beside the sweep, whose lines are each about
//! some cells.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use swath_model::spec::{canonical, keys};
use swath_model::suggest::{nearest, nearest_value};
use swath_model::text::{compact, parameter};

use crate::error::Errors;
use crate::{Cell, FileError, Place};

/// Columns with published values; columns named by parameters say which cells
/// they are about.
const COLUMNS: [&str; 7] = [
    "table",
    "test_error",
    "n",
    "tolerance",
    "figure_error",
    "caveat",
    "minutes",
];

/// How many lines without a cell are reported at once.
const STRAYS_MAX: usize = 20;

/// One published value, as a sweep keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// Its line in the file.
    pub line: u32,
    /// The indices of the cells that it is about, rising.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<u64>,
    /// The number or name of its table; empty when the file does not give it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// The value, in the unit of the sweep's measure; absent where the table has
    /// a blank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_error: Option<f64>,
    /// How many trainings it is the median of.
    pub n: u32,
    /// By how much our value may differ; replaces what the noise of both sides
    /// allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// The value in the publication's figure, if that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure_error: Option<f64>,
    /// Why the value may not be comparable; empty when nothing is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caveat: String,
    /// Minutes of one training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minutes: Option<f64>,
}

impl Published {
    /// The values; that of the table comes first.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.test_error.into_iter().chain(self.figure_error)
    }
}

/// A line of the file, and what its cells must have.
#[derive(Clone, Debug)]
struct Line {
    published: Published,
    /// The wanted values by column of a parameter; blank fields are left out.
    wanted: Vec<(usize, Wanted, Place)>,
}

#[derive(Clone, Debug)]
enum Wanted {
    Number(f64),
    Text(String),
}

/// A reference file, read.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// The columns that are parameters.
    parameters: Vec<String>,
    lines: Vec<Line>,
}

impl Reference {
    /// Reads `text`, which errors call `file`.
    ///
    /// # Errors
    ///
    /// Every field that its column does not allow, with its line and column.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<FileError>> {
        let mut errors = Errors::default();
        let mut records = Records::new(file, text);
        let heads = match records.next() {
            Some(Ok(heads)) => heads,
            Some(Err(error)) => return Err(vec![error]),
            None => {
                let message = "is empty; its first line names the columns";
                return Err(vec![Place::whole(file).error("", message)]);
            }
        };
        let mut reference = Self::default();
        let columns = columns(&heads, &mut reference.parameters, &mut errors);
        for record in records {
            match record {
                Ok(fields) if fields.iter().all(|field| field.text.is_empty()) => {}
                Ok(fields) if fields.len() != heads.len() => {
                    let (found, wanted) = (fields.len(), heads.len());
                    let message = format!("has {found} fields; the header has {wanted}");
                    errors.extend(fields.first().map(|field| field.place.error("", message)));
                }
                Ok(fields) => reference.lines.push(line(&columns, fields, &mut errors)),
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() {
            Ok(reference)
        } else {
            Err(errors.report(file))
        }
    }

    /// What was published about which of a sweep's cells. A line may be about
    /// several cells, or about none.
    pub fn published(&self, cells: &[Cell]) -> Vec<Published> {
        let published = self.lines.iter().map(|line| line.published.clone());
        let mut published: Vec<Published> = published.collect();
        for cell in cells {
            let values = self.parameters.iter().map(|path| value(cell, path));
            let values: Vec<Option<&Value>> = values.collect();
            for (line, published) in self.lines.iter().zip(&mut published) {
                let mut wanted = line.wanted.iter();
                if wanted.all(|(column, wanted, _)| wanted.is(values[*column])) {
                    published.cells.push(u64::from(cell.index));
                }
            }
        }
        published
    }
}

impl Reference {
    /// The lines about none of a sweep's cells, each with the field that no cell
    /// has and the nearest value: most likely a slip, because such a line has
    /// no effect.
    pub fn strays(&self, cells: &[Cell]) -> Vec<FileError> {
        let published = self.published(cells).into_iter().zip(&self.lines);
        let strays = published.filter(|(it, _)| it.cells.is_empty() && it.values().count() > 0);
        let lines: Vec<&Line> = strays.map(|(_, line)| line).take(STRAYS_MAX).collect();
        if lines.is_empty() {
            return Vec::new();
        }
        let strays = lines.iter().filter_map(|line| self.stray(line, cells));
        strays.collect()
    }

    /// The first field of a line that no cell has among those that match the
    /// fields before it.
    fn stray(&self, line: &Line, cells: &[Cell]) -> Option<FileError> {
        let mut left: Vec<&Cell> = cells.iter().collect();
        for (column, wanted, place) in &line.wanted {
            let path = &self.parameters[*column];
            let fits = |cell: &&Cell| wanted.is(value(cell, path));
            let fitting: Vec<&Cell> = left.iter().copied().filter(fits).collect();
            if fitting.is_empty() {
                let of_cell =
                    |cell: &&Cell| value(cell, path).map_or_else(|| "none".to_owned(), parameter);
                let mut values: Vec<String> = left.iter().map(of_cell).collect();
                values.sort();
                values.dedup();
                let near = nearest_value(&wanted.text(), &values);
                let message = format!(
                    "no cell of the sweep has `{}` with what stands before; {near}; this line \
                     says nothing of the sweep",
                    wanted.text()
                );
                return Some(place.error(path.as_str(), message));
            }
            left = fitting;
        }
        None
    }
}

fn value<'a>(cell: &'a Cell, path: &str) -> Option<&'a Value> {
    let mut axes = cell.axes.iter();
    let of_axis = axes.find(|(axis, _)| axis == path).map(|(_, value)| value);
    of_axis.or_else(|| cell.spec.get(path))
}

impl Wanted {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => compact(*number),
            Self::Text(text) => text.clone(),
        }
    }

    fn is(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Number(wanted), Some(Value::Number(number))) => {
                // Compared as both are written: no arithmetic is involved.
                number
                    .as_f64()
                    .is_some_and(|it| it.total_cmp(wanted).is_eq())
            }
            (Self::Text(wanted), Some(Value::String(text))) => wanted == text,
            (Self::Text(wanted), Some(Value::Null) | None) => wanted == "none",
            (Self::Text(wanted), Some(other)) => *wanted == canonical(other),
            (Self::Number(_), _) => false,
        }
    }
}

/// What a column is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The parameter of this place.
    Parameter(usize),
    /// One of [`COLUMNS`].
    Published(&'static str),
    /// A column for people only.
    Other,
}

fn columns(heads: &[Field], parameters: &mut Vec<String>, errors: &mut Errors) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for (at, head) in heads.iter().enumerate() {
        let name = head.text.as_str();
        if heads[..at].iter().any(|other| other.text == name) {
            errors.push(head.place.error(name, "is a column already"));
        }
        if let Some(column) = COLUMNS.iter().find(|column| **column == name) {
            kinds.push(Kind::Published(column));
        } else if keys::find(name).is_some() {
            parameters.push(name.to_owned());
            kinds.push(Kind::Parameter(parameters.len() - 1));
        } else {
            if let Some(near) = nearest(name, COLUMNS).filter(|_| name.len() > 4) {
                let message = format!("no such column; did you mean `{near}`?");
                errors.push(head.place.error(name, message));
            } else if name.contains('.') {
                let message = keys::unknown(name).message;
                errors.push(head.place.error(name, message));
            }
            kinds.push(Kind::Other);
        }
    }
    if !heads.iter().any(|head| head.text == "test_error") {
        let message = "is missing: the column of the published values";
        errors.extend(
            heads
                .first()
                .map(|it| it.place.error("test_error", message)),
        );
    }
    kinds
}

fn line(columns: &[Kind], fields: Vec<Field>, errors: &mut Errors) -> Line {
    let mut published = Published {
        line: fields.first().map_or(0, |field| field.place.line),
        n: 1,
        ..Published::default()
    };
    let mut wanted = Vec::new();
    for (kind, field) in columns.iter().zip(fields) {
        if field.text.is_empty() {
            continue;
        }
        match kind {
            Kind::Other => {}
            Kind::Parameter(at) => wanted.push((
                *at,
                match number(&field.text) {
                    Some(number) => Wanted::Number(number),
                    None => Wanted::Text(field.text),
                },
                field.place,
            )),
            Kind::Published(column) => {
                if let Err(message) = published.set(column, &field.text) {
                    let message = format!("{message}, not `{}`", field.text);
                    errors.push(field.place.error(*column, message));
                }
            }
        }
    }
    Line { published, wanted }
}

impl Published {
    fn set(&mut self, column: &str, text: &str) -> Result<(), &'static str> {
        let number = || number(text).ok_or("must be a number");
        let positive = || {
            let value = number()?;
            if value > 0.0 {
                Ok(value)
            } else {
                Err("must be more than 0")
            }
        };
        match column {
            "table" => text.clone_into(&mut self.table),
            "caveat" => text.clone_into(&mut self.caveat),
            "test_error" => self.test_error = Some(number()?),
            "figure_error" => self.figure_error = Some(number()?),
            "tolerance" => self.tolerance = Some(positive()?),
            "minutes" => self.minutes = Some(positive()?),
            _ => {
                let n = text.parse().ok().filter(|n| *n > 0);
                self.n = n.ok_or("must be a whole number of trainings, at least 1")?;
            }
        }
        Ok(())
    }
}

fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    // Negative zero is zero.
    number.is_finite().then_some(number + 0.0)
}

/// One field of a record.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    place: Place,
}

/// The records of a CSV file (RFC 4180). Each field has its place, which errors
/// name; blanks around a field are not part of it.
struct Records<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Records<'a> {
    fn new(file: &str, text: &'a str) -> Self {
        let mut place = Place::whole(file);
        (place.line, place.column) = (1, 1);
        Self {
            rest: text.strip_prefix('\u{feff}').unwrap_or(text),
            place,
        }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        for char in passed.chars() {
            if char == '\n' {
                (self.place.line, self.place.column) = (self.place.line + 1, 1);
            } else {
                self.place.column += 1;
            }
        }
        self.rest = rest;
        passed
    }

    fn field(&mut self) -> Result<Field, FileError> {
        let place = self.place.clone();
        if !self.rest.starts_with('"') {
            let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let text = self.advance(end).trim().to_owned();
            return Ok(Field { text, place });
        }
        self.advance(1);
        let mut text = String::new();
        loop {
            let Some(end) = self.rest.find('"') else {
                return Err(place.error("", "a quote that nothing closes"));
            };
            text.push_str(self.advance(end));
            self.advance(1);
            if !self.rest.starts_with('"') {
                break;
            }
            text.push_str(self.advance(1));
        }
        let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
        let after = self.place.clone();
        if !self.advance(end).trim().is_empty() {
            return Err(after.error("", "text after a closing quote"));
        }
        Ok(Field { text, place })
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Vec<Field>, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut fields = Vec::new();
        loop {
            match self.field() {
                Ok(field) => fields.push(field),
                Err(error) => {
                    // It is not known where the next record begins.
                    self.rest = "";
                    return Some(Err(error));
                }
            }
            let more = self.rest.starts_with(',');
            if !self.rest.is_empty() {
                self.advance(1);
            }
            if !more {
                return Some(Ok(fields));
            }
        }
    }
}

#[cfg(test)]
mod tests;
