//! What a model consists of, before anything is allocated: names, shapes,
//! initial values and numbers of multiply-accumulates. Pure.

use crate::failure::Failure;

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Weight of a convolution.
    Convolution {
        /// Incoming connections of an output.
        fan_in: i64,
        /// Outgoing connections of an input.
        fan_out: i64,
    },
    /// Bias of a convolution.
    ConvolutionBias,
    /// Weight of the classifier.
    Linear {
        /// The number of inputs.
        fan_in: i64,
        /// The number of outputs.
        fan_out: i64,
    },
    /// Bias of the classifier.
    LinearBias {
        /// The number of inputs of its weight.
        fan_in: i64,
    },
    /// Weight of a linear layer inside a block.
    Gate {
        /// The number of inputs.
        fan_in: i64,
    },
    /// Bias of a linear layer inside a block.
    GateBias {
        /// The number of inputs of its weight.
        fan_in: i64,
    },
    /// Gamma of a batch normalization.
    Scale {
        /// Whether it is the last one of a residual block.
        last_of_block: bool,
    },
    /// Beta of a batch normalization.
    Shift,
}

/// The groups that weight decay and number formats distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Group {
    /// Weights of convolutions and linear layers.
    Weight,
    /// Their biases.
    Bias,
    /// Scale and shift of batch normalizations.
    Norm,
}

impl Role {
    /// The group of a parameter of this role.
    pub(crate) fn group(self) -> Group {
        match self {
            Self::Convolution { .. } | Self::Linear { .. } | Self::Gate { .. } => Group::Weight,
            Self::ConvolutionBias | Self::LinearBias { .. } | Self::GateBias { .. } => Group::Bias,
            Self::Scale { .. } | Self::Shift => Group::Norm,
        }
    }
}

/// The bytes of the widest number.
const BYTES: i64 = 8;

/// A trained tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its name in a PyTorch state dict.
    pub(crate) name: String,
    /// The parameter's shape.
    pub(crate) shape: Vec<i64>,
    /// How it starts.
    pub(crate) role: Role,
}

impl Parameter {
    /// How many elements it has.
    pub(crate) fn count(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// A tensor that the forward pass keeps: BN's running statistics.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Buffer {
    /// Its name in a PyTorch state dict.
    pub(crate) name: String,
    /// How many elements it has.
    pub(crate) size: i64,
    /// The initial value of every element.
    pub(crate) initial: f64,
}

/// All tensors of a model, in the order of its forward pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    /// Trained tensors.
    pub(crate) parameters: Vec<Parameter>,
    /// Kept tensors.
    pub(crate) buffers: Vec<Buffer>,
    /// Multiply-accumulates of convolutions and linear layers per image.
    pub(crate) macs: i64,
}

impl Layout {
    /// Adds a parameter; its index is its place in [`Layout::parameters`].
    pub(crate) fn parameter(&mut self, name: String, shape: &[i64], role: Role) -> usize {
        self.parameters.push(Parameter {
            name,
            shape: shape.to_vec(),
            role,
        });
        self.parameters.len() - 1
    }

    /// Adds a buffer; its index is its place in [`Layout::buffers`].
    pub(crate) fn buffer(&mut self, name: String, size: i64, initial: f64) -> usize {
        self.buffers.push(Buffer {
            name,
            size,
            initial,
        });
        self.buffers.len() - 1
    }

    /// Adds the multiply-accumulates of a layer: the product of `factors`. If
    /// there are too many to count, the number stays at the largest one, which
    /// [`Layout::check`] refuses.
    pub(crate) fn work(&mut self, factors: &[i64]) {
        let product = |product: i64, factor: &i64| product.saturating_mul(*factor);
        self.macs = self.macs.saturating_add(factors.iter().fold(1, product));
    }

    /// Checks that everything can be counted, parameters also in bytes.
    ///
    /// # Errors
    ///
    /// [`Failure::Invalid`] with the key where it cannot.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let parameters = self.parameters.iter().try_fold(0_i64, |sum, parameter| {
            let sizes = parameter.shape.iter();
            let count = sizes.copied().try_fold(1, i64::checked_mul)?;
            sum.checked_add(count)
        });
        let bytes = parameters.and_then(|count| count.checked_mul(BYTES));
        if bytes.is_some() && self.macs < i64::MAX {
            return Ok(());
        }
        Err(Failure::invalid(
            "`model`: its parameters or multiply-accumulates are too many to be counted; make it \
             smaller",
        ))
    }

    /// How many numbers are trained.
    pub(crate) fn parameter_count(&self) -> i64 {
        self.parameters.iter().map(Parameter::count).sum()
    }

    /// Name and shape of every tensor.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&str, Vec<i64>)> {
        let parameters = self.parameters.iter();
        let buffers = self.buffers.iter();
        parameters
            .map(|parameter| (parameter.name.as_str(), parameter.shape.clone()))
            .chain(buffers.map(|buffer| (buffer.name.as_str(), vec![buffer.size])))
    }
}
