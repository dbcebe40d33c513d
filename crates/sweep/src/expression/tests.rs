#![expect(
    clippy::float_cmp,
    reason = "rounding promises the very double that a literal reads as"
)]

use proptest::prelude::*;

use super::*;

fn evaluate(text: &str) -> Result<Quantity, String> {
    let expression = Expression::parse(text).map_err(|error| at(&error))?;
    let mut lookup = |name: &str| match name {
        "batch_size" => Ok(Quantity::Number(96.0)),
        "schedule.name" => Ok(Quantity::Text("cosine".to_owned())),
        "shuffle" => Ok(Quantity::Truth(true)),
        _ => Err(NoValue::Missing(format!("`{name}` has no value"))),
    };
    expression
        .evaluate(&mut lookup)
        .map_err(|error| match error {
            EvaluationError::Here(error) => at(&error),
            EvaluationError::Elsewhere => "elsewhere".to_owned(),
        })
}

fn at(error: &ExpressionError) -> String {
    format!("{}: {}", error.offset, error.message)
}

#[track_caller]
fn gives(text: &str, expected: f64) {
    assert_eq!(evaluate(text), Ok(Quantity::Number(expected)), "{text}");
}

#[track_caller]
fn holds(text: &str, expected: bool) {
    assert_eq!(evaluate(text), Ok(Quantity::Truth(expected)), "{text}");
}

#[test]
fn operators_bind_as_they_do_on_paper() {
    gives("1 + 2 * 3 - 4 / 2", 5.0);
    gives("(1 + 2) * 3", 9.0);
    gives("10 - 4 - 3", 3.0);
    gives("-2 ^ 2", -4.0);
    gives("2 ^ 3 ^ 2", 512.0);
    gives("2 ^ -1", 0.5);
    gives("2 * -3", -6.0);
    gives("7 % 4 * 2", 6.0);
    gives("1e-4 * 1_000", 0.1);
    gives("= batch_size / 2", 48.0);
    gives("min(3, 1, 2) + max(4, 5) + sqrt(9) + log2(8)", 12.0);
    gives("round(2.5) + floor(2.9) + ceil(2.1)", 8.0);
}

#[test]
fn conditions_compare_numbers_and_words() {
    holds("batch_size == 96 && schedule.name == 'cosine'", true);
    holds("batch_size < 96 || !shuffle || batch_size >= 96", true);
    holds("schedule.name != \"cosine\"", false);
    holds("0.1 * 3 == 0.3", true);
    holds("(batch_size > 90) == true", true);
    // The right side has no value, and is not evaluated.
    holds("schedule.name == 'sgdr' && schedule.t0 > 5", false);
}

