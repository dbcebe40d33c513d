//! A random subspace of the parameters.

use std::thread;

use tch::{Device, Kind, Tensor};

use super::landscape::host;
use super::lbfgsb::matrix::Matrix;
use crate::failure::Failure;
use crate::rng::{Purpose, Stream};

/// The most bytes of A that are kept. A larger matrix is drawn again for every
/// product.
const KEPT_MAX: usize = 2 << 30;

/// Numbers in a block of A: 16 MiB.
const BLOCK: usize = 1 << 22;

/// The columns of a matrix A of independent standard normal numbers, one row
/// per parameter.
///
/// It is stored and multiplied in blocks of rows, each as columns × rows in
/// f32.
pub(super) struct Subspace {
    seed: u64,
    trial: u64,
    rows: usize,
    columns: usize,
    device: Device,
    /// Numbers in a block.
    block: usize,
    kept: Option<Vec<Tensor>>,
}

impl Subspace {
    /// The subspace of a seed and a trial. Column k is the same however many
    /// columns there are.
    pub(super) fn new(seed: u64, trial: u64, [rows, columns]: [usize; 2], device: Device) -> Self {
        let subspace = Self {
            seed,
            trial,
            rows,
            columns,
            device,
            block: BLOCK,
            kept: None,
        };
        if rows * columns * size_of::<f32>() <= KEPT_MAX {
            subspace.keeping()
        } else {
            subspace
        }
    }

    fn keeping(mut self) -> Self {
        let blocks = (0..self.blocks()).map(|index| self.draw(index));
        self.kept = Some(blocks.collect());
        self
    }

    /// A y: doubles, on the device.
    pub(super) fn spread(&self, y: &[f64]) -> Tensor {
        let narrow: Vec<f32> = y.iter().map(|value| *value as f32).collect();
        let y = Tensor::from_slice(&narrow).to_device(self.device);
        let parts: Vec<Tensor> = (0..self.blocks())
            .map(|index| self.with(index, |block| block.tr().mv(&y)))
            .collect();
        Tensor::cat(&parts, 0).to_kind(Kind::Double)
    }

    /// Aᵀ v of an f32 vector on the device.
    pub(super) fn gathered(&self, v: &Tensor) -> Result<Vec<f64>, Failure> {
        let mut sum = Tensor::zeros([self.columns as i64], (Kind::Double, self.device));
        for index in 0..self.blocks() {
            let (start, count) = self.range(index);
            let part = v.narrow(0, start as i64, count as i64);
            sum += self.with(index, |block| block.mv(&part).to_kind(Kind::Double));
        }
        host(&sum)
    }

    /// A⁺ v = (AᵀA)⁻¹ Aᵀ v: A has full column rank.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where its rank is not full to working precision.
    pub(super) fn preimage(&self, v: &Tensor) -> Result<Vec<f64>, Failure> {
        let size = self.columns as i64;
        let mut sum = Tensor::zeros([size, size], (Kind::Double, self.device));
        for index in 0..self.blocks() {
            sum += self.with(index, |block| {
                let block = block.to_kind(Kind::Double);
                block.matmul(&block.tr())
            });
        }
        let entries = host(&sum.flatten(0, -1))?;
        let normal = Matrix::new(self.columns, |row, column| {
            entries[row * self.columns + column]
        });
        normal.solve(&self.gathered(v)?).ok_or_else(|| {
            Failure::Invalid(format!(
                "--dimensions {}: too near to the {} parameters of this model; use fewer, or \
                 --full-space",
                self.columns, self.rows
            ))
        })
    }

    /// The rows of a whole block; even, because numbers are drawn in pairs of
    /// rows.
    fn height(&self) -> usize {
        (self.block / self.columns).max(2) & !1
    }

    fn blocks(&self) -> usize {
        self.rows.div_ceil(self.height())
    }

    /// First row and number of rows of a block.
    fn range(&self, index: usize) -> (usize, usize) {
        let start = index * self.height();
        (start, self.height().min(self.rows - start))
    }

    fn with<T>(&self, index: usize, work: impl FnOnce(&Tensor) -> T) -> T {
        match &self.kept {
            Some(blocks) => work(&blocks[index]),
            None => work(&self.draw(index)),
        }
    }

