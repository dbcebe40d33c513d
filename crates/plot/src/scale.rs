//! Places of numbers along an axis, and ticks that are easy to read.

use swath_model::text::approximate;

/// A scale from `low` to `high`, linear or logarithmic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) log: bool,
}

/// A tick; those without a text are short.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) text: String,
}

/// Numbers beyond this are no results.
const FAR: f64 = 1e100;
const NEAR: f64 = 1e-100;
/// More steps than this can only come from rounding.
const TICKS_MOST: i64 = 100;

impl Scale {
    /// The scale that contains `values`, with some space at both ends.
    pub(crate) fn around(values: &[f64], log: bool, air: f64) -> Self {
        let fits = |it: &&f64| it.abs() < FAR && (!log || **it > NEAR);
        let inner = || values.iter().filter(fits).copied();
        let low = inner().reduce(f64::min);
        let high = inner().reduce(f64::max);
        let (Some(low), Some(high)) = (low, high) else {
            return Self {
                low: 1.0,
                high: 10.0,
                log,
            };
        };
        if log {
            let (from, to) = (low.log10(), high.log10());
            let gap = if to > from { (to - from) * air } else { 0.3 };
            let (low, high) = (10f64.powf(from - gap), 10f64.powf(to + gap));
            return Self { low, high, log };
        }
        let gap = if high - low > NEAR.max(high.abs() * 1e-12) {
            (high - low) * air
        } else {
            low.abs().max(1.0) * 0.1
        };
        // Values that are never negative get no axis below zero.
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Self {
            low: (low - gap).max(floor),
            high: high + gap,
            log,
        }
    }

    /// The place of a value, from 0 to 1; none outside the scale.
    pub(crate) fn share(&self, value: f64) -> Option<f64> {
        let share = if self.log {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        (-1e-9..=1.0 + 1e-9).contains(&share).then_some(share)
    }

    /// The ticks from low to high, at most `most` of them with a text.
    pub(crate) fn ticks(&self, most: usize) -> Vec<Tick> {
        let ticks = if self.log { self.log_ticks(most) } else { None };
        ticks.unwrap_or_else(|| self.even_ticks(most))
    }

    /// Powers of ten, with 2 and 5 between them, or 1 to 9 where the range is
    /// short; none if that would give fewer than two.
    fn log_ticks(&self, most: usize) -> Option<Vec<Tick>> {
        let (from, to) = (
            self.low.log10().floor() as i32,
            self.high.log10().ceil() as i32,
        );
        let inside = |multiples: &[u32], stride: i32| -> Vec<f64> {
            let powers = (from..=to).filter(|power| power.rem_euclid(stride) == 0);
            let all = powers.flat_map(|power| {
                // Parsing gives the double nearest to what is read.
                multiples
                    .iter()
                    .filter_map(move |it| format!("{it}e{power}").parse().ok())
            });
            all.filter(|it: &f64| *it >= self.low && *it <= self.high)
                .collect()
        };
        let sets: [(&[u32], i32); 7] = [
            (&[1, 2, 3, 4, 5, 6, 7, 8, 9], 1),
            (&[1, 2, 3, 5, 7], 1),
            (&[1, 2, 5], 1),
            (&[1, 3], 1),
            (&[1], 1),
            (&[1], 2),
            (&[1], 3),
        ];
        let labelled = sets
            .iter()
            .map(|(multiples, stride)| inside(multiples, *stride))
            .find(|ticks| ticks.len() <= most)?;
        if labelled.len() < 2 {
            return None;
        }
        let small = if to - from <= 4 {
            inside(sets[0].0, 1)
        } else {
            Vec::new()
        };
        let mut ticks: Vec<Tick> = labelled
            .iter()
            .map(|at| Tick {
                at: *at,
                text: approximate(*at),
            })
            .collect();
        ticks.extend(
            small
                .into_iter()
                .filter(|at| !labelled.contains(at))
                .map(|at| Tick {
                    at,
                    text: String::new(),
                }),
        );
        ticks.sort_by(|left, right| left.at.total_cmp(&right.at));
        Some(ticks)
    }

    /// Multiples of 1, 2 or 5 times a power of ten.
    fn even_ticks(&self, most: usize) -> Vec<Tick> {
        let range = self.high - self.low;
        if !range.is_finite() || range <= 0.0 {
            return Vec::new();
        }
        let least = range / most.max(2) as f64;
        let power = least.log10().floor() as i32;
        let steps = [
            (1, power),
            (2, power),
            (5, power),
            (1, power + 1),
            (2, power + 1),
        ];
        let length = |(times, power): (i64, i32)| times as f64 * 10f64.powi(power);
        let step = steps
            .into_iter()
            .find(|step| length(*step) >= least * 0.999);
        let (times, power) = step.unwrap_or((1, power + 1));
        let (first, last) = (
            (self.low / length((times, power))).ceil() as i64,
            (self.high / length((times, power))).floor() as i64,
        );
        let places = usize::try_from(-power).unwrap_or(0);
        // Numbers at the limits of a double have no round neighbours.
        if last.saturating_sub(first) > TICKS_MOST || places > 30 {
            return Vec::new();
        }
        (first..=last)
            .filter_map(|count| {
                let at: f64 = format!("{}e{power}", count * times).parse().ok()?;
                let text = format!("{at:.places$}");
                let text = if text.len() > 8 {
                    approximate(at)
                } else {
                    text
                };
                Some(Tick { at, text })
            })
            .collect()
    }
}
