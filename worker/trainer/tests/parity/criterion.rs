//! How far the trainer may lie from the reference in double precision.
//!
//! The reference is exact except for rounding when it is stored, so a distance
//! is the trainer's own error. float32 has an error too: `noise` of a case is
//! that of PyTorch's float32. In some draws of images the input of a ReLU is
//! within rounding of 0. Then the order of a sum decides whether a gradient
//! passes, and any float32 is far off. A wrong formula is off in every draw. So
//! the second-best draw counts.

/// The relative error that float32 is granted for any case.
const FLOOR: f64 = 2e-5;
/// Multiple of the error of PyTorch's float32 that is allowed where it is more
/// than the floor.
const MULTIPLE: f64 = 4.0;

/// How far a draw is from its fixture: sums of squares, by tensor.
pub(crate) struct Distance(Vec<Squares>);

struct Squares {
    tensor: String,
    /// Squares of the difference.
    error: f64,
    /// Squares of the expected values.
    size: f64,
}

impl Distance {
    /// The distance between the `found` and `expected` values of each tensor.
    pub(crate) fn of(tensors: impl Iterator<Item = (String, Vec<f64>, Vec<f64>)>) -> Self {
        let squares = tensors.map(|(tensor, found, expected)| {
            let pairs = found.iter().zip(&expected);
            Squares {
                tensor,
                error: pairs
                    .map(|(found, expected)| (found - expected).powi(2))
                    .sum(),
                size: expected.iter().map(|value| value.powi(2)).sum(),
            }
        });
        Self(squares.collect())
    }

    /// The relative L2 error over all tensors.
    fn relative(&self) -> f64 {
        let error: f64 = self.0.iter().map(|squares| squares.error).sum();
        let size: f64 = self.0.iter().map(|squares| squares.size).sum();
        let relative = (error / size).sqrt();
        if relative.is_nan() {
            f64::INFINITY
        } else {
            relative
        }
    }

    /// The tensor with most of the error, and its share of the squares.
    fn farthest(&self) -> (&str, f64) {
        let error: f64 = self.0.iter().map(|squares| squares.error).sum();
        let order = |squares: &&Squares| squares.error;
        let farthest = self.0.iter().max_by(|a, b| order(a).total_cmp(&order(b)));
        farthest.map_or(("none", 0.0), |squares| {
            (&squares.tensor, squares.error / error)
        })
    }
}

/// What was compared, and which of it is too far off.
#[derive(Default)]
pub(crate) struct Verdict {
    misses: Vec<String>,
}

impl Verdict {
    /// Judges the found values of a `kind` in all draws of a case.
    /// `--nocapture` prints how far off they are even if they pass.
    #[expect(clippy::print_stdout, reason = "a test prints for who asks for it")]
    pub(crate) fn add(&mut self, case: &str, kind: &str, noise: f64, mut draws: Vec<Distance>) {
        draws.sort_by(|a, b| a.relative().total_cmp(&b.relative()));
        let limit = FLOOR.max(MULTIPLE * noise);
        let second = &draws[1];
        let error = second.relative();
        let (tensor, share) = second.farthest();
        let line = format!(
            "{case}: {kind} is off by {error:.1e}, {:.4} of the limit, {:.0} % of it in {tensor}",
            error / limit,
            100.0 * share
        );
        println!("{line}");
        if error > limit {
            self.misses.push(line);
        }
    }

    /// Fails with a list of everything that is too far off.
    pub(crate) fn passes(self) {
        assert!(self.misses.is_empty(), "{}", self.misses.join("\n"));
    }
}
