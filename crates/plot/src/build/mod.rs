//! From results to a chart.

mod axes;
mod boxes;
mod curves;
mod grid;
mod heat;
mod imports;
mod names;
mod steps;

use std::fmt;
use std::str::FromStr;

use swath_model::suggest::did_you_mean;
use swath_model::text::counted;
use swath_results::summary::covers;
use swath_results::table::{Results, headed, label};

use self::axes::Axes;
pub use self::curves::{Curve, Metric, curves};
pub use self::steps::steps;
use crate::chart::Chart;

/// The kinds of plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The error against the learning rate, a line per batch size.
    Lr,
    /// The error against the batch size, a line per budget.
    Batch,
    /// The error over batch size and learning rate as colours.
    Heat,
    /// Learning curves: a metric by epoch.
    Curves,
    /// A box per cell over its replicates.
    Box,
    /// Steps until an error is reached, against the batch size.
    Steps,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Lr,
        Self::Batch,
        Self::Heat,
        Self::Curves,
        Self::Box,
        Self::Steps,
    ];

    /// The name that a user types.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lr => "lr",
            Self::Batch => "batch",
            Self::Heat => "heat",
            Self::Curves => "curves",
            Self::Box => "box",
            Self::Steps => "steps",
        }
    }

    /// What it shows, in one line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Lr => "Error against learning rate, a line per batch size",
            Self::Batch => "Error against batch size, a line per budget, at the best learning rate",
            Self::Heat => "Error over batch size and learning rate as colours, the best marked",
            Self::Curves => "Learning curves of jobs: test and training error, or any metric",
            Self::Box => "The replicates of each cell beside each other",
            Self::Steps => "Steps until a test error is reached, against batch size",
        }
    }

    /// The kind that suits a sweep's axes: over the learning rate, else over
    /// the batch size, else over any numbers, else boxes.
    pub fn suited(results: &Results) -> Self {
        let axes = Axes::of(results);
        match () {
            () if axes.lr().is_some() => Self::Lr,
            () if axes.batch().is_some() => Self::Batch,
            () if axes.numeric().is_some() => Self::Lr,
            () => Self::Box,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |kind: &Self| kind.name() == text;
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is not a kind of plot; the kinds are {names}")
        })
    }
}

/// What the user asks for besides the kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The horizontal axis, if not the kind's own.
    pub x: Option<String>,
    /// The axes that separate lines (or the rows of a heat map), if not those
    /// that suit.
    pub by: Vec<String>,
    /// The test error in percent that `steps` is about.
    pub target: Option<f64>,
}

/// Why there is no plot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlotError {
    /// No axis of the sweep is of the type that the kind needs.
    NoAxis {
        /// What is needed.
        needs: &'static str,
        /// The axes that vary.
        axes: Vec<String>,
    },
    /// The sweep has no such axis, or it does not vary.
    UnknownAxis {
        /// What was asked for.
        axis: String,
        /// The axes that vary.
        axes: Vec<String>,
    },
    /// There would be more lines than can be told apart.
    TooMany {
        /// How many lines there would be.
        lines: usize,
    },
    /// No epoch has this metric.
    UnknownMetric {
        /// What was asked for.
        metric: String,
        /// The metrics that epochs have.
        recorded: Vec<String>,
    },
    /// There are no curves with test errors.
    NoCurves,
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |axes: &[String]| match axes {
            [] => "no axis varies".to_owned(),
            axes => format!("these axes vary: {}", axes.join(", ")),
        };
        match self {
            Self::NoAxis { needs, axes } => write!(
                f,
                "this plot needs {needs}; {}; name one with `--x`, or try `--kind box`",
                list(axes)
            ),
            Self::UnknownAxis { axis, axes } => {
                let axes = axes.iter().map(String::as_str);
                let there = if axes.len() == 0 {
                    "no axis varies".to_owned()
                } else {
                    did_you_mean(axis, axes, "these axes vary:")
                };
                write!(f, "`{axis}` is not an axis that varies; {there}")
            }
            Self::UnknownMetric { metric, recorded } => {
                let recorded = recorded.iter().map(String::as_str);
                let there = did_you_mean(metric, recorded, "those recorded are");
                write!(f, "no epoch has a metric `{metric}`; {there}")
            }
            Self::TooMany { lines } => write!(
                f,
                "{lines} lines cannot be told apart, at most {LINES_MOST}; name fewer axes with \
                 `--by`, or choose cells with filters"
            ),
            Self::NoCurves => f.write_str("no epoch with a number to draw is recorded yet"),
        }
    }
}

impl std::error::Error for PlotError {}

impl PlotError {
    /// Whether something was asked for that does not exist.
    pub const fn is_unknown_name(&self) -> bool {
        matches!(self, Self::UnknownAxis { .. } | Self::UnknownMetric { .. })
    }
}

/// The most lines of a plot.
pub(crate) const LINES_MOST: usize = 14;

/// The chart of a sweep's results. For curves see [`curves`] and [`steps`].
///
/// # Errors
///
/// When the sweep lacks an axis that the kind needs, or has too much to show.
pub fn results(results: &Results, kind: Kind, request: &Request) -> Result<Chart, PlotError> {
    match kind {
        Kind::Lr => grid::against_lr(results, request),
        Kind::Batch => grid::against_batch(results, request),
        Kind::Heat => heat::heat(results, request),
        Kind::Box => Ok(boxes::boxes(results)),
        Kind::Curves | Kind::Steps => Err(PlotError::NoCurves),
    }
}

/// What is drawn from the least to the greatest run, with what such ranges of
/// these numbers of runs cover.
fn range(counts: impl Iterator<Item = usize>) -> String {
    let covers = covers(counts).map_or_else(String::new, |it| format!(", which {it}"));
    format!("least to greatest{covers}.")
}

/// What is measured, as the title of an axis.
fn measure(results: &Results) -> String {
    headed(&label(results.metric()), results.definition().sign())
}

/// The title of an axis that shows a parameter.
fn axis_title(path: &str) -> String {
    match path.rsplit('.').next().unwrap_or(path) {
        "lr" => "learning rate".to_owned(),
        "batch_size" => "batch size (images)".to_owned(),
        "epochs" => "budget (epochs)".to_owned(),
        _ => label(path),
    }
}

fn title(results: &Results) -> String {
    match results.title() {
        "" => results.name().to_owned(),
        title => title.to_owned(),
    }
}

/// How far an unfinished sweep is, and what became of its runs.
fn progress(results: &Results) -> Option<String> {
    let tallies = || results.cells().map(|(_, summary)| summary.tally());
    let (open, of): (u32, u32) =
        tallies().fold((0, 0), |(open, of), it| (open + it.open, of + it.of));
    (open > 0).then(|| {
        let all = counted(u64::from(of), "run");
        format!("Not final: {} of {all} done.", of - open)
    })
}
