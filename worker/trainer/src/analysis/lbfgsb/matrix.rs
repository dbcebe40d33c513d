//! Small dense square matrices: the middle of a limited-memory matrix, and the
//! normal equations of a subspace.

/// A square matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::analysis) struct Matrix {
    size: usize,
    entries: Vec<f64>,
}

impl Matrix {
    /// The matrix of these entries.
    pub(in crate::analysis) fn new(
        size: usize,
        mut entry: impl FnMut(usize, usize) -> f64,
    ) -> Self {
        let places = (0..size).flat_map(|row| (0..size).map(move |column| (row, column)));
        Self {
            size,
            entries: places.map(|(row, column)| entry(row, column)).collect(),
        }
    }

    /// An entry.
    pub(in crate::analysis) fn at(&self, row: usize, column: usize) -> f64 {
        self.entries[row * self.size + column]
    }

    /// A row.
    fn row(&self, row: usize) -> &[f64] {
        &self.entries[row * self.size..(row + 1) * self.size]
    }

    /// Its product with a vector.
    pub(in crate::analysis) fn times(&self, vector: &[f64]) -> Vec<f64> {
        (0..self.size)
            .map(|row| dot(self.row(row), vector))
            .collect()
    }

    /// Its product with a matrix.
    pub(in crate::analysis) fn times_matrix(&self, right: &Self) -> Self {
        Self::new(self.size, |row, column| {
            let entries = self.row(row).iter().enumerate();
            entries.map(|(k, entry)| entry * right.at(k, column)).sum()
        })
    }

    /// The solution of `self · x = right` by elimination with partial
    /// pivoting; none where the matrix is singular to working precision.
    pub(in crate::analysis) fn solve(&self, right: &[f64]) -> Option<Vec<f64>> {
        let size = self.size;
        let mut left = self.clone();
        let mut right = right.to_vec();
        let largest = left.entries.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        for column in 0..size {
            let pivot = (column..size).max_by(|a, b| {
                let (a, b) = (left.at(*a, column).abs(), left.at(*b, column).abs());
                a.total_cmp(&b)
            })?;
            let top = left.at(pivot, column);
            if !top.is_finite() || top.abs() <= f64::EPSILON * largest {
                return None;
            }
            for place in 0..size {
                left.entries
                    .swap(column * size + place, pivot * size + place);
            }
            right.swap(column, pivot);
            for row in column + 1..size {
                let factor = left.at(row, column) / top;
                for place in column..size {
                    left.entries[row * size + place] -=
                        factor * left.entries[column * size + place];
                }
                right[row] -= factor * right[column];
            }
        }
        for row in (0..size).rev() {
            let known = dot(&left.row(row)[row + 1..], &right[row + 1..]);
            right[row] = (right[row] - known) / left.at(row, row);
        }
        Some(right)
    }

    /// Its inverse; none where it is singular to working precision.
    pub(in crate::analysis) fn inverse(&self) -> Option<Self> {
        let columns = (0..self.size)
            .map(|column| {
                let mut unit = vec![0.0; self.size];
                unit[column] = 1.0;
                self.solve(&unit)
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self::new(self.size, |row, column| columns[column][row]))
    }
}

/// The inner product of two vectors.
pub(in crate::analysis) fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indefinite_matrix_without_a_leading_pivot_is_solved() {
        let entries = [[0.0, 2.0, 1.0], [2.0, -1.0, 0.0], [1.0, 0.0, 3.0]];
        let matrix = Matrix::new(3, |row, column| entries[row][column]);
        let solution = matrix.solve(&[7.0, 0.0, 10.0]).unwrap();
        for (found, expected) in matrix.times(&solution).iter().zip([7.0, 0.0, 10.0]) {
            assert!((found - expected).abs() < 1e-12);
        }
        let product = matrix.times_matrix(&matrix.inverse().unwrap());
        for row in 0..3 {
            for column in 0..3 {
                let expected = f64::from(row == column);
                assert!((product.at(row, column) - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_singular_matrix_has_no_inverse() {
        assert_eq!(Matrix::new(2, |_, _| 1.0).inverse(), None);
    }
}
