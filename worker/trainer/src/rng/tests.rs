use super::*;

/// The known answers that the authors publish with Random123.
#[test]
fn philox_gives_the_published_answers() {
    assert_eq!(
        philox([0; 4], [0; 2]),
        [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
    );
    assert_eq!(
        philox([u32::MAX; 4], [u32::MAX; 2]),
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
    );
    assert_eq!(
        philox(
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0]
        ),
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
    );
}

#[test]
fn permutations_hold_every_index_once_and_differ_by_epoch() {
    let order = Stream::new(7, Purpose::Shuffle, 0).permutation(1000);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..1000));
    assert_ne!(order, Stream::new(7, Purpose::Shuffle, 1).permutation(1000));
    assert_ne!(order, Stream::new(8, Purpose::Shuffle, 0).permutation(1000));
    assert_eq!(order, Stream::new(7, Purpose::Shuffle, 0).permutation(1000));
}

#[test]
fn permutations_are_uniform() {
    // 4,800 orders of four things: each of 24 orders 200 times, with a
    // standard deviation of 13.8.
    let mut counts = std::collections::HashMap::new();
    for epoch in 0..4800 {
        let order = Stream::new(1, Purpose::Shuffle, epoch).permutation(4);
        *counts.entry(order).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 24);
    assert!(
        counts.values().all(|count| (130..270).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn whole_numbers_are_uniform() {
    let stream = Stream::new(3, Purpose::Crop, 2);
    let mut counts = [[0_u32; 9]; 2];
    for position in 0..9000 {
        let (first, second) = stream.pair_below(position, 9, 9);
        counts[0][first as usize] += 1;
        counts[1][second as usize] += 1;
    }
    // 1,000 each, with a standard deviation of 30.
    assert!(
        counts
            .as_flattened()
            .iter()
            .all(|n| (850..1150).contains(n)),
        "{counts:?}"
    );
}

#[test]
fn normals_have_mean_0_and_variance_1() {
    let stream = Stream::new(5, Purpose::Init, 0);
    let values: Vec<f64> = (0..20_000)
        .flat_map(|position| <[f64; 2]>::from(stream.normals(position)))
        .collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let beyond_two = values.iter().filter(|v| v.abs() > 2.0).count() as f64 / n;
    assert!(mean.abs() < 0.02, "{mean}");
    assert!((variance - 1.0).abs() < 0.03, "{variance}");
    assert!((beyond_two - 0.0455).abs() < 0.006, "{beyond_two}");
}

/// Quantiles of Beta(alpha, alpha) at 0.05, 0.1, 0.2, 0.3, 0.4 and 0.45, from
/// the regularized incomplete beta function. Those above a half mirror them.
const QUANTILES: [(f64, [f64; 6]); 7] = [
    (
        0.01,
        [
            9.839_180_61e-101,
            1.247_264_32e-70,
            1.581_095_37e-40,
            6.428_119_94e-23,
            2.004_276_49e-10,
            2.613_357_06e-5,
        ],
    ),
    (
        0.1,
        [
            8.661_406_89e-11,
            8.869_280_01e-8,
            9.081_468_56e-5,
            0.005_214_870_25,
            0.086_398_560_7,
            0.241_532_308,
        ],
    ),
    (
        0.3,
        [
            0.000_328_386_266,
            0.003_304_618_26,
            0.032_776_401_7,
            0.120_415_237,
            0.282_878_711,
            0.387_503_181,
        ],
    ),
    (
        0.5,
        [
            0.006_155_829_7,
            0.024_471_741_9,
            0.095_491_502_8,
            0.206_107_374,
            0.345_491_503,
            0.421_782_767,
        ],
    ),
    (1.0, [0.05, 0.1, 0.2, 0.3, 0.4, 0.45]),
    (
        2.0,
        [
            0.135_350_362,
            0.195_800_106,
            0.287_140_725,
            0.363_257_491,
            0.432_931_077,
            0.466_617_063,
        ],
    ),
    (
        10.0,
        [
            0.320_086_53,
            0.357_929_88,
            0.405_582_836,
            0.440_842_582,
            0.471_342_474,
            0.485_776_88,
        ],
    ),
];

fn betas(alpha: f64, count: u64) -> Vec<f64> {
    let stream = Stream::new(17, Purpose::Mixing, 4);
    (0..count)
        .map(|position| stream.beta(position, alpha))
        .collect()
}

#[test]
fn betas_have_the_known_quantiles() {
    let shares = [0.05, 0.1, 0.2, 0.3, 0.4, 0.45];
    for (alpha, quantiles) in QUANTILES {
        let values = betas(alpha, 40_000);
        let n = values.len() as f64;
        let share = |inside: &dyn Fn(f64) -> bool| {
            values.iter().filter(|value| inside(**value)).count() as f64 / n
        };
        for (expected, at) in shares.into_iter().zip(quantiles) {
            let deviation = 5.0 * (expected * (1.0_f64 - expected) / n).sqrt();
            let below = share(&|value| value < at);
            assert!(
                (below - expected).abs() < deviation,
                "{alpha} {expected} {below}"
            );
            // Numbers next to 1 are rounded to it.
            if at > 1e-12 {
                let above = share(&|value| value > 1.0 - at);
                assert!(
                    (above - expected).abs() < deviation,
                    "{alpha} {expected} {above}"
                );
            }
        }
        let half = share(&|value| value < 0.5);
        assert!((half - 0.5).abs() < 2.5 / n.sqrt(), "{alpha} {half}");
    }
}

/// Mean 1/2, variance 1/(4 (2a + 1)), excess kurtosis -6/(2a + 3).
#[test]
fn betas_have_the_known_moments() {
    for alpha in [0.01, 0.1, 0.3, 0.5, 0.7, 1.0, 2.0, 5.0, 10.0] {
        let values = betas(alpha, 40_000);
        assert!(values.iter().all(|value| (0.0..=1.0).contains(value)));
        let n = values.len() as f64;
        let moment = |power| {
            let powers = values.iter().map(|value| (value - 0.5).powi(power));
            powers.sum::<f64>() / n
        };
        let variance = 0.25 / (2.0 * alpha + 1.0);
        let fourth = variance * variance * (3.0 - 6.0 / (2.0 * alpha + 3.0));
        assert!(moment(1).abs() < 5.0 * (variance / n).sqrt(), "{alpha}");
        assert!(
            (moment(2) / variance - 1.0).abs() < 0.04,
            "{alpha} {}",
            moment(2)
        );
        assert!(
            (moment(4) / fourth - 1.0).abs() < 0.08,
            "{alpha} {}",
            moment(4)
        );
    }
}

/// Kolmogorov–Smirnov against the distributions with a simple formula, at the
/// 0.1 % level.
#[test]
fn betas_have_the_known_distribution() {
    let arcsine = |x: f64| x.sqrt().asin() / std::f64::consts::FRAC_PI_2;
    let parabola = |x: f64| x * x * (3.0 - 2.0 * x);
    let cases: [(f64, &dyn Fn(f64) -> f64); 3] = [(0.5, &arcsine), (1.0, &|x| x), (2.0, &parabola)];
    for (alpha, distribution) in cases {
        let mut values = betas(alpha, 40_000);
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        let distances = values.iter().enumerate().map(|(rank, value)| {
            let expected = distribution(*value);
            let (below, up_to) = (rank as f64 / n, (rank + 1) as f64 / n);
            (expected - below).abs().max((up_to - expected).abs())
        });
        let distance = distances.fold(0.0, f64::max);
        assert!(distance < 1.95 / n.sqrt(), "{alpha} {distance}");
    }
}

/// The values come from an independent implementation of the formula.
#[test]
fn betas_stay_what_they_are() {
    let stream = Stream::new(0x5_0000_000B, Purpose::Mixing, 2);
    let expected = [
        0.964_271_405_566_798_8,
        0.992_149_732_487_009_3,
        0.960_274_038_947_385_6,
    ];
    for (position, expected) in [0, 3, 6].into_iter().zip(expected) {
        let found = stream.beta(position, 0.3);
        assert!((found - expected).abs() < 1e-14, "{found} {expected}");
    }
    // As small and as large as a spec may ask for.
    assert!([0.0, 1.0].contains(&stream.beta(0, 1e-12)));
    assert!((stream.beta(0, 1e6) - 0.5).abs() < 0.01);
}

#[test]
fn lanes_are_other_numbers_and_lane_0_is_the_stream() {
    let stream = Stream::new(3, Purpose::Erasing, 2);
    assert_eq!(stream.lane(0).uniforms(7), stream.uniforms(7));
    assert_ne!(stream.lane(1).uniforms(7), stream.uniforms(7));
    assert_ne!(stream.lane(1).uniforms(7), stream.lane(2).uniforms(7));
}
