//! Fused layers for the CPU (`cpp/`), and when they apply.
//!
//! Elsewhere (on another device, in another number format or layout) the same
//! formulas are composed of libtorch's operations.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::null_mut;

use tch::{Device, Kind, Tensor};

/// The tensors and constants of a batch normalization.
pub(crate) struct Norm<'a> {
    /// γ, per channel.
    pub(crate) scale: &'a Tensor,
    /// β, per channel.
    pub(crate) shift: &'a Tensor,
    /// Running mean, which training updates.
    pub(crate) mean: &'a Tensor,
    /// Running variance, which training updates.
    pub(crate) variance: &'a Tensor,
    /// Share of the new batch in the running statistics.
    pub(crate) momentum: f64,
    /// Added to the variance.
    pub(crate) epsilon: f64,
}

/// Whether the fused layers can take `map` (N×C×H×W).
pub(crate) fn fits(map: &Tensor) -> bool {
    map.device() == Device::Cpu && map.kind() == Kind::Float && map.dim() == 4
}

/// `input` normalized by the statistics of the batch, with a ReLU if `relu`.
pub(crate) fn norm(input: &Tensor, norm: &Norm<'_>, relu: bool) -> Tensor {
    let mut out = null_mut();
    checked(|| ffi::norm(&mut out, input, norm, relu));
    ffi::taken(out)
}

/// `a + b`, and that sum normalized as by [`norm`].
pub(crate) fn join(a: &Tensor, b: &Tensor, norm: &Norm<'_>, relu: bool) -> (Tensor, Tensor) {
    let (mut sum, mut out) = (null_mut(), null_mut());
    checked(|| ffi::join(&mut sum, &mut out, a, b, norm, relu));
    (ffi::taken(sum), ffi::taken(out))
}

/// The end of a shake-shake block: `skip + α·norm(a) + (1 - α)·norm(b)` and its
/// ReLU, where the gradient is that of the same sum with β.
pub(crate) struct Shake<'a> {
    /// The first branch.
    pub(crate) a: &'a Tensor,
    /// The second branch.
    pub(crate) b: &'a Tensor,
    /// The shortcut.
    pub(crate) skip: &'a Tensor,
    /// One number per image, or one for all: f32.
    pub(crate) alpha: &'a Tensor,
    /// One number per image, or one for all: f32.
    pub(crate) beta: &'a Tensor,
}

/// The sum of `shake`, and its ReLU twice, for two readers with a gradient
/// each.
pub(crate) fn shake(shake: &Shake<'_>, norms: [&Norm<'_>; 2]) -> [Tensor; 3] {
    let mut out = [null_mut(); 3];
    checked(|| ffi::shake(&mut out, shake, norms));
    out.map(ffi::taken)
}

/// The maps of a dense block, side by side.
pub(crate) struct Dense {
    /// N×(all channels of the block)×H×W, channels last.
    buffer: Tensor,
    /// Mean per channel of the batch.
    means: Tensor,
    /// Variance per channel of the batch.
    variances: Tensor,
    /// The channels so far, through which gradients flow.
    features: Option<Tensor>,
}

impl Dense {
    /// A block that will have `channels` channels, for maps like `first`.
    pub(crate) fn new(first: &Tensor, channels: i64) -> Self {
        let size = first.size();
        let options = (first.kind(), first.device());
        let buffer = Tensor::empty([size[0], size[2], size[3], channels], options);
        Self {
            buffer: buffer.permute([0, 3, 1, 2]),
            means: Tensor::empty([channels], options),
            variances: Tensor::empty([channels], options),
            features: None,
        }
    }

    /// Adds `maps`, and normalizes all maps so far, with a ReLU.
    pub(crate) fn grow(&mut self, maps: &Tensor, norm: &Norm<'_>) -> Tensor {
        let (mut grown, mut out) = (null_mut(), null_mut());
        checked(|| ffi::grow(&mut grown, &mut out, self, maps, norm));
        self.features = Some(ffi::taken(grown));
        ffi::taken(out)
    }
}

/// Calls a function of the C++ side, and panics with its message, as tch's
/// plain methods do; see [`crate::failure::guarded`].
fn checked(call: impl FnOnce() -> *mut c_char) {
    if let Some(message) = ffi::message(call()) {
        panic!("{message}");
    }
}

