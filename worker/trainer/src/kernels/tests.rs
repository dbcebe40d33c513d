use proptest::prelude::*;
use tch::{no_grad, set_num_threads};

use super::*;
use crate::rng::{Purpose, Stream};

/// Numbers of a normal distribution around `mean`.
fn normal(shape: [i64; 4], mean: f64, stream: u64) -> Tensor {
    let stream = Stream::new(7, Purpose::Init, stream);
    let count: i64 = shape.iter().product();
    let values: Vec<f32> = (0..count as u64)
        .map(|at| (mean + stream.normals(at).0) as f32)
        .collect();
    let [n, c, h, w] = shape;
    let values = Tensor::from_slice(&values).view([n, h, w, c]);
    values.permute([0, 3, 1, 2])
}

/// Parameters and running statistics of a normalization.
struct State {
    scale: Tensor,
    shift: Tensor,
    mean: Tensor,
    variance: Tensor,
}

impl State {
    fn new(channels: i64) -> Self {
        let of = |stream| normal([1, channels, 1, 1], 0.5, stream).reshape([-1]);
        Self {
            scale: of(11).set_requires_grad(true),
            shift: of(12).set_requires_grad(true),
            mean: of(13),
            variance: of(14).abs(),
        }
    }

    fn norm(&self) -> Norm<'_> {
        Norm {
            scale: &self.scale,
            shift: &self.shift,
            mean: &self.mean,
            variance: &self.variance,
            momentum: 0.1,
            epsilon: 1e-5,
        }
    }

    /// libtorch's operations, in f64.
    fn composed(&self, input: &Tensor, relu: bool) -> Tensor {
        let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
        let (scale, shift) = (double(&self.scale), double(&self.shift));
        let (mean, variance) = (double(&self.mean), double(&self.variance));
        let out = double(input).batch_norm(
            Some(&scale),
            Some(&shift),
            Some(&mean),
            Some(&variance),
            true,
            0.1,
            1e-5,
            false,
        );
        no_grad(|| {
            self.mean.shallow_clone().copy_(&mean);
            self.variance.shallow_clone().copy_(&variance);
        });
        if relu { out.relu() } else { out }
    }
}

fn close(found: &Tensor, expected: &Tensor, what: &str) {
    let far: Tensor = (found.to_kind(Kind::Double) - expected.to_kind(Kind::Double)).abs();
    let size: Tensor = 1.0 + expected.to_kind(Kind::Double).abs();
    let far = Tensor::max(&(far / size)).double_value(&[]);
    assert!(far < 2e-5, "{what}: {far}");
}

/// Sums of `outs` weighted by fixed numbers, so that every element has a
/// gradient of its own.
fn weighted(outs: &[&Tensor]) -> Tensor {
    let parts = outs.iter().enumerate().map(|(at, out)| {
        let (n, c, h, w) = out.size4().unwrap();
        let weights = normal([n, c, h, w], 0.3, 20 + at as u64);
        (weights.to_kind(out.kind()) * *out).sum(out.kind())
    });
    parts.reduce(|a, b| a + b).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_fused_norm_is_the_composed_one(
        images in 1_i64..5, channels in 1_i64..40, height in 3_i64..9, width in 3_i64..9,
        offset in -5.0..5.0, relu: bool,
    ) {
        let shape = [images, channels, height, width];
        let input = normal(shape, offset, 1).set_requires_grad(true);
        let (fused, plain) = (State::new(channels), State::new(channels));
        let found = norm(&input, &fused.norm(), relu);
        let expected = plain.composed(&input, relu);
        close(&found, &expected, "output");
        close(&fused.mean, &plain.mean, "running mean");
        close(&fused.variance, &plain.variance, "running variance");
        let found = Tensor::run_backward(
            &[weighted(&[&found])], &[&input, &fused.scale, &fused.shift], false, false);
        let expected = Tensor::run_backward(
            &[weighted(&[&expected])], &[&input, &plain.scale, &plain.shift], false, false);
        for (found, expected) in found.iter().zip(&expected) {
            close(found, expected, "gradient");
        }
    }

    #[test]
    fn a_join_is_a_sum_and_its_norm(
        images in 1_i64..5, channels in 1_i64..40, side in 2_i64..9, relu: bool, both: bool,
    ) {
        let shape = [images, channels, side, side];
        let a = normal(shape, 1.0, 1).set_requires_grad(true);
        let b = normal(shape, -3.0, 2).set_requires_grad(true);
        let (fused, plain) = (State::new(channels), State::new(channels));
        let (sum, found) = join(&a, &b, &fused.norm(), relu);
        let whole = &a + &b;
        let expected = plain.composed(&whole, relu);
        close(&sum, &whole, "sum");
        close(&found, &expected, "output");
        let (found, expected) = if both {
            (weighted(&[&found, &sum]), weighted(&[&expected, &whole.to_kind(Kind::Double)]))
        } else {
            (weighted(&[&found]), weighted(&[&expected]))
        };
        let found = Tensor::run_backward(
            &[found], &[&a, &b, &fused.scale, &fused.shift], false, false);
        let expected = Tensor::run_backward(
            &[expected], &[&a, &b, &plain.scale, &plain.shift], false, false);
        for (found, expected) in found.iter().zip(&expected) {
            close(found, expected, "gradient");
        }
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let input = normal([16, 24, 32, 32], 0.5, 3);
    let run = |threads| {
        set_num_threads(threads);
        let state = State::new(24);
        let input = input.detach().set_requires_grad(true);
        let out = norm(&input, &state.norm(), true);
        let loss = weighted(&[&out]);
        let mut made = Tensor::run_backward(&[&loss], &[&input, &state.scale], false, false);
        made.push(out.detach());
        made
    };
    let before = tch::get_num_threads();
    let (one, three) = (run(1), run(3));
    set_num_threads(before);
    // The sum of the loss is libtorch's own; its gradient is not touched by it.
    assert!(one.iter().zip(&three).all(|(one, three)| one == three));
}

#[test]
fn a_gradient_that_others_hold_is_left_alone() {
    let state = State::new(4);
    let input = normal([2, 4, 3, 3], 0.0, 4).set_requires_grad(true);
    let out = norm(&input, &state.norm(), true);
    let given = normal([2, 4, 3, 3], 0.0, 5);
    let kept = given.copy();
    // The backward pass of a product with ones hands `given` itself on.
    let loss = (&out * &given).sum(Kind::Float);
    let first = Tensor::run_backward(&[&loss], &[&input], true, false);
    let second = Tensor::run_backward(&[&loss], &[&input], false, false);
    assert_eq!(first[0], second[0]);
    assert_eq!(given, kept);
}