#[test]
fn mistakes_are_named_where_they_stand() {
    let wrong = |text: &str| evaluate(text).unwrap_err();
    insta::assert_snapshot!(wrong("0.1 * "), @"6: ends where a number, a parameter or `(` should be");
    insta::assert_snapshot!(wrong(""), @"0: ends where a number, a parameter or `(` should be");
    insta::assert_snapshot!(wrong("(1 + 2"), @"6: ends where an operator or `)` should be");
    insta::assert_snapshot!(wrong("1 2"), @"2: `2` where an operator or the end should be");
    insta::assert_snapshot!(wrong("batch_size = 4"), @"11: `=` compares nothing; write `==`");
    insta::assert_snapshot!(wrong("shuffle & shuffle"), @"8: a lone `&`; write `&&`");
    insta::assert_snapshot!(wrong("1 < 2 < 3"), @"6: compares a comparison; join two with `&&`");
    insta::assert_snapshot!(wrong("sqr(2)"), @"0: unknown function `sqr`; did you mean `sqrt`?");
    insta::assert_snapshot!(wrong("sqrt(2, 3)"), @"0: `sqrt` takes one argument, not 2");
    insta::assert_snapshot!(wrong("'cosine"), @"0: a text without its closing '");
    insta::assert_snapshot!(wrong("1.2.3"), @"0: `1.2.3` is not a number");
    insta::assert_snapshot!(wrong("1 / (batch_size - 96)"), @"2: divides by 0");
    insta::assert_snapshot!(wrong("sqrt(-1)"), @"0: gives NaN, which is not a number");
    insta::assert_snapshot!(wrong("schedule.name * 2"), @r#"14: `*` needs a number, not "cosine""#);
    insta::assert_snapshot!(wrong("schedule.name == 2"), @"14: `==` compares a text with a number");
    insta::assert_snapshot!(wrong("batch_size && shuffle"), @"11: `&&` needs true or false, not 96");
    insta::assert_snapshot!(wrong("2 * epochs"), @"4: `epochs` has no value");
    assert!(wrong(&"(".repeat(9_999)).contains("longer"));
    assert!(wrong(&"(".repeat(1_000)).contains("nested deeper"));
    assert!(wrong(&"-".repeat(1_000)).contains("nested deeper"));
    assert!(wrong(&format!("2{}", " ^ 2".repeat(1_000))).contains("nested deeper"));
    let sum = |operators: usize| format!("1{}", "+1".repeat(operators));
    gives(&sum(256), 257.0);
    assert_eq!(wrong(&sum(257)), "513: has more than 256 operators");
}

#[test]
fn results_meet_the_literal_that_a_person_writes() {
    assert_eq!(rounded(0.1 * 96.0 / 128.0), 0.075);
    assert_eq!(rounded(0.1 + 0.2), 0.3);
    assert_eq!(Quantity::Number(0.2 * 160.0).into_value(), 32);
    assert_eq!(rounded(0.006_125), 0.006_125);
}

/// A text, its value by plain arithmetic, and how loosely it binds.
#[derive(Clone, Debug)]
struct Sample {
    text: String,
    value: f64,
    loose: bool,
}

fn sample() -> impl Strategy<Value = Sample> {
    let leaf = prop_oneof![
        (1_u32..1000).prop_map(|number| Sample {
            text: number.to_string(),
            value: number.into(),
            loose: false,
        }),
        Just(Sample {
            text: "batch_size".to_owned(),
            value: 96.0,
            loose: false,
        }),
    ];
    leaf.prop_recursive(5, 40, 2, |inner| {
        (inner.clone(), inner, 0_usize..8).prop_map(|(left, right, which)| {
            let wrap = |sample: &Sample| {
                if sample.loose {
                    format!("({})", sample.text)
                } else {
                    sample.text.clone()
                }
            };
            let (a, b) = (left.value, right.value);
            let infix = |symbol: &str, value: f64| Sample {
                text: format!("{} {symbol} {}", wrap(&left), wrap(&right)),
                value,
                loose: true,
            };
            match which {
                0 => infix("+", a + b),
                1 => infix("-", a - b),
                2 => infix("*", a * b),
                3 => infix("/", a / b),
                4 => infix("%", a % b),
                5 => Sample {
                    text: format!("max({}, {})", left.text, right.text),
                    value: a.max(b),
                    loose: false,
                },
                6 => Sample {
                    text: format!("floor({})", left.text),
                    value: a.floor(),
                    loose: false,
                },
                _ => Sample {
                    text: format!("-{}", wrap(&left)),
                    value: -a,
                    loose: true,
                },
            }
        })
    })
}

proptest! {
    #[test]
    fn an_expression_is_what_plain_arithmetic_says(sample in sample()) {
        match evaluate(&sample.text) {
            Ok(value) => prop_assert_eq!(value, Quantity::Number(sample.value)),
            Err(message) => {
                let refused = message.contains("divides by 0") || message.contains("no number");
                prop_assert!(refused || sample.text.len() > 4096, "{}: {message}", sample.text);
            }
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in "[-a-z0-9_. +*/%^()<>=!&|,'\"]{0,40}") {
        let _ = evaluate(&text);
    }

    #[test]
    fn rounding_keeps_what_has_twelve_digits(digits in 1_u64..1_000_000_000_000, shift in -20_i32..20) {
        let number: f64 = format!("{digits}e{shift}").parse().unwrap();
        prop_assert_eq!(rounded(number), number);
    }
}
