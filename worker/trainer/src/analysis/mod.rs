//! Properties of trained weights, measured after a training.

mod landscape;
mod lbfgsb;
pub(crate) mod line;
pub(crate) mod sharpness;
mod subspace;

pub(crate) use self::landscape::Landscape;

#[cfg(test)]
mod tests;
