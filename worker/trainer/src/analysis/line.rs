//! Weights on the line through two others, and BN's statistics for them.

use tch::{Kind, Tensor, no_grad};

use crate::dataset::{Images, Normalizer};
use crate::failure::Failure;
use crate::model::{Layout, Model, Noise, Pass, Weights};
use crate::process;

/// The points of a line: evenly spaced, both ends included.
pub(crate) fn points(from: f64, to: f64, count: u32) -> impl Iterator<Item = f64> {
    let last = count - 1;
    (0..count).map(move |index| {
        // Exact at both ends.
        if index == last {
            to
        } else {
            from + (to - from) * f64::from(index) / f64::from(last)
        }
    })
}

/// Sets `weights` to (1 − alpha) · `from` + alpha · `to`, for parameters and
/// running statistics. Returns how many running variances would be negative;
/// those are set to 0.
pub(crate) fn place(
    layout: &Layout,
    weights: &Weights,
    [from, to]: [&Weights; 2],
    alpha: f64,
) -> i64 {
    no_grad(|| {
        between(weights.flat(), [from.flat(), to.flat()], alpha);
        let mut negative = 0;
        let sides = from.buffers().iter().zip(to.buffers());
        for ((buffer, target), (from, to)) in
            layout.buffers.iter().zip(weights.buffers()).zip(sides)
        {
            between(target, [from, to], alpha);
            if buffer.name.ends_with(VARIANCE) {
                negative += target.lt(0.0).sum(Kind::Int64).int64_value(&[]);
                let _ = target.shallow_clone().clamp_min_(0.0);
            }
        }
        negative
    })
}

/// The ending of the names of running variances.
const VARIANCE: &str = "running_var";

fn between(target: &Tensor, [from, to]: [&Tensor; 2], alpha: f64) {
    let rest = 1.0 - alpha;
    // At the ends the other side must not count, whatever its values are.
    let point = if alpha == 0.0 {
        from.shallow_clone()
    } else if rest == 0.0 {
        to.shallow_clone()
    } else {
        from * rest + to * alpha
    };
    target.shallow_clone().copy_(&point);
}

/// Recomputes BN's statistics for given parameters: for each layer the mean,
/// over large batches, of the batch's mean and (unbiased) variance, just as the
/// running statistics are a mean over small batches.
pub(crate) struct Recomputation<'a> {
    model: &'a Model,
    images: &'a Images,
    normalizer: &'a Normalizer,
    seed: u64,
    /// First image, number of images, and the weight that the statistics before
    /// a pass keep after it.
    batches: Vec<(i64, i64, f64)>,
}

/// Most images in a batch.
const BATCH: i64 = 500;

impl<'a> Recomputation<'a> {
    /// Prepares for these images; `weights` lose their statistics.
    ///
    /// # Errors
    ///
    /// [`Failure::Stopped`] after SIGTERM.
    pub(crate) fn new(
        model: &'a Model,
        weights: &Weights,
        images: &'a Images,
        normalizer: &'a Normalizer,
        seed: u64,
    ) -> Result<Self, Failure> {
        let mut recomputation = Self {
            model,
            images,
            normalizer,
            seed,
            batches: Vec::new(),
        };
        let mut known: Vec<(i64, f64)> = Vec::new();
        for (start, count) in cut(images.count(), BATCH) {
            let kept = if let Some((_, kept)) = known.iter().find(|(size, _)| *size == count) {
                *kept
            } else {
                let kept = recomputation.kept(weights, start, count)?;
                known.push((count, kept));
                kept
            };
            recomputation.batches.push((start, count, kept));
        }
        Ok(recomputation)
    }

    /// Replaces the running statistics of `weights`.
    ///
    /// # Errors
    ///
    /// [`Failure::Stopped`] within a batch of SIGTERM.
    pub(crate) fn run(&self, weights: &Weights) -> Result<(), Failure> {
        let buffers = weights.buffers();
        let mut sums: Vec<Tensor> = buffers
            .iter()
            .map(|buffer| buffer.zeros_like().to_kind(Kind::Double))
            .collect();
        for (start, count, kept) in &self.batches {
            self.pass(weights, 0.0, *start, *count)?;
            let share = *count as f64 / self.images.count() as f64 / (1.0 - kept);
            for (sum, buffer) in sums.iter_mut().zip(buffers) {
                *sum += buffer.to_kind(Kind::Double) * share;
            }
        }
        for (buffer, sum) in buffers.iter().zip(&sums) {
            buffer.shallow_clone().copy_(sum);
        }
        Ok(())
    }

    /// The weight of the old statistics after a pass, however often that pass
    /// updates them: a difference of 1 before the pass becomes this difference
    /// after it.
    fn kept(&self, weights: &Weights, start: i64, count: i64) -> Result<f64, Failure> {
        let mut sums = [0.0; 2];
        for (sum, fill) in sums.iter_mut().zip([0.0, 1.0]) {
            self.pass(weights, fill, start, count)?;
            for buffer in weights.buffers() {
                *sum += buffer.sum(Kind::Double).double_value(&[]);
            }
        }
        let numbers: usize = weights.buffers().iter().map(Tensor::numel).sum();
        Ok((sums[1] - sums[0]) / numbers.max(1) as f64)
    }

    /// A pass in training mode from statistics that are all `fill`.
    fn pass(&self, weights: &Weights, fill: f64, start: i64, count: i64) -> Result<(), Failure> {
        if process::stop_requested() {
            return Err(Failure::Stopped);
        }
        let noise = Noise {
            seed: self.seed,
            step: 0,
            chunk: start as u32,
        };
        no_grad(|| {
            for buffer in weights.buffers() {
                let _ = buffer.shallow_clone().fill_(fill);
            }
            let images = self
                .normalizer
                .images(&self.images.pixels.narrow(0, start, count));
            // The logits are not needed here.
            let _ = self.model.forward(weights, &images, Pass::Training(noise));
        });
        Ok(())
    }
}

/// Cuts `total` images into the fewest batches of at most `most`, with sizes
/// that differ by at most one, because a last batch of one image would have no
/// variance. Returns first image and number of images.
fn cut(total: i64, most: i64) -> impl Iterator<Item = (i64, i64)> {
    let parts = (total + most - 1) / most;
    let edge = move |part: i64| part * total / parts;
    (0..parts).map(move |part| (edge(part), edge(part + 1) - edge(part)))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the ends of a line are exact")]
mod tests {
    use super::*;

    #[test]
    fn the_default_line_has_both_ends_and_both_files() {
        let alphas: Vec<f64> = points(-1.0, 2.0, 25).collect();
        assert_eq!(alphas.len(), 25);
        assert_eq!(
            [alphas[0], alphas[8], alphas[16], alphas[24]],
            [-1.0, 0.0, 1.0, 2.0]
        );
        assert_eq!(points(0.0, 0.3, 4).last(), Some(0.3));
    }

    #[test]
    fn batches_are_even_and_cover_all_images() {
        let sizes = |total| cut(total, 500).map(|(_, count)| count).collect::<Vec<_>>();
        assert_eq!(sizes(1347), [449, 449, 449]);
        assert_eq!(sizes(501), [250, 251]);
        assert_eq!(sizes(500), [500]);
        assert_eq!(sizes(1), [1]);
        let ends: Vec<i64> = cut(10_007, 500)
            .map(|(start, count)| start + count)
            .collect();
        let starts: Vec<i64> = cut(10_007, 500).map(|(start, _)| start).collect();
        assert_eq!(starts[0], 0);
        assert_eq!(starts[1..], ends[..ends.len() - 1]);
        assert_eq!(ends.last(), Some(&10_007));
    }
}
