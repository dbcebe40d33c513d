//! Sequences of unknown length in bounded memory.

use std::collections::VecDeque;

/// A sequence of which a bounded part is kept: one of so many, evenly, and whatever
/// the result of a training may be computed from: the last items, and those with the
/// least and the greatest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Thinned<T> {
    /// The most items that are kept.
    most: usize,
    /// So many of the last items always stay.
    last: u64,
    /// One of so many of the others is kept.
    every: u64,
    /// How many items came.
    seen: u64,
    /// How many were left out.
    left_out: u64,
    /// The extreme values, and the places of the items that had them first.
    least: Option<(f64, u64)>,
    greatest: Option<(f64, u64)>,
    /// Items with their places in the sequence.
    kept: VecDeque<(u64, T)>,
}

impl<T> Thinned<T> {
    /// An empty sequence, of which at most `most` items are kept, and always the
    /// `last` ones.
    pub fn new(most: usize, last: usize) -> Self {
        // Beside the last ones, the first one and the extremes stay.
        debug_assert!(most >= 2 * last + 8);
        Self {
            most,
            last: last as u64,
            every: 1,
            seen: 0,
            left_out: 0,
            least: None,
            greatest: None,
            kept: VecDeque::new(),
        }
    }

    /// Appends an item that has this value, if it has one.
    pub fn push(&mut self, item: T, value: Option<f64>) {
        let place = self.seen;
        self.seen += 1;
        if let Some(value) = value.filter(|value| value.is_finite()) {
            if self.least.is_none_or(|(least, _)| value < least) {
                self.least = Some((value, place));
            }
            if self.greatest.is_none_or(|(greatest, _)| value > greatest) {
                self.greatest = Some((value, place));
            }
        }
        self.kept.push_back((place, item));
        if self.kept.len() > self.most {
            self.thin();
            // Room for many more, or each of them would cost a look at all.
            while self.kept.len() > self.most - (self.most - self.last as usize) / 4 {
                self.every *= 2;
                self.thin();
            }
        }
    }

    /// Whether an item had a value.
    pub fn has_values(&self) -> bool {
        self.least.is_some()
    }

    /// Whether nothing is kept any more.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many items are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// How many items were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes the first item, if it `fits`.
    pub fn pop_if(&mut self, fits: impl FnOnce(&T) -> bool) -> Option<T> {
        // The newest one always stays.
        while let Some((place, _)) = self.kept.front()
            && !self.stays(*place)
        {
            self.kept.pop_front();
            self.left_out += 1;
        }
        let fits = self.kept.front().is_some_and(|(_, item)| fits(item));
        let first = fits.then(|| self.kept.pop_front()).flatten();
        first.map(|(_, item)| item)
    }

    fn stays(&self, place: u64) -> bool {
        let is_extreme = |extreme: Option<(f64, u64)>| extreme.is_some_and(|(_, at)| at == place);
        place.is_multiple_of(self.every)
            || place + self.last >= self.seen
            || is_extreme(self.least)
            || is_extreme(self.greatest)
    }

    fn thin(&mut self) {
        let before = self.kept.len();
        let mut kept = std::mem::take(&mut self.kept);
        kept.retain(|(place, _)| self.stays(*place));
        self.left_out += (before - kept.len()) as u64;
        self.kept = kept;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 20;
    const LAST: usize = 5;

    fn all(mut thinned: Thinned<(usize, f64)>) -> Vec<(usize, f64)> {
        std::iter::from_fn(|| thinned.pop_if(|_| true)).collect()
    }

    #[test]
    fn what_is_kept_is_even_but_for_the_last() {
        let mut thinned = Thinned::new(MOST, LAST);
        for number in 0..100 {
            thinned.push(number, None);
        }
        let kept: Vec<i32> = std::iter::from_fn(|| thinned.pop_if(|_| true)).collect();
        let even = [
            0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 95, 96, 97, 98, 99,
        ];
        assert_eq!(kept, even);
        assert_eq!(thinned.left_out(), 83);
    }

    proptest! {
        /// Whenever some of it is taken away, of a sequence in bounded memory the
        /// extremes and the end are those of the whole.
        #[test]
        fn the_extremes_and_the_end_stay(
            values in prop::collection::vec(prop::option::of(-9_i8..9), 1..400),
            pops in prop::collection::vec(any::<bool>(), 400),
        ) {
            let value = |value: &Option<i8>| value.map(f64::from);
            let mut thinned = Thinned::new(MOST, LAST);
            let mut told = Vec::new();
            for (number, item) in values.iter().enumerate() {
                thinned.push((number, value(item).unwrap_or(f64::NAN)), value(item));
                prop_assert!(thinned.len() <= MOST);
                if pops[number] {
                    told.extend(thinned.pop_if(|_| true));
                }
            }
            let left_out = values.len() - told.len() - thinned.len();
            prop_assert_eq!(thinned.left_out(), left_out as u64);
            told.extend(all(thinned));
            prop_assert!(told.is_sorted_by_key(|(number, _)| *number));
            let extremes = |values: Vec<f64>| {
                let finite = || values.iter().copied().filter(|value| value.is_finite());
                (finite().reduce(f64::min), finite().reduce(f64::max))
            };
            prop_assert_eq!(
                extremes(told.iter().map(|it| it.1).collect()),
                extremes(values.iter().filter_map(value).collect())
            );
            let end = values.len().saturating_sub(LAST)..values.len();
            let told_end: Vec<usize> = told[told.len().saturating_sub(end.len())..]
                .iter()
                .map(|it| it.0)
                .collect();
            prop_assert_eq!(told_end, end.collect::<Vec<usize>>());
        }
    }
}
