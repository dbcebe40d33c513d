//! The limited-memory matrix `B = θI − W M Wᵀ` (Byrd, Nocedal & Schnabel 1994,
//! theorem 2.3): an approximation of the Hessian from the last steps.

use std::collections::VecDeque;

use super::matrix::{Matrix, dot};

/// The steps that the matrix remembers, and what is computed from them.
pub(super) struct History {
    most: usize,
    /// Steps and changes of the gradient, oldest first.
    pairs: VecDeque<(Vec<f64>, Vec<f64>)>,
    /// θ: the curvature where no step is remembered.
    scale: f64,
    /// M, of twice as many rows as there are steps.
    middle: Matrix,
}

impl History {
    /// A history of at most `most` steps: `B = I`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            pairs: VecDeque::new(),
            scale: 1.0,
            middle: Matrix::new(0, |_, _| 0.0),
        }
    }

    /// Whether no step is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Forgets all steps.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.most);
    }

    /// Columns of W.
    pub(super) fn width(&self) -> usize {
        2 * self.pairs.len()
    }

    /// θ.
    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// M.
    pub(super) fn middle(&self) -> &Matrix {
        &self.middle
    }

    /// The row of W = [Y, θS] of a coordinate.
    pub(super) fn row(&self, coordinate: usize) -> Vec<f64> {
        let changes = self.pairs.iter().map(|(_, change)| change[coordinate]);
        let steps = self
            .pairs
            .iter()
            .map(|(step, _)| self.scale * step[coordinate]);
        changes.chain(steps).collect()
    }

    /// Wᵀ times a vector.
    pub(super) fn reduced(&self, vector: &[f64]) -> Vec<f64> {
        let changes = self.pairs.iter().map(|(_, change)| dot(change, vector));
        let steps = self
            .pairs
            .iter()
            .map(|(step, _)| self.scale * dot(step, vector));
        changes.chain(steps).collect()
    }

    /// Remembers a step and the change of the gradient over it. A step along
    /// which the curvature is not clearly positive is skipped, because `B` must
    /// stay positive definite.
    pub(super) fn push(&mut self, step: Vec<f64>, change: Vec<f64>) {
        let curvature = dot(&step, &change);
        let square = dot(&change, &change);
        if !curvature.is_finite() || curvature <= f64::EPSILON * square {
            return;
        }
        if self.pairs.len() == self.most {
            self.pairs.pop_front();
        }
        self.pairs.push_back((step, change));
        self.scale = square / curvature;
        match self.core().inverse() {
            Some(middle) => self.middle = middle,
            None => self.clear(),
        }
    }

    /// M⁻¹ = [[−D, Lᵀ], [L, θ SᵀS]] with D the diagonal and L the part below
    /// it of SᵀY.
    fn core(&self) -> Matrix {
        let count = self.pairs.len();
        let mixed = |i: usize, j: usize| dot(&self.pairs[i].0, &self.pairs[j].1);
        let below = |i: usize, j: usize| if i > j { mixed(i, j) } else { 0.0 };
        Matrix::new(2 * count, |row, column| {
            match (row.checked_sub(count), column.checked_sub(count)) {
                (None, None) if row == column => -mixed(row, row),
                (None, None) => 0.0,
                (None, Some(column)) => below(column, row),
                (Some(row), None) => below(row, column),
                (Some(row), Some(column)) => {
                    self.scale * dot(&self.pairs[row].0, &self.pairs[column].0)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// B as a dense matrix from the compact representation.
    fn compact(history: &History, size: usize) -> Matrix {
        let rows: Vec<Vec<f64>> = (0..size).map(|i| history.row(i)).collect();
        Matrix::new(size, |i, j| {
            let own = if i == j { history.scale() } else { 0.0 };
            own - dot(&rows[i], &history.middle().times(&rows[j]))
        })
    }

    /// B by the textbook's recursion from θI.
    fn recursive(history: &History, size: usize) -> Matrix {
        let mut matrix = Matrix::new(size, |i, j| if i == j { history.scale() } else { 0.0 });
        for (step, change) in &history.pairs {
            let moved = matrix.times(step);
            let curvature = dot(step, change);
            let energy = dot(step, &moved);
            let before = matrix.clone();
            matrix = Matrix::new(size, |i, j| {
                before.at(i, j) - moved[i] * moved[j] / energy + change[i] * change[j] / curvature
            });
        }
        matrix
    }

    proptest! {
        /// The compact form is the BFGS matrix of the remembered steps.
        #[test]
        fn the_compact_form_is_the_recursion(
            steps in prop::collection::vec(prop::collection::vec(-1.0..1.0_f64, 4), 1..6),
            diagonal in prop::collection::vec(0.5..3.0_f64, 4),
        ) {
            let mut history = History::new(3);
            for step in steps {
                let change = step.iter().zip(&diagonal).map(|(s, d)| s * d).collect();
                history.push(step, change);
            }
            // Nearly parallel steps leave few digits in either form.
            prop_assume!(!history.is_empty());
            let expected = recursive(&history, 4);
            let found = compact(&history, 4);
            let largest = (0..4).map(|i| expected.at(i, i)).fold(1.0, f64::max);
            let condition = history.middle().times(&vec![1.0; history.width()]);
            let condition = condition.iter().fold(1.0_f64, |a, b| a.max(b.abs()));
            for i in 0..4 {
                for j in 0..4 {
                    let error = (found.at(i, j) - expected.at(i, j)).abs();
                    prop_assert!(error < 1e-9 * largest * condition, "{error}");
                }
            }
        }
    }

    #[test]
    fn a_step_of_negative_curvature_is_passed_over() {
        let mut history = History::new(3);
        history.push(vec![1.0, 0.0], vec![-1.0, 0.5]);
        assert!(history.is_empty());
        history.push(vec![1.0, 0.0], vec![2.0, 0.0]);
        assert_eq!((history.width(), history.scale()), (2, 2.0));
    }
}
