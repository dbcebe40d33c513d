//! Numbers that a program writes its own way: rows of names and values, and what
//! they say of its epochs and of its end.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;
use swath_model::outcome::Observation;
use swath_model::text::counted;

use crate::clip::first;
use crate::epochs::{Numbering, of_json, of_text};
use crate::line::{not_finite, read};
use crate::number::number;

/// Names of the number of an epoch, and of the number of a step.
const EPOCH: [&str; 2] = ["epoch", "epochs"];
const STEP: [&str; 4] = ["step", "steps", "global_step", "iteration"];

/// The greatest number of a step that is read.
const STEP_MAX: f64 = 9e15;

/// The most names of one program that are remembered until its end.
const NAMES_MAX: usize = 1000;

/// Tables within tables are read to this depth.
const DEPTH_MAX: usize = 8;

/// How much is kept of a text that stands in place of a number, in bytes.
const TEXT_BYTES: usize = 100;

/// How programs write in a table that a number is missing, besides an empty cell.
const MISSING: [&str; 4] = ["NA", "N/A", "None", "null"];

/// What a program told at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Numbers by name; they may be infinite, or not numbers.
    pub values: Vec<(String, f64)>,
    /// What stands under other names.
    pub(crate) odd: Vec<(String, Odd)>,
}

/// What stands in place of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    /// A blank cell of a table.
    Blank,
    /// The `null` of JSON.
    Null,
    /// Anything else, shortened.
    Text(String),
}

impl Odd {
    fn text(text: &str) -> Self {
        Self::Text(first(text.trim(), TEXT_BYTES).to_owned())
    }
}

impl Row {
    /// The number of this name that was told last.
    pub fn get(&self, name: &str) -> Option<f64> {
        let mut newest = self.values.iter().rev();
        Some(newest.find(|(known, _)| known == name)?.1)
    }

    /// Whether it tells something of this name, be it no number.
    pub(crate) fn tells(&self, name: &str) -> bool {
        self.told().any(|told| told == name)
    }

    /// The names of which it tells something.
    pub(crate) fn told(&self) -> impl Iterator<Item = &str> {
        let texts = self.odd.iter();
        let texts = texts.filter(|(_, odd)| matches!(odd, Odd::Text(_)));
        let values = self.values.iter().map(|(name, _)| &**name);
        values.chain(texts.map(|(name, _)| &**name))
    }

    /// Adds what the cell of a table has under this name.
    pub fn add_cell(&mut self, name: &str, text: &str) {
        let text = text.trim();
        if text.is_empty() || MISSING.contains(&text) {
            self.odd.push((name.to_owned(), Odd::Blank));
        } else {
            self.add_text(name, text);
        }
    }

    /// Adds what the group of a pattern has found. What is said of an epoch or a
    /// step is a number, or NaN.
    pub(crate) fn add_text(&mut self, name: &str, text: &str) {
        let count = is_count(name) && !text.trim().is_empty();
        let value = number(text).or_else(|| count.then(|| of_text(text)));
        match value {
            Some(value) => self.values.push((name.to_owned(), value)),
            None if is_count(name) => {}
            None => self.odd.push((name.to_owned(), Odd::text(text))),
        }
    }

    fn count(&self, names: &[&str]) -> Option<f64> {
        let found = self.values.iter().find(|(name, _)| is_one_of(name, names));
        found.map(|(_, value)| *value)
    }

