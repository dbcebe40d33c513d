//! Figures and how they are shown.

use std::fmt::Write;

/// Why something does not hold or cannot be done, in words.
pub(crate) type Checked<T = ()> = Result<T, String>;

/// Begins why a part cannot be done here.
pub(crate) const SKIPPED: &str = "skipped: ";

/// One figure with its goal.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: String,
    /// The goal; empty if there is none.
    pub(crate) goal: String,
    /// Whether the goal is met, if there is one.
    pub(crate) met: Option<bool>,
}

impl Figure {
    /// A figure without a goal.
    pub(crate) fn plain(what: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            value: value.into(),
            goal: String::new(),
            met: None,
        }
    }

    /// A figure that should be at least `goal`.
    pub(crate) fn at_least(what: impl Into<String>, value: f64, goal: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            value: format!("{value:.*}{unit}", digits(value)),
            goal: format!("at least {goal}{unit}"),
            met: Some(value >= goal),
        }
    }

    /// A figure that should be at most `goal`.
    pub(crate) fn at_most(what: impl Into<String>, value: f64, goal: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            value: format!("{value:.*}{unit}", digits(value)),
            goal: format!("at most {goal}{unit}"),
            met: Some(value <= goal),
        }
    }

    /// A figure that could not be measured, because something failed.
    pub(crate) fn failed(what: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self {
            met: Some(false),
            goal: "measured".to_owned(),
            ..Self::plain(what, format!("failed: {}", first_line(&why.to_string())))
        }
    }

    /// A figure that is left out for this reason, or why it failed.
    pub(crate) fn lacking(what: impl Into<String>, why: &str) -> Self {
        if why.starts_with(SKIPPED) {
            return Self::plain(what, first_line(why));
        }
        Self::failed(what, why)
    }

    /// The same figure without a goal.
    pub(crate) fn unheld(self) -> Self {
        Self {
            goal: "not comparable".to_owned(),
            met: None,
            ..self
        }
    }

    /// A figure that should be below `goal`.
    pub(crate) fn below(what: impl Into<String>, value: f64, goal: f64, unit: &str) -> Self {
        Self {
            what: what.into(),
            value: format!("{value:.*}{unit}", digits(value)),
            goal: format!("below {goal}{unit}"),
            met: Some(value < goal),
        }
    }
}

/// A table has no room for more.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

const fn digits(value: f64) -> usize {
    if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    }
}

/// All figures as a Markdown table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let width = |of: fn(&Figure) -> usize, least: usize| {
        figures.iter().map(of).max().unwrap_or(0).max(least)
    };
    let what = width(|figure| figure.what.chars().count(), 4);
    let value = width(|figure| figure.value.chars().count(), 8);
    let goal = width(|figure| figure.goal.chars().count(), 4);
    let mut out = format!(
        "| {:what$} | {:>value$} | {:goal$} | met |\n",
        "what", "measured", "goal"
    );
    let _ = writeln!(
        out,
        "| {:-<what$} | {:->value$} | {:-<goal$} | --- |",
        "", ":", ""
    );
    for figure in figures {
        let met = match figure.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        let _ = writeln!(
            out,
            "| {:what$} | {:>value$} | {:goal$} | {met:3} |",
            figure.what, figure.value, figure.goal
        );
    }
    out
}

/// The `share`-quantile of `values`; sorts them.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Says on stderr what is being measured: some of it takes a minute.
#[expect(clippy::print_stderr, reason = "progress of a benchmark")]
pub(crate) fn progress(text: &str) {
    eprintln!("bench: {text}");
}

/// What a benchmark prints for its reader.
#[expect(clippy::print_stdout, reason = "the output of a benchmark")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}
