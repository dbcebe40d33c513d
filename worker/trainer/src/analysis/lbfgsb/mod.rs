//! L-BFGS-B: minimization in a box with gradients and little memory (Byrd, Lu,
//! Nocedal & Zhu, *A limited memory algorithm for bound constrained
//! optimization*, SIAM J. Sci. Comput. 16, 1995). Pure.
//!
//! Each iteration minimizes a quadratic model over the box ([`cauchy`]), then
//! searches on the line to that point ([`search`]) and learns the curvature
//! along the step ([`history`]).

mod cauchy;
mod history;
pub(super) mod matrix;
mod search;
#[cfg(test)]
mod tests;

use self::history::History;
use self::matrix::dot;
use self::search::{Next, Search, Trial};

/// A box.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'a> {
    /// The least value of each coordinate; may be −∞.
    pub(super) lower: &'a [f64],
    /// The largest value of each coordinate; may be ∞.
    pub(super) upper: &'a [f64],
}

impl Bounds<'_> {
    fn clamp(self, index: usize, value: f64) -> f64 {
        value.max(self.lower[index]).min(self.upper[index])
    }

    /// The time until a coordinate at `value` with this speed leaves the box.
    fn reach(self, index: usize, value: f64, speed: f64) -> f64 {
        let room = if speed < 0.0 {
            self.lower[index] - value
        } else {
            self.upper[index] - value
        };
        if speed == 0.0 {
            f64::INFINITY
        } else {
            (room / speed).max(0.0)
        }
    }
}

/// A point of the box, with the value and gradient of the function there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The point.
    pub(super) point: Vec<f64>,
    /// The function.
    pub(super) value: f64,
    /// Its gradient.
    pub(super) gradient: Vec<f64>,
}

/// When to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Iterations: at most so many steps.
    pub(super) iterations: u32,
    /// How many steps the curvature is learned from.
    pub(super) memory: usize,
    /// The most evaluations in one iteration.
    pub(super) evaluations: u32,
}

impl Options {
    /// The published code's memory and evaluations.
    pub(super) fn iterations(iterations: u32) -> Self {
        Self {
            iterations,
            memory: 10,
            evaluations: 20,
        }
    }
}

/// Minimizes in a box from `start`, which must lie in it. `evaluate` writes the
/// gradient and returns the value; a value that is not finite marks a point to
/// avoid. No iteration raises the value, and no evaluated point is outside of
/// the box.
///
/// It ends earlier where the projected gradient is 0, or where no step
/// decreases the value any more.
///
/// # Errors
///
/// The error that `evaluate` returned.
pub(super) fn minimize<E>(
    start: Place,
    bounds: Bounds<'_>,
    options: Options,
    mut evaluate: impl FnMut(&[f64], &mut [f64]) -> Result<f64, E>,
) -> Result<Place, E> {
    let mut place = start;
    let mut history = History::new(options.memory);
    for iteration in 0..options.iterations {
        if stationary(bounds, &place) {
            break;
        }
        let found = loop {
            let aim = aim(bounds, &place, &history);
            let first = iteration == 0;
            match step(bounds, &place, &aim, first, options, &mut evaluate)? {
                Some(found) => break Some(found),
                // The model was misleading: try once more without it.
                None if !history.is_empty() => history.clear(),
                None => break None,
            }
        };
        let Some(found) = found else { break };
        let step = difference(&found.point, &place.point);
        let change = difference(&found.gradient, &place.gradient);
        history.push(step, change);
        place = found;
    }
    Ok(place)
}

/// Whether no coordinate can move against its slope.
fn stationary(bounds: Bounds<'_>, place: &Place) -> bool {
    let mut coordinates = place.gradient.iter().enumerate();
    coordinates.all(|(index, slope)| {
        let value = place.point[index];
        let down = *slope > 0.0 && value > bounds.lower[index];
        let up = *slope < 0.0 && value < bounds.upper[index];
        !down && !up
    })
}

/// The minimum of the model.
fn aim(bounds: Bounds<'_>, place: &Place, history: &History) -> Vec<f64> {
    let Place {
        point, gradient, ..
    } = place;
    let found = cauchy::cauchy(bounds, point, gradient, history);
    cauchy::refined(bounds, point, gradient, history, found)
}

/// Searches on the line from `place` through `aim`; none where no trial
/// decreases the value enough.
fn step<E>(
    bounds: Bounds<'_>,
    place: &Place,
    aim: &[f64],
    first: bool,
    options: Options,
    evaluate: &mut impl FnMut(&[f64], &mut [f64]) -> Result<f64, E>,
) -> Result<Option<Place>, E> {
    let direction = difference(aim, &place.point);
    let slope = dot(&direction, &place.gradient);
    if !slope.is_finite() || slope >= 0.0 {
        return Ok(None);
    }
    // The first aim is a guess about scale: not beyond it.
    let limit = if first {
        1.0
    } else {
        let pairs = direction.iter().enumerate();
        pairs
            .map(|(index, speed)| bounds.reach(index, place.point[index], *speed))
            .fold(f64::INFINITY, f64::min)
            .max(1.0)
    };
    let mut search = Search::new(place.value, slope, 1.0, limit);
    let mut length = 1.0;
    let mut best: Option<Place> = None;
    for _ in 0..options.evaluations {
        let point: Vec<f64> = (0..aim.len())
            .map(|index| match length {
                1.0 => aim[index],
                _ => bounds.clamp(index, place.point[index] + length * direction[index]),
            })
            .collect();
        let mut gradient = vec![0.0; point.len()];
        let value = evaluate(&point, &mut gradient)?;
        let slope = dot(&gradient, &direction);
        let next = if value.is_finite() && slope.is_finite() {
            let trial = Trial {
                step: length,
                value,
                slope,
            };
            let better = best.as_ref().is_none_or(|best| value < best.value);
            if search.decreases(trial) && value < place.value && better {
                best = Some(Place {
                    point,
                    value,
                    gradient,
                });
            }
            search.next(trial)
        } else {
            search.refused(length)
        };
        match next {
            Next::Try(step) => length = step,
            Next::Done | Next::Stuck => break,
        }
    }
    Ok(best)
}

fn difference(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(a, b)| a - b).collect()
}
