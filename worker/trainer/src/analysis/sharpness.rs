//! Sharpness of a minimum: how much the loss can rise in a small box around it
//! (Keskar et al., *On large-batch training for deep learning: generalization
//! gap and sharp minima*, ICLR 2017, metric 2.1).
//!
//! For a loss f, weights x and a matrix A,
//!
//! `φ(ε, A) = 100 · (max f(x + A y) − f(x)) / (1 + f(x))`
//!
//! over the box |yᵢ| ≤ ε(|(A⁺x)ᵢ| + 1). A is the identity (the full space), or
//! a random matrix of a hundred columns.

use tch::{Kind, Tensor};

use super::landscape::{Landscape, host};
use super::lbfgsb::{self, Bounds, Options, Place};
use super::subspace::Subspace;
use crate::failure::Failure;

/// A loss over y, with y = 0 at the weights.
pub(crate) trait Space {
    /// Half-widths of the box per unit of ε: |(A⁺x)ᵢ| + 1.
    fn widths(&self) -> &[f64];

    /// Writes the gradient at `y` and gives the loss there.
    fn at(&mut self, y: &[f64], gradient: &mut [f64]) -> Result<f64, Failure>;
}

/// How far the loss was found to rise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rise {
    /// φ: percent of 1 + f(x).
    pub(crate) sharpness: f64,
    /// The largest loss that was found in the box.
    pub(crate) largest_loss: f64,
    /// Evaluations of loss and gradient.
    pub(crate) evaluations: u32,
}

/// The loss and its gradient at y = 0.
pub(crate) struct Middle {
    /// f(x).
    pub(crate) loss: f64,
    /// The gradient with respect to y.
    pub(crate) gradient: Vec<f64>,
}

/// A coordinate whose slope is at least the root mean square divided by this
/// reaches its bound in the first step.
const FIRST_REACH: f64 = 100.0;

/// Sharpness in the box of `epsilon`, by `iterations` of L-BFGS-B from y = 0.
///
/// The coordinates are scaled to the box and the loss to its gradient, so that
/// the first step aims at the corner to which the gradient points. Unscaled, it
/// would be as long as the gradient: with a small gradient a few iterations
/// would hardly move, and the measure would show the size of the gradient
/// instead of that of the loss in the box.
///
/// # Errors
///
/// The error that `space` returned.
pub(crate) fn rise(
    space: &mut impl Space,
    middle: &Middle,
    epsilon: f64,
    iterations: u32,
) -> Result<Rise, Failure> {
    let half: Vec<f64> = space.widths().iter().map(|width| epsilon * width).collect();
    let size = half.len();
    let mut largest_loss = middle.loss;
    let mut evaluations = 0;
    let pairs = middle.gradient.iter().zip(&half);
    let mut gradient: Vec<f64> = pairs.map(|(slope, half)| -slope * half).collect();
    let square = gradient.iter().map(|slope| slope * slope).sum::<f64>();
    let mean = (square / size as f64).sqrt();
    // At a stationary point there is no slope to scale by.
    let scale = if mean > 0.0 { FIRST_REACH / mean } else { 1.0 };
    for slope in &mut gradient {
        *slope *= scale;
    }
    let start = Place {
        point: vec![0.0; size],
        value: -scale * middle.loss,
        gradient,
    };
    let (lower, upper) = (vec![-1.0; size], vec![1.0; size]);
    let bounds = Bounds {
        lower: &lower,
        upper: &upper,
    };
    let mut y = vec![0.0; size];
    let evaluate = |point: &[f64], gradient: &mut [f64]| {
        for ((y, share), half) in y.iter_mut().zip(point).zip(&half) {
            *y = share * half;
        }
        let loss = space.at(&y, gradient)?;
        evaluations += 1;
        if loss.is_finite() {
            largest_loss = largest_loss.max(loss);
        }
        for (slope, half) in gradient.iter_mut().zip(&half) {
            *slope *= -scale * half;
        }
        Ok::<f64, Failure>(-scale * loss)
    };
    lbfgsb::minimize(start, bounds, Options::iterations(iterations), evaluate)?;
    Ok(Rise {
        sharpness: 100.0 * (largest_loss - middle.loss) / (1.0 + middle.loss),
        largest_loss,
        evaluations,
    })
}

/// Every parameter moves by itself: A = I.
pub(crate) struct FullSpace<'a> {
    landscape: &'a Landscape<'a>,
    widths: Vec<f64>,
}

impl<'a> FullSpace<'a> {
    /// The full space around the landscape's origin.
    pub(crate) fn new(landscape: &'a Landscape<'a>) -> Result<Self, Failure> {
        Ok(Self {
            landscape,
            widths: widths(&host(landscape.origin())?),
        })
    }

    /// The middle, from the gradient by the parameters.
    pub(crate) fn middle(loss: f64, gradient: &Tensor) -> Result<Middle, Failure> {
        Ok(Middle {
            loss,
            gradient: host(gradient)?,
        })
    }
}

impl Space for FullSpace<'_> {
    fn widths(&self) -> &[f64] {
        &self.widths
    }

    fn at(&mut self, y: &[f64], gradient: &mut [f64]) -> Result<f64, Failure> {
        let offset = Tensor::from_slice(y).to_device(self.landscape.device());
        let (loss, found) = self.landscape.at(&offset)?;
        gradient.copy_from_slice(&host(&found)?);
        Ok(loss)
    }
}

/// A random subspace: the columns of A are independent standard normal
/// numbers, not normalized. (The paper says that they are "randomly
/// generated".)
pub(crate) struct RandomSpace<'a> {
    landscape: &'a Landscape<'a>,
    subspace: Subspace,
    widths: Vec<f64>,
}

impl<'a> RandomSpace<'a> {
    /// The subspace of a seed and a trial, around the landscape's origin.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] where it has too many dimensions.
    pub(crate) fn new(
        landscape: &'a Landscape<'a>,
        dimensions: usize,
        seed: u64,
        trial: u64,
    ) -> Result<Self, Failure> {
        let parameters = landscape.parameters();
        if dimensions >= parameters {
            return Err(Failure::Invalid(format!(
                "--dimensions {dimensions}: this model has {parameters} parameters; use fewer \
                 dimensions, or --full-space"
            )));
        }
        let subspace = Subspace::new(seed, trial, [parameters, dimensions], landscape.device());
        let preimage = subspace.preimage(&landscape.origin().to_kind(Kind::Float))?;
        Ok(Self {
            landscape,
            subspace,
            widths: widths(&preimage),
        })
    }

    /// The middle, from the gradient by the parameters.
    pub(crate) fn middle(&self, loss: f64, gradient: &Tensor) -> Result<Middle, Failure> {
        Ok(Middle {
            loss,
            gradient: self.subspace.gathered(gradient)?,
        })
    }
}

impl Space for RandomSpace<'_> {
    fn widths(&self) -> &[f64] {
        &self.widths
    }

    fn at(&mut self, y: &[f64], gradient: &mut [f64]) -> Result<f64, Failure> {
        let (loss, found) = self.landscape.at(&self.subspace.spread(y))?;
        gradient.copy_from_slice(&self.subspace.gathered(&found)?);
        Ok(loss)
    }
}

impl Landscape<'_> {
    /// f(x), and its gradient by the parameters.
    pub(crate) fn middle(&self) -> Result<(f64, Tensor), Failure> {
        self.at(&self.origin().zeros_like())
    }
}

fn widths(point: &[f64]) -> Vec<f64> {
    point.iter().map(|value| value.abs() + 1.0).collect()
}
