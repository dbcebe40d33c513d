//! Blanks in the rows of a program: which of them stand for a number, and which say
//! that it is not told there.

use std::collections::BTreeSet;

use crate::rows::{Odd, Row};

/// The most kinds of rows with the metric that are remembered.
const KINDS_MAX: usize = 100;

/// Which names the rows with the metric have.
///
/// Some programs write rows of several kinds into one table, those of training
/// without the column of validation. So a blank under the metric is a number that
/// is missing only in a row of a kind that has the metric: one that tells nothing
/// that an earlier row with the metric does not tell.
#[derive(Clone, Debug)]
pub struct Kinds<'a> {
    metric: &'a str,
    seen: Vec<BTreeSet<String>>,
}

impl<'a> Kinds<'a> {
    /// No rows yet, of a program with this metric.
    pub fn new(metric: &'a str) -> Self {
        Self {
            metric,
            seen: Vec::new(),
        }
    }

    /// Puts what it means in place of a blank under the metric, in the next row. In a
    /// table it is how NaN is written; in JSON, which has `null` besides, it is a fault.
    pub fn settle(&mut self, row: &mut Row) {
        let others = || row.told().filter(|name| *name != self.metric);
        let is_known = self
            .seen
            .iter()
            .any(|kind| others().all(|name| kind.contains(name)));
        if row.tells(self.metric) {
            if !is_known && self.seen.len() < KINDS_MAX {
                let kind: BTreeSet<String> = others().map(str::to_owned).collect();
                self.seen.retain(|known| !known.is_subset(&kind));
                self.seen.push(kind);
            }
        } else if is_known {
            let own = row.odd.iter_mut().find(|(name, _)| name == self.metric);
            match own {
                Some((_, odd @ Odd::Null)) => *odd = Odd::Text("null".to_owned()),
                Some((_, Odd::Blank)) => row.values.push((self.metric.to_owned(), f64::NAN)),
                Some((_, Odd::Text(_))) | None => {}
            }
        }
        // Blanks elsewhere say nothing.
        row.odd
            .retain(|(name, odd)| name == self.metric || matches!(odd, Odd::Text(_)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rows::{Reader, Told, rows_of_json};

    /// What is told last of `loss` in a table.
    fn of_table(text: &str) -> Told {
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap().split(',').collect();
        let rows = lines.map(|line| {
            let mut row = Row::default();
            for (name, cell) in names.iter().zip(line.split(',')) {
                row.add_cell(name, cell);
            }
            row
        });
        told(rows)
    }

    fn told(rows: impl IntoIterator<Item = Row>) -> Told {
        let (mut kinds, mut reader) = (Kinds::new("loss"), Reader::new("loss"));
        for mut row in rows {
            kinds.settle(&mut row);
            reader.take(row);
        }
        reader.close();
        reader.metric()
    }

    fn is_nan(told: &Told) -> bool {
        matches!(told, Told::Number(value) if value.is_nan())
    }

    #[test]
    fn a_blank_in_a_row_of_the_same_kind_is_nan() {
        for blank in ["", " ", "NA", "N/A", "None", "null", "nan"] {
            let text = format!("epoch,loss,lr\n1,.5,.1\n2,.4,.1\n3,{blank},.1");
            assert!(is_nan(&of_table(&text)), "{blank}");
            let text = format!("epoch,loss,lr\n1,.5,.1\n2,{blank},{blank}");
            assert!(is_nan(&of_table(&text)), "{blank}");
            let text = format!("epoch,loss\n1,{blank}\n2,.4");
            assert_eq!(of_table(&text), Told::Number(0.4), "{blank}");
        }
        assert!(is_nan(&of_table("loss\n.5\n ")));
    }

    #[test]
    fn a_blank_in_a_row_of_another_kind_tells_nothing() {
        let rows = "epoch,step,train_loss,loss,test_loss\n0,9,2.0,,\n0,10,,.5,\n1,19,1.0,,\n1,20,,.4,\n1,20,,,.6";
        assert_eq!(of_table(rows), Told::Number(0.4));
        // A table that was put together from two.
        assert_eq!(of_table("run,loss,note\n1,.4,\n1,,done"), Told::Number(0.4));
        let nothing = Told::Nothing { has_blanks: true };
        assert_eq!(of_table("epoch,loss\n1,\n2,"), nothing);
    }

    #[test]
    fn texts_in_place_of_the_metric_are_told() {
        for text in ["0.3s", "1_000", "0x10", "-", "fast"] {
            let wanted = Told::Text(text.to_owned());
            assert_eq!(of_table(&format!("epoch,loss\n1,.5\n2,{text}")), wanted);
            let later = format!("epoch,loss\n1,.5\n2,{text}\n3,.4");
            assert_eq!(of_table(&later), Told::Number(0.4));
        }
        assert_eq!(of_table("epoch,loss\n1,.5\n2,12%"), Told::Number(12.0));
        let of_json = |last: &str| {
            let text = format!(r#"[{{"epoch":1,"loss":0.5}},{last}]"#);
            told(rows_of_json(&text).unwrap())
        };
        for text in ["null", "\"0.4\"", "\"nan\"", "true", "[0.4]"] {
            let last = format!(r#"{{"epoch":2,"loss":{text}}}"#);
            assert_eq!(of_json(&last), Told::Text(text.to_owned()));
        }
        let other = r#"{"epoch":2,"test_loss":0.6,"loss":null}"#;
        assert_eq!(of_json(other), Told::Number(0.5));
        assert!(is_nan(&of_json(r#"{"epoch":2,"loss":NaN}"#)));
    }

    #[derive(Clone, Debug)]
    struct Written {
        epoch: Option<u8>,
        cell: Option<&'static str>,
        other: &'static str,
    }

    fn any_row() -> impl Strategy<Value = Written> {
        let cell = prop_oneof![
            3 => Just("0"),
            1 => Just("nan"),
            1 => Just("-inf"),
            1 => Just("0.3s"),
            1 => Just("None"),
            1 => Just(""),
        ];
        let other = prop_oneof![Just(""), Just("3"), Just("x")];
        let epoch = proptest::option::of(0..4_u8);
        let cell = proptest::option::of(cell);
        (epoch, cell, other).prop_map(|(epoch, cell, other)| Written { epoch, cell, other })
    }

    proptest! {
        /// However odd the rows are, an earlier row than the last one that says
        /// something of the metric is never the result.
        #[test]
        fn what_was_told_last_of_the_metric_counts(
            written in proptest::collection::vec(any_row(), 0..20),
        ) {
            let mut wanted = None;
            let rows: Vec<Row> = (0_u32..).zip(&written).map(|(at, it)| {
                let mut row = Row::default();
                if let Some(epoch) = it.epoch {
                    row.add_cell("epoch", &epoch.to_string());
                }
                if let Some(cell) = it.cell {
                    // Each number is another one, so that it tells its row.
                    let cell = if cell == "0" { at.to_string() } else { cell.to_owned() };
                    row.add_cell("loss", &cell);
                    if row.tells("loss") {
                        wanted = Some(cell);
                    }
                }
                row.add_cell("other", it.other);
                row
            }).collect();
            let mut reader = Reader::new("loss");
            for row in rows.clone() {
                reader.take(row);
            }
            reader.close();
            match (reader.metric(), wanted) {
                (Told::Nothing { .. }, None) => {}
                (Told::Text(text), Some(cell)) => prop_assert_eq!(text, cell),
                (Told::Number(value), Some(cell)) => {
                    let cell: f64 = cell.parse().unwrap();
                    prop_assert_eq!(value.to_bits(), cell.to_bits());
                }
                (told, wanted) => prop_assert!(false, "{told:?} for {wanted:?}"),
            }
            // With blanks, where the last row of them all is of a kind that has it.
            let last = rows.len().saturating_sub(1);
            let names = |row: &Row| {
                let names = row.told().filter(|name| *name != "loss");
                names.map(str::to_owned).collect::<BTreeSet<_>>()
            };
            let with_metric = rows[..last].iter().filter(|row| row.tells("loss"));
            let blank = rows.last().filter(|row| {
                !row.tells("loss") && row.odd.iter().any(|(name, _)| name == "loss")
            });
            if let Some(blank) = blank
                && with_metric.clone().any(|row| names(row).is_superset(&names(blank)))
            {
                prop_assert!(is_nan(&told(rows)));
            }
        }
    }
}
