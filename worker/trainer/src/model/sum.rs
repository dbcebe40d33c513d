//! Sums of maps that are left to the layer after them.

use tch::Tensor;

use super::Pass;
use super::blocks::{Norm, is_fused};
use super::weights::Weights;
use crate::kernels;

/// A map, or two whose sum it is and that have not been added yet: the
/// normalization after a residual block adds them while it reads them.
pub(crate) struct Sum {
    first: Tensor,
    second: Option<Tensor>,
}

impl From<Tensor> for Sum {
    fn from(map: Tensor) -> Self {
        Self {
            first: map,
            second: None,
        }
    }
}

impl Sum {
    /// `a + b`.
    pub(crate) fn of(a: Tensor, b: Tensor) -> Self {
        Self {
            first: a,
            second: Some(b),
        }
    }

    /// The sum itself, and what [`Norm::relu`] (or, without `relu`,
    /// [`Norm::forward`]) makes of it.
    pub(crate) fn normalized(
        self,
        norm: Norm,
        weights: &Weights,
        pass: Pass,
        relu: bool,
    ) -> (Tensor, Tensor) {
        let sum = match self.second {
            Some(second) if is_fused(weights, &self.first, pass) && kernels::fits(&second) => {
                return kernels::join(&self.first, &second, &norm.tensors(weights), relu);
            }
            Some(second) => self.first + second,
            None => self.first,
        };
        let out = norm.normalized(weights, &sum, pass, relu);
        (sum, out)
    }
}
