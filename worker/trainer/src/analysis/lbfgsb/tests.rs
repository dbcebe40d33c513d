use std::convert::Infallible;

use proptest::prelude::*;

use super::matrix::Matrix;
use super::*;

/// Minimizes and checks every evaluated point and the way down.
fn minimum(
    start: &[f64],
    lower: &[f64],
    upper: &[f64],
    iterations: u32,
    function: impl Fn(&[f64], &mut [f64]) -> f64,
) -> Place {
    let bounds = Bounds { lower, upper };
    let mut gradient = vec![0.0; start.len()];
    let value = function(start, &mut gradient);
    let mut place = Place {
        point: start.to_vec(),
        value,
        gradient,
    };
    let mut previous = place.value;
    // More iterations go on where fewer ended: the values form a sequence.
    let fewer = [1, 2, 3].into_iter().filter(|count| *count < iterations);
    for count in fewer.chain([iterations]) {
        let options = Options::iterations(count);
        let found: Result<Place, Infallible> =
            minimize(place.clone(), bounds, options, |point, gradient| {
                for (index, value) in point.iter().enumerate() {
                    assert!(lower[index] <= *value && *value <= upper[index]);
                }
                Ok(function(point, gradient))
            });
        let found = found.unwrap();
        assert!(found.value <= previous, "{} > {previous}", found.value);
        previous = found.value;
        if count == iterations {
            place = found;
        }
    }
    place
}

/// ½ x·Hx − b·x.
fn quadratic(hessian: &Matrix, linear: &[f64], point: &[f64], gradient: &mut [f64]) -> f64 {
    let product = hessian.times(point);
    for (index, slope) in gradient.iter_mut().enumerate() {
        *slope = product[index] - linear[index];
    }
    0.5 * dot(point, &product) - dot(linear, point)
}

/// The constrained minimum of a convex quadratic: every choice of which
/// coordinates lie at which bound, the rest solved for.
fn by_active_sets(hessian: &Matrix, linear: &[f64], lower: &[f64], upper: &[f64]) -> f64 {
    let size = linear.len();
    let mut best = f64::INFINITY;
    for choice in 0..3_usize.pow(size as u32) {
        let state = |index: usize| choice / 3_usize.pow(index as u32) % 3;
        let fixed = |index: usize| match state(index) {
            0 => Some(lower[index]),
            1 => Some(upper[index]),
            _ => None,
        };
        // Rows of fixed coordinates say that they are.
        let system = Matrix::new(size, |row, column| match fixed(row) {
            Some(_) => f64::from(row == column),
            None => hessian.at(row, column),
        });
        let right: Vec<f64> = (0..size)
            .map(|index| fixed(index).unwrap_or(linear[index]))
            .collect();
        let Some(point) = system.solve(&right) else {
            continue;
        };
        let inside =
            (0..size).all(|i| lower[i] - 1e-12 <= point[i] && point[i] <= upper[i] + 1e-12);
        if inside {
            best = best.min(quadratic(hessian, linear, &point, &mut vec![0.0; size]));
        }
    }
    best
}

