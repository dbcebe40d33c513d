//! Where a step of L-BFGS-B aims: the minimum of the quadratic model
//! `g·p + ½ p·Bp` over the box, first along the projected gradient, then over
//! the coordinates that are off their bounds there.

use super::Bounds;
use super::history::History;
use super::matrix::{Matrix, dot};

/// The generalized Cauchy point: the first local minimum of the model along
/// the projection of `point − t·gradient` on the box.
pub(super) struct Cauchy {
    /// The point.
    pub(super) point: Vec<f64>,
    /// Wᵀ(point − start).
    reduced: Vec<f64>,
}

/// The Cauchy point of `point` (Byrd, Lu, Nocedal & Zhu 1995, algorithm CP).
pub(super) fn cauchy(
    bounds: Bounds<'_>,
    point: &[f64],
    gradient: &[f64],
    history: &History,
) -> Cauchy {
    let mut aim = point.to_vec();
    let mut direction = vec![0.0; point.len()];
    let mut breaks = Vec::new();
    for (index, slope) in gradient.iter().enumerate() {
        let bound = if *slope < 0.0 {
            bounds.upper[index]
        } else {
            bounds.lower[index]
        };
        let time = (point[index] - bound) / slope;
        if *slope != 0.0 && time > 0.0 {
            direction[index] = -slope;
            breaks.push((time, index, bound));
        }
    }
    breaks.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let theta = history.scale();
    let middle = history.middle();
    let mut along = history.reduced(&direction);
    let mut reduced = vec![0.0; history.width()];
    let mut slope = -dot(&direction, &direction);
    let mut curvature = -theta * slope - dot(&along, &middle.times(&along));
    let least = f64::EPSILON * curvature;
    let mut now = 0.0;
    for (time, index, bound) in breaks {
        let wait = time - now;
        if curvature <= 0.0 || -slope / curvature < wait {
            break;
        }
        // This coordinate stops at its bound; the path bends.
        aim[index] = bound;
        let moved = bound - point[index];
        let g = gradient[index];
        add(&mut reduced, wait, &along);
        let row = history.row(index);
        let weighed = middle.times(&row);
        slope += wait * curvature + g * g + theta * g * moved - g * dot(&weighed, &reduced);
        curvature -= theta * g * g + 2.0 * g * dot(&weighed, &along) + g * g * dot(&weighed, &row);
        curvature = curvature.max(least);
        add(&mut along, g, &row);
        direction[index] = 0.0;
        now = time;
    }
    let wait = if slope < 0.0 && curvature > 0.0 {
        -slope / curvature
    } else {
        0.0
    };
    add(&mut reduced, wait, &along);
    for (index, speed) in direction.iter().enumerate() {
        if *speed != 0.0 {
            aim[index] = bounds.clamp(index, point[index] + (now + wait) * speed);
        }
    }
    Cauchy {
        point: aim,
        reduced,
    }
}

/// The minimum of the model over the coordinates that are off their bounds at
/// the Cauchy point, cut where it leaves the box (section 5.1 of the same
/// paper, the direct primal method).
pub(super) fn refined(
    bounds: Bounds<'_>,
    start: &[f64],
    gradient: &[f64],
    history: &History,
    cauchy: Cauchy,
) -> Vec<f64> {
    let mut point = cauchy.point;
    let free: Vec<usize> = (0..point.len())
        .filter(|i| bounds.lower[*i] < point[*i] && point[*i] < bounds.upper[*i])
        .collect();
    if free.is_empty() || history.is_empty() {
        return point;
    }
    let theta = history.scale();
    let middle = history.middle();
    let width = history.width();
    let bent = middle.times(&cauchy.reduced);
    let mut square = vec![0.0; width * width];
    let mut right = vec![0.0; width];
    let mut residual = Vec::with_capacity(free.len());
    for index in &free {
        let row = history.row(*index);
        let rest = gradient[*index] + theta * (point[*index] - start[*index]) - dot(&row, &bent);
        add(&mut right, rest, &row);
        for (place, value) in row.iter().enumerate() {
            add(&mut square[place * width..][..width], *value, &row);
        }
        residual.push(rest);
    }
    let inner = Matrix::new(width, |i, j| square[i * width + j] / theta);
    let product = middle.times_matrix(&inner);
    let system = Matrix::new(width, |i, j| f64::from(i == j) - product.at(i, j));
    let Some(solved) = system.solve(&middle.times(&right)) else {
        return point;
    };
    let direction: Vec<f64> = free
        .iter()
        .zip(&residual)
        .map(|(index, rest)| -rest / theta - dot(&history.row(*index), &solved) / (theta * theta))
        .collect();
    let pairs = || free.iter().zip(&direction);
    let share = pairs()
        .map(|(index, speed)| bounds.reach(*index, point[*index], *speed))
        .fold(1.0, f64::min);
    for (index, speed) in free.iter().zip(&direction) {
        point[*index] = bounds.clamp(*index, point[*index] + share * speed);
    }
    point
}

/// Adds `factor · vector`.
fn add(sum: &mut [f64], factor: f64, vector: &[f64]) {
    for (sum, value) in sum.iter_mut().zip(vector) {
        *sum += factor * value;
    }
}
