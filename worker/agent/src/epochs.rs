//! Which number an epoch has: the one that its program gives it, or its place.

use serde_json::Value;
use swath_model::text::counted;

use crate::line::not_finite;

/// Why what a program calls an epoch is no number of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Oddity {
    Fraction,
    Negative,
    Large,
    NoNumber,
}

impl Oddity {
    const ALL: [Self; 4] = [Self::Fraction, Self::Negative, Self::Large, Self::NoNumber];

    const fn words(self) -> &'static str {
        match self {
            Self::Fraction => "no whole number",
            Self::Negative => "less than 0",
            Self::Large => "too large",
            Self::NoNumber => "no number",
        }
    }
}

/// The number of an epoch that a program calls so, or why it is none.
fn whole(said: f64) -> Result<u32, Oddity> {
    if said.is_nan() {
        Err(Oddity::NoNumber)
    } else if said < 0.0 {
        Err(Oddity::Negative)
    } else if said > f64::from(u32::MAX) {
        Err(Oddity::Large)
    } else if said.fract() != 0.0 {
        Err(Oddity::Fraction)
    } else {
        Ok(said as u32)
    }
}

/// Whether a program calls an epoch by a number that it may have.
pub(crate) fn is_epoch(said: Option<f64>) -> bool {
    said.is_some_and(|said| whole(said).is_ok())
}

/// The number that a text is, as programs print it; NaN if it is none.
pub(crate) fn of_text(text: &str) -> f64 {
    text.trim().parse().unwrap_or(f64::NAN)
}

/// What a program calls an epoch in JSON: none if it does not say, NaN if what it
/// says is no number.
pub(crate) fn of_json(value: &Value) -> Option<f64> {
    match value {
        Value::Null => None,
        Value::Number(number) => number.as_f64(),
        Value::String(text) => Some(of_text(text)),
        value => Some(not_finite(value).map_or(f64::NAN, of_text)),
    }
}

/// Gives the epochs of one attempt their numbers.
///
/// An epoch has the number that its program gives it. One without a number comes
/// after the one before. No observation is lost because its number is odd: from the
/// first one on that is no whole number, epochs are numbered in their order, so that
/// no two of them meet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbering {
    last: u32,
    in_order: bool,
    odd: [u64; Oddity::ALL.len()],
}

impl Numbering {
    /// The number of the next epoch, which its program calls so.
    pub(crate) fn number(&mut self, said: Option<f64>) -> u32 {
        let known = said.map(whole);
        if let Some(Err(oddity)) = known {
            self.in_order = true;
            self.odd[oddity as usize] += 1;
        }
        self.last = match known {
            Some(Ok(number)) if !self.in_order => number,
            _ => self.last.saturating_add(1),
        };
        self.last
    }

    /// What the log of the attempt has to say of it, in lines.
    pub(crate) fn remarks(&self) -> String {
        let odd = Oddity::ALL.into_iter().zip(self.odd);
        let told = odd.filter(|(_, count)| *count > 0).map(|(oddity, count)| {
            format!(
                "warning: `epoch` is {} in {}; from the first one on, epochs are numbered in their \
                 order\n",
                oddity.words(),
                counted(count, "epoch")
            )
        });
        told.collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn numbers(said: &[Option<f64>]) -> (Vec<u32>, String) {
        let mut numbering = Numbering::default();
        let numbers = said.iter().map(|said| numbering.number(*said)).collect();
        (numbers, numbering.remarks())
    }

    #[test]
    fn epochs_have_the_numbers_that_they_are_given() {
        let said = [Some(0.0), Some(1.0), Some(5.0), None, Some(3.0)];
        assert_eq!(numbers(&said), (vec![0, 1, 5, 6, 3], String::new()));
        let most = f64::from(u32::MAX);
        assert_eq!(numbers(&[Some(most), None]).0, [u32::MAX; 2]);
    }

    #[test]
    fn an_odd_number_costs_no_epoch_and_is_told_once_per_kind() {
        let (found, remarks) = numbers(&[
            Some(1.0),
            Some(1.5),
            Some(2.0),
            Some(2.5),
            Some(-1.0),
            Some(1e300),
            Some(f64::NEG_INFINITY),
            Some(f64::NAN),
            None,
        ]);
        assert_eq!(found, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        insta::assert_snapshot!(remarks, @r"
        warning: `epoch` is no whole number in 2 epochs; from the first one on, epochs are numbered in their order
        warning: `epoch` is less than 0 in 2 epochs; from the first one on, epochs are numbered in their order
        warning: `epoch` is too large in 1 epoch; from the first one on, epochs are numbered in their order
        warning: `epoch` is no number in 1 epoch; from the first one on, epochs are numbered in their order
        ");
    }

    #[test]
    fn a_text_may_be_a_number() {
        let said = [json!("3"), json!(3.0), json!(" 3.5 "), json!(null)];
        let said = said.map(|said| of_json(&said));
        assert_eq!(said, [Some(3.0), Some(3.0), Some(3.5), None]);
        for none in [json!("3/10"), json!([3]), json!(true)] {
            assert!(of_json(&none).is_some_and(f64::is_nan), "{none}");
        }
    }

    proptest! {
        /// What an attempt calls differently stays different, however odd it is.
        #[test]
        fn no_two_epochs_meet(
            whole in 0..20_u32,
            odd in proptest::collection::vec(prop_oneof![any::<f64>(), -3.0..9.0], 1..20),
        ) {
            let said = (0..whole).map(f64::from).chain(odd.into_iter().map(|it| it + 0.5));
            let said: Vec<_> = said.map(Some).collect();
            let first_odd = said.iter().position(|it| super::whole(it.unwrap()).is_err());
            let (numbers, remarks) = numbers(&said);
            if let Some(first) = first_odd {
                let after = &numbers[first.saturating_sub(1)..];
                prop_assert!(after.windows(2).all(|pair| pair[1] == pair[0] + 1));
                prop_assert!(!remarks.is_empty());
            } else {
                prop_assert_eq!(remarks, "");
            }
        }
    }
}