proptest! {
    #[test]
    fn convex_quadratics_reach_the_constrained_minimum(
        root in prop::collection::vec(-1.0..1.0_f64, 25),
        linear in prop::collection::vec(-2.0..2.0_f64, 5),
        lower in prop::collection::vec(-1.5..0.0_f64, 5),
        width in prop::collection::vec(0.0..2.0_f64, 5),
        share in prop::collection::vec(0.0..1.0_f64, 5),
    ) {
        // AᵀA + I/10: positive definite.
        let hessian = Matrix::new(5, |i, j| {
            let square: f64 = (0..5).map(|k| root[k * 5 + i] * root[k * 5 + j]).sum();
            square + if i == j { 0.1 } else { 0.0 }
        });
        let upper: Vec<f64> = lower.iter().zip(&width).map(|(l, w)| l + w).collect();
        let start: Vec<f64> = (0..5).map(|i| lower[i] + share[i] * width[i]).collect();
        let found = minimum(&start, &lower, &upper, 200, |point, gradient| {
            quadratic(&hessian, &linear, point, gradient)
        });
        let expected = by_active_sets(&hessian, &linear, &lower, &upper);
        prop_assert!((found.value - expected).abs() < 1e-8, "{} {expected}", found.value);
    }

    /// A linear function ends in its corner after one iteration, given room.
    #[test]
    fn linear_functions_end_in_the_corner(
        slopes in prop::collection::vec(prop_oneof![-9.0..-1.0_f64, 1.0..9.0_f64], 1..40),
        share in 0.0..1.0_f64,
    ) {
        let size = slopes.len();
        let (lower, upper) = (vec![-0.5; size], vec![0.5; size]);
        let start = vec![share - 0.5; size];
        let found = minimum(&start, &lower, &upper, 1, |point, gradient| {
            gradient.copy_from_slice(&slopes);
            dot(&slopes, point)
        });
        for (value, slope) in found.point.iter().zip(&slopes) {
            prop_assert!((value + 0.5 * slope.signum()).abs() < 1e-12, "{value} {slope}");
        }
    }

    /// A separable concave function ends in its lowest corner, however little
    /// of the way there its slope at the start goes.
    #[test]
    fn concave_functions_end_in_their_lowest_corner(
        diagonal in prop::collection::vec(1.0..4.0_f64, 6),
        linear in prop::collection::vec(-2.0..2.0_f64, 6),
    ) {
        prop_assume!(linear.iter().all(|value| value.abs() > 0.01));
        let hessian = Matrix::new(6, |i, j| if i == j { -diagonal[i] } else { 0.0 });
        let function = |point: &[f64], gradient: &mut [f64]| {
            quadratic(&hessian, &linear, point, gradient)
        };
        let found = minimum(&[0.0; 6], &[-1.0; 6], &[1.0; 6], 50, function);
        for (value, slope) in found.point.iter().zip(&linear) {
            prop_assert!((value - slope.signum()).abs() < 1e-9, "{value} {slope}");
        }
    }
}

fn rosenbrock(point: &[f64], gradient: &mut [f64]) -> f64 {
    gradient.fill(0.0);
    let mut value = 0.0;
    for i in 0..point.len() - 1 {
        let valley = point[i + 1] - point[i] * point[i];
        let along = 1.0 - point[i];
        value += 100.0 * valley * valley + along * along;
        gradient[i] -= 400.0 * valley * point[i] + 2.0 * along;
        gradient[i + 1] += 200.0 * valley;
    }
    value
}

#[test]
fn rosenbrock_is_solved_inside_and_at_the_edge_of_a_box() {
    let free = minimum(&[-1.2, 1.0], &[-5.0; 2], &[5.0; 2], 60, rosenbrock);
    assert!(free.value < 1e-12, "{free:?}");
    let many = minimum(&[0.5; 20], &[-5.0; 20], &[5.0; 20], 300, rosenbrock);
    assert!(many.value < 1e-10, "{many:?}");
    // With x ≤ 1/2 the valley's floor y = x² is left at x = 1/2: f = 1/4.
    let edge = minimum(&[-1.2, 1.0], &[-5.0; 2], &[0.5, 5.0], 60, rosenbrock);
    assert!((edge.value - 0.25).abs() < 1e-10, "{edge:?}");
    assert!((edge.point[0] - 0.5).abs() < 1e-9 && (edge.point[1] - 0.25).abs() < 1e-6);
}

#[test]
fn few_iterations_solve_what_gradient_descent_does_not() {
    // Condition number 10⁴.
    let hessian = Matrix::new(8, |i, j| {
        if i == j {
            10_f64.powf(i as f64 * 4.0 / 7.0)
        } else {
            0.0
        }
    });
    let function =
        |point: &[f64], gradient: &mut [f64]| quadratic(&hessian, &[1.0; 8], point, gradient);
    let found = minimum(&[0.0; 8], &[-9.0; 8], &[9.0; 8], 60, function);
    let expected: f64 = (0..8).map(|i| -0.5 / hessian.at(i, i)).sum();
    assert!(
        (found.value - expected).abs() < 1e-8,
        "{} {expected}",
        found.value
    );
}