    /// Adds what an object holds; a name in a table within is `table/name`.
    fn add(&mut self, prefix: &str, value: &Value, depth: usize) {
        let number = match value {
            _ if is_count(prefix) => of_json(value),
            Value::Number(number) => number.as_f64(),
            Value::Object(_) => not_finite(value).and_then(|text| text.parse().ok()),
            _ => None,
        };
        match (number, value) {
            (Some(number), _) => self.values.push((prefix.to_owned(), number)),
            (None, Value::Object(entries)) if depth < DEPTH_MAX => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                for (name, value) in entries {
                    self.add(&format!("{prefix}{slash}{name}"), value, depth + 1);
                }
            }
            // The items of a list, and what an epoch is called, are under no name.
            (None, Value::Object(_)) => {}
            _ if prefix.is_empty() || is_count(prefix) => {}
            (None, Value::Null) => self.odd.push((prefix.to_owned(), Odd::Null)),
            (None, value) => {
                let text = Odd::text(&value.to_string());
                self.odd.push((prefix.to_owned(), text));
            }
        }
    }
}

/// The rows of a JSON text: an object is one, a list of objects has one each.
///
/// # Errors
///
/// Why the text is not JSON.
pub fn rows_of_json(text: &str) -> Result<Vec<Row>, String> {
    let value = read(text.trim()).map_err(|error| error.to_string())?;
    let items = match &value {
        Value::Array(items) => &items[..],
        value => std::slice::from_ref(value),
    };
    let rows = items.iter().map(|item| {
        let mut row = Row::default();
        row.add("", item, 0);
        row
    });
    Ok(rows.collect())
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether a program calls two epochs by the same number. What is no number names
/// no epoch, so it is never the same one.
fn is_same(one: f64, other: f64) -> bool {
    one.partial_cmp(&other) == Some(Ordering::Equal)
}

/// Whether this is the name of a count, and of no metric.
fn is_count(name: &str) -> bool {
    is_one_of(name, &EPOCH) || is_one_of(name, &STEP)
}

/// Makes epochs of rows, and remembers the last value of each name.
///
/// Rows that name their epoch belong to it. Without that, each row with the
/// program's metric ends an epoch, and what was told since the last such row
/// belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    metric: String,
    numbering: Numbering,
    /// Steps that the program told last.
    step: u64,
    /// In how many rows the number of a step is none.
    odd_steps: u64,
    /// What the program calls the open epoch, if it does, and its values.
    open: Option<f64>,
    values: BTreeMap<String, f64>,
    last: BTreeMap<String, f64>,
    /// What was told last of the metric, if it is no number.
    text: Option<String>,
    /// Whether a blank stood where the metric belongs.
    has_blanks: bool,
}

/// What a program told last of its metric.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Told {
    /// Nothing. Whether its place is there, and blank.
    Nothing { has_blanks: bool },
    /// No number.
    Text(String),
    /// A number, finite or not.
    Number(f64),
}

impl Reader {
    pub(crate) fn new(metric: &str) -> Self {
        Self {
            metric: metric.to_owned(),
            numbering: Numbering::default(),
            step: 0,
            odd_steps: 0,
            open: None,
            values: BTreeMap::new(),
            last: BTreeMap::new(),
            text: None,
            has_blanks: false,
        }
    }

    /// Takes in a row; returns the epoch that has ended by it.
    pub(crate) fn take(&mut self, row: Row) -> Option<Observation> {
        let epoch = row.count(&EPOCH);
        let mut ended = None;
        if let Some(epoch) = epoch {
            if self.open.is_some_and(|open| !is_same(open, epoch)) {
                ended = self.close();
            }
            self.open = Some(epoch);
        }
        match row.count(&STEP) {
            Some(step) if (0.0..=STEP_MAX).contains(&step) => self.step = step as u64,
            Some(_) => self.odd_steps += 1,
            None => {}
        }
        let has_metric = row.tells(&self.metric);
        if has_metric {
            self.text = None;
        }
        for (name, odd) in row.odd {
            match odd {
                _ if name != self.metric => {}
                Odd::Blank | Odd::Null => self.has_blanks = true,
                Odd::Text(text) => {
                    // The epoch is there, and its metric is no number.
                    self.values.insert(name, f64::NAN);
                    self.text = Some(text);
                }
            }
        }
        for (name, value) in row.values {
            let known = self.last.contains_key(&name);
            if known || name == self.metric || self.last.len() < NAMES_MAX {
                self.last.insert(name.clone(), value);
                self.values.insert(name, value);
            }
        }
        if has_metric && self.open.is_none() {
            ended = self.close();
        }
        ended
    }

