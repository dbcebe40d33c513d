//! SGD in half precision, without weights in single precision behind it.

use swath_model::spec::Sgd as Options;
use tch::Tensor;

use super::sgd::Sgd;

/// SGD whose convolution and linear weights, their gradients and their
/// velocity are half floats; the batch normalizations are f32.
pub(crate) struct HalfSgd {
    /// The parameters that are half floats.
    parameters: Tensor,
    low: Sgd,
    norms: Sgd,
}

impl HalfSgd {
    /// The optimizer for flat `parameters` whose front is `low` in half
    /// precision; the first `decayed` elements decay.
    pub(super) fn new(options: &Options, parameters: &Tensor, low: &Tensor, decayed: i64) -> Self {
        let [front, norms] = halves(parameters, low);
        let of_low = decayed.min(front.size()[0]);
        Self {
            parameters: low.shallow_clone(),
            low: Sgd::new(options, low, of_low),
            norms: Sgd::new(options, &norms, decayed - of_low),
        }
    }

    pub(super) fn step(&mut self, parameters: &Tensor, gradient: &mut Tensor, lr: f64) {
        let [mut front, norms] = halves(parameters, &self.parameters);
        let [low, mut of_norms] = halves(gradient, &self.parameters);
        let mut low = low.to_kind(self.parameters.kind());
        self.low.step(&self.parameters, &mut low, lr);
        self.norms.step(&norms, &mut of_norms, lr);
        // So that the flat parameters have the values that count.
        front.copy_(&self.parameters);
    }

    pub(super) fn state(&self) -> Vec<(&'static str, &Tensor)> {
        let low = self.low.state().into_iter();
        let norms = self.norms.state().into_iter();
        low.map(|(_, tensor)| ("velocity_half", tensor))
            .chain(norms.map(|(_, tensor)| ("velocity_norms", tensor)))
            .collect()
    }
}

/// The part of a flat tensor that `low` replaces, and the rest.
fn halves(flat: &Tensor, low: &Tensor) -> [Tensor; 2] {
    let count = low.size()[0];
    [
        flat.narrow(0, 0, count),
        flat.narrow(0, count, flat.size()[0] - count),
    ]
}