#[test]
fn a_box_of_one_point_and_a_start_at_the_minimum_need_no_evaluation() {
    for (lower, upper, slope) in [([1.0], [1.0], 3.0), ([0.0], [2.0], 0.0)] {
        let start = Place {
            point: vec![1.0],
            value: 0.0,
            gradient: vec![slope],
        };
        let bounds = Bounds {
            lower: &lower,
            upper: &upper,
        };
        let evaluate = |_: &[f64], _: &mut [f64]| Err("evaluated");
        let found = minimize(start, bounds, Options::iterations(5), evaluate).unwrap();
        assert_eq!(found.point, [1.0]);
    }
}

#[test]
fn values_that_are_not_finite_are_kept_away_from() {
    // x − ln x, which is infinite at and undefined below 0; the first step from
    // 0.1 aims far beyond.
    let function = |point: &[f64], gradient: &mut [f64]| {
        let x = point[0];
        gradient[0] = 1.0 - 1.0 / x;
        if x > 4.0 { f64::NAN } else { x - x.ln() }
    };
    let found = minimum(&[0.1], &[0.01], &[50.0], 40, function);
    assert!((found.point[0] - 1.0).abs() < 1e-6, "{found:?}");
}

#[test]
fn an_error_of_the_function_comes_out() {
    let start = Place {
        point: vec![0.0],
        value: 0.0,
        gradient: vec![1.0],
    };
    let bounds = Bounds {
        lower: &[-1.0],
        upper: &[1.0],
    };
    let evaluate = |_: &[f64], _: &mut [f64]| Err::<f64, _>("stopped");
    let ended = minimize(start, bounds, Options::iterations(5), evaluate);
    assert_eq!(ended.err(), Some("stopped"));
}

/// What SciPy 1.17's `fmin_l_bfgs_b` (version 3.0 of the published code, with
/// `pgtol` and `factr` 0) gives for the same starts and numbers of iterations.
#[test]
fn iterates_are_those_of_the_published_code() {
    let known = [
        (1, [-1.092_195_87, 1.253_656_77]),
        (3, [-1.101_904_79, 1.218_209_88]),
        (6, [-1.045_044_85, 1.063_212_27]),
        (10, [-0.675_564_76, 0.445_581_12]),
        (20, [0.321_097_95, 0.100_445_79]),
    ];
    for (iterations, expected) in known {
        let found = minimum(
            &[-1.2, 1.0],
            &[-5.0; 2],
            &[0.5, 5.0],
            iterations,
            rosenbrock,
        );
        for (found, expected) in found.point.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-8,
                "{iterations}: {found} {expected}"
            );
        }
    }
    let diagonal = [4.0, 2.75, 1.29, 1.0, 1.0, 1.99];
    let linear = [1.97, -0.012_477, -0.808, -1.49, -1.4597, -0.438];
    let hessian = Matrix::new(6, |i, j| if i == j { -diagonal[i] } else { 0.0 });
    let known = [
        (1, [1.0, -0.012_477, -0.808, -1.0, -1.0, -0.438]),
        (2, [1.0, -0.059_265_75, -1.0, -1.0, -1.0, -1.0]),
        (3, [1.0, -1.0, -1.0, -1.0, -1.0, -1.0]),
    ];
    for (iterations, expected) in known {
        let found = minimum(
            &[0.0; 6],
            &[-1.0; 6],
            &[1.0; 6],
            iterations,
            |point, gradient| quadratic(&hessian, &linear, point, gradient),
        );
        for (found, expected) in found.point.iter().zip(expected) {
            assert!(
                (found - expected).abs() < 1e-12,
                "{iterations}: {found} {expected}"
            );
        }
    }
}