    /// The epoch that is open, ended.
    pub(crate) fn close(&mut self) -> Option<Observation> {
        let values = std::mem::take(&mut self.values);
        let named = self.open.take();
        if !values.contains_key(&self.metric) {
            return None;
        }
        let finite = values.into_iter().filter(|(_, value)| value.is_finite());
        Some(Observation {
            epoch: self.numbering.number(named),
            step: self.step,
            seconds: None,
            values: finite.filter(|(name, _)| !is_count(name)).collect(),
        })
    }

    /// What the log has to say of the numbers of its epochs.
    pub(crate) fn remarks(&self) -> String {
        let mut remarks = self.numbering.remarks();
        if self.odd_steps > 0 {
            let rows = counted(self.odd_steps, "row");
            let _ = writeln!(
                remarks,
                "warning: `step` is no number of a step in {rows}; the one before it counts"
            );
        }
        remarks
    }

    /// Whether this name has had a number.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.last.contains_key(name)
    }

    /// What was told last of the metric.
    pub(crate) fn metric(&self) -> Told {
        match (&self.text, self.last.get(&self.metric)) {
            (Some(text), _) => Told::Text(text.clone()),
            (None, Some(value)) => Told::Number(*value),
            (None, None) => Told::Nothing {
                has_blanks: self.has_blanks,
            },
        }
    }

    /// The last finite value of each name.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, f64)> {
        let values = self.last.iter().map(|(name, value)| (&**name, *value));
        values.filter(|(name, value)| value.is_finite() && !is_count(name))
    }
}

#[cfg(test)]
mod tests {
    use swath_model::metrics::Metrics;

    use super::*;

