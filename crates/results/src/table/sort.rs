//! Sorting the cells of a sweep.

use std::cmp::Ordering;

use swath_model::spec::canonical;

use super::known::Named;
use super::{Results, TableError};

/// The value by which a cell is sorted; cells without one come last in either
/// direction.
#[derive(PartialEq)]
enum Key {
    Number(f64),
    Text(String),
    Missing,
}

impl Results {
    /// Sorts the cells by a parameter or by the median of a measure, rising or
    /// falling. Equal cells keep their order, and those without a value come
    /// last.
    ///
    /// # Errors
    ///
    /// When `by` names neither, or a recorded number is not finite.
    pub fn sort(&mut self, by: &str, falling: bool) -> Result<(), TableError> {
        let measured = self.measured(by);
        let known =
            |cell: &swath_model::view::CellResults| self.definition.value(by, cell).is_some();
        if measured.is_none() && !self.cells.iter().any(known) {
            return Err(self.unknown(by, Named::Either));
        }
        let mut keys = Vec::with_capacity(self.cells.len());
        for place in 0..self.cells.len() {
            keys.push(match &measured {
                Some(it) => {
                    let figure = self.figure(place, &it.quantity, it.unit)?;
                    figure.median().map_or(Key::Missing, Key::Number)
                }
                None => match self.definition.value(by, &self.cells[place]) {
                    None => Key::Missing,
                    Some(value) => value
                        .as_f64()
                        .map_or_else(|| Key::Text(canonical(value)), Key::Number),
                },
            });
        }
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_by(|left, right| compare(&keys[*left], &keys[*right], falling));
        self.cells = order.iter().map(|at| self.cells[*at].clone()).collect();
        self.summaries = order.iter().map(|at| self.summaries[*at].clone()).collect();
        if !self.published.is_empty() {
            let moved = order.iter().map(|at| self.published[*at].clone());
            self.published = moved.collect();
        }
        Ok(())
    }
}

fn compare(left: &Key, right: &Key, falling: bool) -> Ordering {
    let rising = match (left, right) {
        (Key::Missing, Key::Missing) => return Ordering::Equal,
        (Key::Missing, _) => return Ordering::Greater,
        (_, Key::Missing) => return Ordering::Less,
        (Key::Number(left), Key::Number(right)) => left.total_cmp(right),
        (Key::Text(left), Key::Text(right)) => left.cmp(right),
        (Key::Number(_), Key::Text(_)) => Ordering::Less,
        (Key::Text(_), Key::Number(_)) => Ordering::Greater,
    };
    if falling { rising.reverse() } else { rising }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_goes_last_both_ways() {
        for falling in [false, true] {
            let one = || Key::Number(1.0);
            assert_eq!(compare(&Key::Missing, &one(), falling), Ordering::Greater);
            assert_eq!(compare(&one(), &Key::Missing, falling), Ordering::Less);
        }
        let order = |falling| compare(&Key::Number(1.0), &Key::Number(2.0), falling);
        assert_eq!(
            (order(false), order(true)),
            (Ordering::Less, Ordering::Greater)
        );
    }
}