/// The boundary to C++.
#[expect(
    unsafe_code,
    reason = "fused layers are written in C++, where libtorch's autograd can be extended; every \
              pointer is that of a live tensor, which the callee only reads, or one that it made"
)]
mod ffi {
    use std::ptr::null;

    use super::{CStr, Dense, Norm, Shake, Tensor, c_char, c_int, c_void};

    type Pointer = *mut c_void;

    /// The struct `swath::NormArguments`.
    #[repr(C)]
    struct Arguments {
        scale: *const c_void,
        shift: *const c_void,
        mean: *const c_void,
        variance: *const c_void,
        momentum: f64,
        epsilon: f64,
    }

    unsafe extern "C" {
        fn swath_norm(
            out: *mut Pointer,
            x: *const c_void,
            norm: *const Arguments,
            relu: c_int,
        ) -> *mut c_char;
        fn swath_join(
            sum: *mut Pointer,
            out: *mut Pointer,
            a: *const c_void,
            b: *const c_void,
            norm: *const Arguments,
            relu: c_int,
        ) -> *mut c_char;
        fn swath_shake(
            out: *mut Pointer,
            maps: *const *const c_void,
            norm_a: *const Arguments,
            norm_b: *const Arguments,
        ) -> *mut c_char;
        fn swath_grow(
            grown: *mut Pointer,
            out: *mut Pointer,
            features: *const c_void,
            maps: *const c_void,
            norm: *const Arguments,
            state: *const *const c_void,
        ) -> *mut c_char;
    }

    fn at(tensor: &Tensor) -> *const c_void {
        tensor.as_ptr().cast()
    }

    fn arguments(norm: &Norm<'_>) -> Arguments {
        Arguments {
            scale: at(norm.scale),
            shift: at(norm.shift),
            mean: at(norm.mean),
            variance: at(norm.variance),
            momentum: norm.momentum,
            epsilon: norm.epsilon,
        }
    }

    pub(super) fn norm(out: &mut Pointer, x: &Tensor, norm: &Norm<'_>, relu: bool) -> *mut c_char {
        let norm = arguments(norm);
        unsafe { swath_norm(out, at(x), &raw const norm, c_int::from(relu)) }
    }

    pub(super) fn join(
        sum: &mut Pointer,
        out: &mut Pointer,
        a: &Tensor,
        b: &Tensor,
        norm: &Norm<'_>,
        relu: bool,
    ) -> *mut c_char {
        let norm = arguments(norm);
        unsafe { swath_join(sum, out, at(a), at(b), &raw const norm, c_int::from(relu)) }
    }

    pub(super) fn shake(
        out: &mut [Pointer; 3],
        shake: &Shake<'_>,
        norms: [&Norm<'_>; 2],
    ) -> *mut c_char {
        let maps = [shake.a, shake.b, shake.skip, shake.alpha, shake.beta].map(at);
        let [a, b] = norms.map(arguments);
        unsafe { swath_shake(out.as_mut_ptr(), maps.as_ptr(), &raw const a, &raw const b) }
    }

    pub(super) fn grow(
        grown: &mut Pointer,
        out: &mut Pointer,
        dense: &Dense,
        maps: &Tensor,
        norm: &Norm<'_>,
    ) -> *mut c_char {
        let features = dense.features.as_ref().map_or(null(), at);
        let norm = arguments(norm);
        let state = [&dense.buffer, &dense.means, &dense.variances].map(at);
        unsafe {
            swath_grow(
                grown,
                out,
                features,
                at(maps),
                &raw const norm,
                state.as_ptr(),
            )
        }
    }

    /// A tensor that the C++ side made.
    pub(super) fn taken(made: Pointer) -> Tensor {
        unsafe { Tensor::from_ptr(made.cast()) }
    }

    /// The text of an error message, which is freed; none for null.
    pub(super) fn message(text: *mut c_char) -> Option<String> {
        if text.is_null() {
            return None;
        }
        let owned = unsafe { CStr::from_ptr(text) }
            .to_string_lossy()
            .into_owned();
        unsafe { libc::free(text.cast()) };
        Some(owned)
    }
}

#[cfg(test)]
mod tests;