    fn row(pairs: &[(&str, f64)]) -> Row {
        let values = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value));
        Row {
            values: values.collect(),
            odd: Vec::new(),
        }
    }

    fn epochs(rows: &[&[(&str, f64)]]) -> Vec<(u32, Metrics)> {
        let mut reader = Reader::new("acc");
        let mut seen: Vec<Observation> = Vec::new();
        for pairs in rows {
            seen.extend(reader.take(row(pairs)));
        }
        seen.extend(reader.close());
        seen.into_iter().map(|it| (it.epoch, it.values)).collect()
    }

    #[test]
    fn a_row_with_the_metric_ends_an_epoch() {
        let seen = epochs(&[
            &[("loss", 2.0)],
            &[("acc", 0.5)],
            &[("loss", 1.0), ("acc", 0.75)],
            &[("loss", 0.5)],
        ]);
        let wanted = [
            (1, Metrics::from([("loss", 2.0), ("acc", 0.5)])),
            (2, Metrics::from([("loss", 1.0), ("acc", 0.75)])),
        ];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn rows_that_name_their_epoch_belong_to_it() {
        let seen = epochs(&[
            &[("epoch", 1.0), ("acc", 0.5), ("step", 10.0)],
            &[("Epoch", 1.0), ("loss", 2.0)],
            &[("epoch", 2.0), ("loss", 1.0)],
            &[("acc", f64::NAN), ("lr", 0.1)],
            &[("epoch", 3.0), ("loss", 0.5)],
        ]);
        let wanted = [
            (1, Metrics::from([("loss", 2.0), ("acc", 0.5)])),
            (2, Metrics::from([("loss", 1.0), ("lr", 0.1)])),
        ];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn an_epoch_with_an_odd_number_is_kept() {
        let acc = |epoch, value| [("epoch", epoch), ("acc", value)];
        let rows = [
            acc(-1.0, 0.1),
            acc(0.5, 0.2),
            [("epoch", 0.5), ("loss", 2.0)],
            acc(1.0, 0.3),
            acc(f64::NAN, 0.4),
            acc(f64::NAN, 0.5),
            acc(1e300, 0.6),
        ];
        let rows: Vec<&[(&str, f64)]> = rows.iter().map(|row| &row[..]).collect();
        let seen = epochs(&rows);
        let found: Vec<_> = seen
            .iter()
            .map(|(epoch, values)| (*epoch, values.get("acc")))
            .collect();
        let wanted = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
        let wanted = (1..).zip(wanted.map(Some));
        assert_eq!(found, wanted.collect::<Vec<_>>());
        assert_eq!(seen[1].1, Metrics::from([("acc", 0.2), ("loss", 2.0)]));
    }

    #[test]
    fn a_step_that_is_none_costs_no_epoch() {
        let mut reader = Reader::new("acc");
        let seen = [-1.0, 10.0, f64::NAN, 1e300];
        let seen = seen.map(|step| reader.take(row(&[("step", step), ("acc", 0.5)])));
        let steps = seen.map(|it| it.unwrap().step);
        assert_eq!(steps, [0, 10, 10, 10]);
        assert_eq!(
            reader.remarks(),
            "warning: `step` is no number of a step in 3 rows; the one before it counts\n"
        );
    }

    #[test]
    fn what_is_said_of_an_epoch_is_kept_even_if_it_is_no_number() {
        let told = rows_of_json(r#"[{"epoch": "3"}, {"epoch": "3/10"}, {"epoch": null}]"#);
        let told = told.unwrap();
        let said = told.iter().map(|row| row.count(&EPOCH));
        let said: Vec<_> = said.map(|it| it.map(f64::to_bits)).collect();
        let nan = f64::NAN.to_bits();
        assert_eq!(said, [Some(3.0_f64.to_bits()), Some(nan), None]);
        let mut row = Row::default();
        for (name, text) in [
            ("acc", "50%"),
            ("note", "x"),
            ("Epoch", "3/10"),
            ("epoch", " "),
        ] {
            row.add_text(name, text);
        }
        assert_eq!(row.told().collect::<Vec<_>>(), ["acc", "Epoch", "note"]);
        assert_eq!(row.odd, [("note".to_owned(), Odd::Text("x".to_owned()))]);
    }

    #[test]
    fn counts_are_no_metrics() {
        let mut reader = Reader::new("acc");
        reader.take(row(&[("Epoch", 1.0), ("global_step", 10.0), ("acc", 0.5)]));
        let seen = reader.close().unwrap();
        assert_eq!((seen.epoch, seen.step), (1, 10));
        assert_eq!(seen.values, Metrics::from([("acc", 0.5)]));
        assert_eq!(reader.values().collect::<Vec<_>>(), [("acc", 0.5)]);
    }

    #[test]
    fn json_of_all_shapes_is_rows() {
        let one =
            rows_of_json(r#"{"acc": 0.5, "val": {"f1": NaN, "n": 3}, "name": "x", "on": true}"#);
        let one = one.unwrap();
        let names: Vec<&str> = one[0].values.iter().map(|(name, _)| &**name).collect();
        assert_eq!((one.len(), names), (1, vec!["acc", "val/f1", "val/n"]));
        assert!(one[0].values[1].1.is_nan());
        let text = |text: &str| Odd::Text(text.to_owned());
        let odd = [
            ("name".to_owned(), text("\"x\"")),
            ("on".to_owned(), text("true")),
        ];
        assert_eq!(one[0].odd, odd);
        let odd = &rows_of_json(r#"["x", null, {"a": null, "epoch": null}]"#).unwrap();
        let odd: Vec<_> = odd.iter().flat_map(|row| &row.odd).collect();
        assert_eq!(odd, [&("a".to_owned(), Odd::Null)]);
        assert_eq!(rows_of_json("[{\"a\": 1}, {\"a\": 2}]").unwrap().len(), 2);
        assert!(rows_of_json("{\"a\": 1").is_err());
    }
}
