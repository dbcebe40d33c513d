//! Which values of a metric are better.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::kind;

/// The direction in which a metric gets better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Less is better.
    #[default]
    Minimize,
    /// More is better.
    Maximize,
}

/// Metrics of which more is better, by the last word of their names: `val/acc`,
/// `macro_f1`.
const MAXIMIZED: [&str; 24] = [
    "acc",
    "accuracy",
    "ap",
    "auc",
    "auprc",
    "auroc",
    "bleu",
    "dice",
    "elbo",
    "f1",
    "iou",
    "likelihood",
    "map",
    "miou",
    "ndcg",
    "precision",
    "psnr",
    "r2",
    "recall",
    "return",
    "reward",
    "rouge",
    "ssim",
    "top1",
];

/// Metrics of which less is better, likewise, beside all errors and losses.
const MINIMIZED: [&str; 18] = [
    "bce",
    "bpb",
    "bpc",
    "brier",
    "cer",
    "ece",
    "err",
    "fid",
    "kl",
    "mae",
    "mape",
    "mse",
    "nll",
    "perplexity",
    "ppl",
    "regret",
    "rmse",
    "wer",
];

/// Words before the last one that reverse the direction.
const REVERSING: [&str; 5] = ["inv", "inverse", "minus", "neg", "negative"];

/// Words before the last one after which it is not the metric itself: how it
/// scatters or changes, or what it is not.
const CLOUDING: [&str; 13] = [
    "change",
    "delta",
    "diff",
    "difference",
    "drop",
    "gap",
    "non",
    "not",
    "std",
    "stddev",
    "stderr",
    "var",
    "variance",
];

/// What a word before the last one of a name does to the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    No,
    Reversed,
    Unclear,
}

/// The words of a name, and where they begin.
fn words(name: &str) -> impl Iterator<Item = (usize, &str)> {
    let parts = name.split(|it: char| !it.is_alphanumeric());
    let start = name.as_ptr().addr();
    parts
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr().addr() - start, word))
}

fn of_word(word: &str) -> Option<Goal> {
    if MAXIMIZED.contains(&word) {
        return Some(Goal::Maximize);
    }
    let is_error = word.ends_with("error") || word.ends_with("loss");
    (is_error || MINIMIZED.contains(&word)).then_some(Goal::Minimize)
}

/// What `word` does to the direction; `previous` is the word before it, `left`
/// and `right` are the text on its sides.
fn turn(word: &str, previous: Option<&str>, (left, right): (&str, &str)) -> Turn {
    if REVERSING.contains(&word) {
        return Turn::Reversed;
    }
    if CLOUDING.contains(&word) {
        return Turn::Unclear;
    }
    // `1-acc` is an error, `top-1-acc` is none, and `val_1-acc` may be either.
    if word != "1" || !right.trim_start().starts_with(['-', '−']) {
        return Turn::No;
    }
    let ranks = ["at", "hit", "hits", "precision", "rank", "recall", "top"];
    if previous.is_some_and(|it| ranks.contains(&it)) {
        return Turn::No;
    }
    if left.is_empty() || left.ends_with(['/', '.', ':', '(']) {
        Turn::Reversed
    } else {
        Turn::Unclear
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Minimize => "minimize",
            Self::Maximize => "maximize",
        })
    }
}

impl Goal {
    /// The goal of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "minimize" => Some(Self::Minimize),
            "maximize" => Some(Self::Maximize),
            _ => None,
        }
    }

    /// What the name of a metric says about its direction, if anything: that of
    /// a known metric, and what its last word usually means. Words before it may
    /// reverse that (`neg_mse`, `1-acc`), or leave it open (`std_acc`).
    pub fn implied(metric: &str) -> Option<Self> {
        if let Some(known) = kind(metric) {
            return known.goal;
        }
        let lower = metric.to_lowercase();
        let words: Vec<(usize, &str)> = words(&lower).collect();
        let ((_, last), before) = words.split_last()?;
        let goal = of_word(last)?;
        let mut reversed = false;
        for (place, (at, word)) in before.iter().enumerate() {
            let previous = place.checked_sub(1).map(|place| before[place].1);
            let text = (&lower[..*at], &lower[at + word.len()..]);
            match turn(word, previous, text) {
                // `error_of_acc`, but also `loss/mse`.
                Turn::No if of_word(word) == Some(Self::Minimize) && goal == Self::Maximize => {
                    return None;
                }
                Turn::No => {}
                Turn::Reversed => reversed = !reversed,
                Turn::Unclear => return None,
            }
        }
        Some(if reversed { goal.opposite() } else { goal })
    }

    const fn opposite(self) -> Self {
        match self {
            Self::Minimize => Self::Maximize,
            Self::Maximize => Self::Minimize,
        }
    }

    /// Orders values, the better first.
    pub fn order(self, left: f64, right: f64) -> Ordering {
        match self {
            Self::Minimize => left.total_cmp(&right),
            Self::Maximize => right.total_cmp(&left),
        }
    }

    /// The best of some values.
    pub fn best(self, values: impl IntoIterator<Item = f64>) -> Option<f64> {
        let values = values.into_iter();
        values.min_by(|left, right| self.order(*left, *right))
    }

    /// What the best value is called: the least, or the greatest.
    pub const fn superlative(self) -> &'static str {
        match self {
            Self::Minimize => "least",
            Self::Maximize => "greatest",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_implies_a_direction() {
        use Goal::{Maximize, Minimize};
        let implied = [
            ("val/acc", Some(Maximize)),
            ("eval.macro_F1", Some(Maximize)),
            ("mean reward", Some(Maximize)),
            ("mAP", Some(Maximize)),
            ("test_error.cifar10.1", Some(Minimize)),
            ("val_loss", Some(Minimize)),
            ("rmse_error", Some(Minimize)),
            ("accuracy_epoch", None),
            ("perplexity", Some(Minimize)),
            ("val/rmse", Some(Minimize)),
            ("log_likelihood", Some(Maximize)),
            ("neg_log_likelihood", Some(Minimize)),
            ("negative log-likelihood", Some(Minimize)),
            ("neg_mean_squared_error", Some(Maximize)),
            ("minus.neg.acc", Some(Maximize)),
            ("1-acc", Some(Minimize)),
            ("val/1 - acc", Some(Minimize)),
            ("one_minus_acc", Some(Minimize)),
            ("inv_f1", Some(Minimize)),
            ("top-1-acc", Some(Maximize)),
            ("recall@1-ap", Some(Maximize)),
            ("acc_error", Some(Minimize)),
            ("val_1-acc", None),
            ("non_acc", None),
            ("error_of_acc", None),
            ("reconstruction_loss/mse", Some(Minimize)),
            ("std acc", None),
            ("neg", None),
            ("lr", None),
            ("---", None),
        ];
        for (name, goal) in implied {
            assert_eq!(Goal::implied(name), goal, "{name}");
        }
    }

    #[test]
    fn the_best_is_at_the_end_that_the_goal_names() {
        let values = [0.5, -1.0, 2.0];
        assert_eq!(Goal::Minimize.best(values), Some(-1.0));
        assert_eq!(Goal::Maximize.best(values), Some(2.0));
        assert_eq!(Goal::Maximize.best([]), None);
        assert!(MAXIMIZED.is_sorted() && MINIMIZED.is_sorted() && CLOUDING.is_sorted());
    }
}
