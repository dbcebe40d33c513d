//! Fused layers for the CPU (`cpp/`), and when they apply.
//!
//! Elsewhere (another device, another number format, another layout) the same
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
    /// Running mean, which training moves.
    pub(crate) mean: &'a Tensor,
    /// Running variance, which training moves.
    pub(crate) variance: &'a Tensor,
    /// Share of the new batch in the running statistics.
    pub(crate) momentum: f64,
    /// Added to the variance.
    pub(crate) epsilon: f64,
}

/// Whether the fused layers take `map` (N×C×H×W).
pub(crate) fn fits(map: &Tensor) -> bool {
    map.device() == Device::Cpu && map.kind() == Kind::Float && map.dim() == 4
}

/// The normalized `input`, by the statistics of the batch, with a ReLU on it
/// where `relu`.
pub(crate) fn norm(input: &Tensor, norm: &Norm<'_>, relu: bool) -> Tensor {
    let mut out = null_mut();
    checked(|| ffi::norm(&mut out, input, norm, relu));
    ffi::taken(out)
}

/// `a + b`, and that normalized as by [`norm`].
pub(crate) fn join(a: &Tensor, b: &Tensor, norm: &Norm<'_>, relu: bool) -> (Tensor, Tensor) {
    let (mut sum, mut out) = (null_mut(), null_mut());
    checked(|| ffi::join(&mut sum, &mut out, a, b, norm, relu));
    (ffi::taken(sum), ffi::taken(out))
}

/// Calls a function of the C++ side and panics with its message, as tch's
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
    use super::{CStr, Norm, Tensor, c_char, c_int, c_void};

    type Pointer = *mut c_void;

    unsafe extern "C" {
        fn swath_norm(
            out: *mut Pointer,
            x: *const c_void,
            scale: *const c_void,
            shift: *const c_void,
            mean: *const c_void,
            variance: *const c_void,
            momentum: f64,
            epsilon: f64,
            relu: c_int,
        ) -> *mut c_char;
        fn swath_join(
            sum: *mut Pointer,
            out: *mut Pointer,
            a: *const c_void,
            b: *const c_void,
            scale: *const c_void,
            shift: *const c_void,
            mean: *const c_void,
            variance: *const c_void,
            momentum: f64,
            epsilon: f64,
            relu: c_int,
        ) -> *mut c_char;
    }

    fn at(tensor: &Tensor) -> *const c_void {
        tensor.as_ptr().cast()
    }

    pub(super) fn norm(out: &mut Pointer, x: &Tensor, n: &Norm<'_>, relu: bool) -> *mut c_char {
        unsafe {
            swath_norm(
                out,
                at(x),
                at(n.scale),
                at(n.shift),
                at(n.mean),
                at(n.variance),
                n.momentum,
                n.epsilon,
                c_int::from(relu),
            )
        }
    }

    pub(super) fn join(
        sum: &mut Pointer,
        out: &mut Pointer,
        a: &Tensor,
        b: &Tensor,
        n: &Norm<'_>,
        relu: bool,
    ) -> *mut c_char {
        unsafe {
            swath_join(
                sum,
                out,
                at(a),
                at(b),
                at(n.scale),
                at(n.shift),
                at(n.mean),
                at(n.variance),
                n.momentum,
                n.epsilon,
                c_int::from(relu),
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