    /// Draws a block, each number from its column and row alone, on as many
    /// threads as libtorch has.
    fn draw(&self, index: usize) -> Tensor {
        let (start, count) = self.range(index);
        let mut numbers = vec![0.0_f32; count * self.columns];
        let stream = Stream::new(self.seed, Purpose::Subspace, self.trial);
        let threads = tch::get_num_threads().max(1) as usize;
        let share = self.columns.div_ceil(threads);
        thread::scope(|scope| {
            for (part, numbers) in numbers.chunks_mut(share * count).enumerate() {
                scope.spawn(move || {
                    for (place, numbers) in numbers.chunks_mut(count).enumerate() {
                        column(stream, part * share + place, start, numbers);
                    }
                });
            }
        });
        Tensor::from_slice(&numbers)
            .view([self.columns as i64, count as i64])
            .to_device(self.device)
    }
}

/// How many bits of a position identify the row.
const ROW_BITS: u32 = 40;

/// Fills rows `start`.. of a column; `start` is even.
fn column(stream: Stream, column: usize, start: usize, numbers: &mut [f32]) {
    let first = ((column as u64) << ROW_BITS) + (start / 2) as u64;
    for (position, pair) in (first..).zip(numbers.chunks_mut(2)) {
        let drawn = <[f64; 2]>::from(stream.normals(position));
        for (number, value) in pair.iter_mut().zip(drawn) {
            *number = value as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subspace(rows: usize, columns: usize) -> Subspace {
        Subspace::new(3, 1, [rows, columns], Device::Cpu)
    }

    #[test]
    fn blocks_and_whether_they_are_kept_do_not_show() {
        let whole = subspace(1007, 8);
        let blocks = |kept| Subspace {
            block: 4000,
            kept,
            ..subspace(1007, 8)
        };
        let (kept, drawn) = (blocks(None).keeping(), blocks(None));
        assert!(whole.blocks() == 1 && kept.blocks() == 3 && kept.kept.is_some());
        let y = [0.5, -1.0, 2.0, 0.0, 1.0, 3.0, -0.25, 1.5];
        let spread = whole.spread(&y);
        assert_eq!(spread.size(), [1007]);
        assert_eq!(kept.spread(&y), drawn.spread(&y));
        let apart = (&spread - drawn.spread(&y)).abs().max().double_value(&[]);
        assert!(apart < 1e-5, "{apart}");
        let narrow = spread.to_kind(Kind::Float);
        let gathered = whole.gathered(&narrow).unwrap();
        assert_eq!(
            kept.gathered(&narrow).unwrap(),
            drawn.gathered(&narrow).unwrap()
        );
        for (one, many) in gathered.iter().zip(drawn.gathered(&narrow).unwrap()) {
            assert!(
                (one - many).abs() < 1e-5 * one.abs().max(100.0),
                "{one} {many}"
            );
        }
    }

    #[test]
    fn the_preimage_of_what_is_spread_is_what_it_was() {
        // Almost as many columns as rows: the worst for the normal equations.
        for rows in [333, 11] {
            let subspace = subspace(rows, 9);
            let y: Vec<f64> = (0..9).map(|k| f64::from(k) - 4.0).collect();
            let spread = subspace.spread(&y).to_kind(Kind::Float);
            for (found, expected) in subspace.preimage(&spread).unwrap().iter().zip(&y) {
                assert!((found - expected).abs() < 1e-4, "{found} {expected}");
            }
        }
    }

    #[test]
    fn columns_are_normal_and_the_same_in_a_larger_subspace() {
        let (small, large) = (subspace(5001, 2), subspace(5001, 3));
        assert_eq!(small.spread(&[0.0, 1.0]), large.spread(&[0.0, 1.0, 0.0]));
        let column = small.spread(&[0.0, 1.0]);
        let mean = column.mean(Kind::Double).double_value(&[]);
        let variance = column.square().mean(Kind::Double).double_value(&[]);
        // Standard errors: 1/√5001 = 0.014 and √(2/5001) = 0.02.
        assert!(
            mean.abs() < 0.05 && (variance - 1.0).abs() < 0.07,
            "{mean} {variance}"
        );
        let other = Subspace::new(3, 2, [5001, 2], Device::Cpu);
        assert_ne!(other.spread(&[0.0, 1.0]), column);
    }
}
