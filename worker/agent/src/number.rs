//! Numbers as programs print them.

/// A number as programs print it: also a percentage, what C libraries print for numbers that are not finite, and a
/// number of NumPy or PyTorch that is printed with its type.
pub(crate) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let text = text.strip_suffix('%').unwrap_or(text);
    let text = inside_of_type(text).unwrap_or(text);
    text.parse().ok().or_else(|| not_finite_in_c(text))
}

/// The number in `np.float64(0.5)` or `tensor(0.5, device='cuda:0')`; a pattern may end after the comma.
fn inside_of_type(text: &str) -> Option<&str> {
    const TYPES: [&str; 6] = [
        "tensor(",
        "array(",
        "np.float64(",
        "np.float32(",
        "np.float16(",
        "numpy.float64(",
    ];
    let inside = TYPES.iter().find_map(|it| text.strip_prefix(it))?;
    inside.find([',', ')']).map(|end| inside[..end].trim())
}

/// `nan(0x8…)` of the C library of Linux, `-nan(ind)`, `1.#IND`, `1.#QNAN` and `-1.#INF` of those of Windows.
fn not_finite_in_c(text: &str) -> Option<f64> {
    let text = text.to_ascii_lowercase();
    let (is_negative, size) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    if size.starts_with("nan(") && size.ends_with(')') {
        return Some(f64::NAN);
    }
    match size.strip_prefix("1.#")?.trim_end_matches('0') {
        "inf" if is_negative => Some(f64::NEG_INFINITY),
        "inf" => Some(f64::INFINITY),
        "ind" | "qnan" | "snan" => Some(f64::NAN),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_printed() {
        assert_eq!(number(" 94.5% "), Some(94.5));
        assert_eq!(number("1e-3"), Some(1e-3));
        assert!(number("nan").is_some_and(f64::is_nan));
        assert_eq!(number("-inf"), Some(f64::NEG_INFINITY));
        for none in [
            "fast",
            "",
            "%",
            "1,5",
            "1_000",
            "0x10",
            "0.3s",
            "NA",
            "1.#",
            "f(3)",
            "tensor([1.0])",
            "tensor(0.5",
        ] {
            assert_eq!(number(none), None, "{none}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_read_as_c_prints_them() {
        for nan in [
            "NaN",
            "-nan",
            "nan(0x8000)",
            "-nan(ind)",
            "1.#QNAN",
            "-1.#IND00",
        ] {
            assert!(number(nan).is_some_and(f64::is_nan), "{nan}");
        }
        for infinite in ["inf", "Infinity", "1e999", "1.#INF"] {
            assert_eq!(number(infinite), Some(f64::INFINITY), "{infinite}");
        }
        assert_eq!(number("-1.#INF"), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn numbers_are_read_that_are_printed_with_their_type() {
        for half in [
            "np.float64(0.5)",
            "tensor(0.5000)",
            "tensor(0.5,",
            "array(0.5, dtype=float32)",
        ] {
            assert_eq!(number(half), Some(0.5), "{half}");
        }
        assert!(number("tensor(nan, device='cuda:0')").is_some_and(f64::is_nan));
    }
}
