//! The verbs that show and write results.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{FalseyValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use swath_plot::Kind;

use super::environment;

/// Prints a sweep's table of results
///
/// Shows the median over the replicates of each cell. Where replicates are
/// missing, the median says over how many it is: `(2 of 3)`. Where the sweep
/// has a [reference], each cell stands beside the values published for it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator table quickstart
  coordinator table quickstart -o md > table.md
  coordinator table quickstart 'batch_size<=64' --cell train_time
  coordinator table quickstart --rows batch_size,optimizer.lr --columns test_error --sort test_error
  coordinator table last -o json | jq '.rows[].median'
  coordinator table linear_scaling --check     is what was published reproduced?
  coordinator table --lock quickstart.lock
  coordinator table --lock quickstart.lock --check")]
pub(crate) struct Table {
    /// Which sweep, and filters that choose its cells
    #[arg(
        value_name = "SWEEP",
        required_unless_present = "lock",
        conflicts_with = "lock"
    )]
    pub(crate) selector: Vec<String>,
    /// Draw the table from a lock file (see `export --lock`), without a
    /// coordinator
    #[arg(long, value_name = "FILE", env = environment::LOCK, hide_env_values = true)]
    pub(crate) lock: Option<PathBuf>,
    /// Tell by the exit code whether the published values were reproduced: 0
    /// all, 10 some not, 3 some undecided or imported
    #[arg(long, env = environment::CHECK, hide_env_values = true)]
    #[arg(value_parser = FalseyValueParser::new())]
    pub(crate) check: bool,
    /// The parameters that name the rows, instead of those in the sweep file
    #[arg(long, value_name = "AXIS", env = environment::ROWS, hide_env_values = true)]
    #[arg(
        value_delimiter = ',',
        help_heading = "Layout",
        conflicts_with = "lock"
    )]
    pub(crate) rows: Vec<String>,
    /// What the columns show: measures and parameters; with `--cell`, the one
    /// parameter whose values become columns
    #[arg(long, value_name = "NAME", env = environment::COLUMNS, hide_env_values = true)]
    #[arg(
        value_delimiter = ',',
        help_heading = "Layout",
        conflicts_with = "lock"
    )]
    pub(crate) columns: Vec<String>,
    /// The measure that a pivot shows in its fields
    #[arg(long, value_name = "MEASURE", env = environment::CELL, hide_env_values = true)]
    #[arg(help_heading = "Layout", conflicts_with = "lock")]
    pub(crate) cell: Option<String>,
    /// Sort rows by a parameter or a measure; `-NAME` puts the greatest first
    #[arg(long, value_name = "NAME", env = environment::SORT, hide_env_values = true)]
    #[arg(
        allow_hyphen_values = true,
        help_heading = "Layout",
        conflicts_with = "lock"
    )]
    pub(crate) sort: Option<String>,
}

/// Prints the best cell of a sweep, and writes a file that trains it again
///
/// The best cell is the one with the best median by the metric's direction,
/// among cells with every run; all that tie are named. `-o FILE.toml` writes a
/// sweep file of this cell alone. It makes the same jobs: a coordinator that has
/// them trains nothing again until `replicates` is raised.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator best quickstart
  coordinator best quickstart batch_size=64
  coordinator best quickstart -o best.toml && coordinator run best.toml
  coordinator best quickstart -o json | jq .spec")]
pub(crate) struct Best {
    /// Which sweep, and filters that choose its cells
    #[arg(value_name = "SWEEP", required = true)]
    pub(crate) selector: Vec<String>,
}

/// Compares two sweeps cell by cell
///
/// Cells form a pair where they agree on every axis that both sweeps have. Each
/// difference is tested by Mann and Whitney's U test, corrected for the number
/// of pairs, and the best cells of both are compared. With 3 replicates of each
/// cell no difference can be significant: the table says so, and how many
/// replicates it takes.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator compare cosine multistep
  coordinator compare cosine multistep -o json | jq '.rows[] | select(.outcome == \"less\")'")]
pub(crate) struct Compare {
    /// The first sweep
    #[arg(value_name = "SWEEP")]
    pub(crate) left: String,
    /// The other sweep; a difference is its value minus that of the first
    #[arg(value_name = "OTHER")]
    pub(crate) right: String,
}

/// Writes a sweep's results to a file, for other programs and for papers
///
/// The ending of the file sets the format: `.parquet`, `.csv` and `.jsonl` have
/// one record per replicate, with every axis and measure and what it ran on;
/// `.html`, `.tex` and `.md` have the table. Without a file, the records go to
/// stdout as CSV, or in the format of `-o jsonl|md|latex|html`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator export quickstart -o quickstart.parquet
  coordinator export quickstart -o table.html
  coordinator export quickstart --lock quickstart.lock
  coordinator export quickstart 'batch_size<=64' | head")]
pub(crate) struct Export {
    /// Which sweep, and filters that choose its cells
    #[arg(value_name = "SWEEP", required = true)]
    pub(crate) selector: Vec<String>,
    /// Write a lock file instead: the sweep's files, and every job with its
    /// seed, attempt, value, device and versions; `table --lock` draws the same
    /// table from it
    #[arg(long, value_name = "FILE", env = environment::LOCK, hide_env_values = true)]
    pub(crate) lock: Option<PathBuf>,
}

/// Draws a sweep's results as SVG, as PNG or in the terminal
///
/// The ending of `-o FILE` sets the format, SVG or PNG; without a file the plot
/// is drawn in the terminal. Every run is shown beside the median of its cell,
/// and the caption says how many runs there are.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator plot quickstart
  coordinator plot quickstart -o error.svg
  coordinator plot quickstart --kind heat -o heat.png
  coordinator plot quickstart --kind curves batch_size=16 -o curves.svg
  coordinator plot digits_mlp --metric val/acc -o accuracy.svg
  coordinator plot quickstart --kind steps --target 8 -o steps.svg")]
pub(crate) struct Plot {
    /// Which sweep, and filters that choose its cells; for curves: which jobs
    #[arg(value_name = "SELECTOR", required = true)]
    pub(crate) selector: Vec<String>,
    /// What to show [default: what suits the sweep's axes]
    #[arg(long, value_name = "KIND", env = environment::KIND, hide_env_values = true)]
    #[arg(value_parser = plot_kind())]
    pub(crate) kind: Option<Kind>,
    /// Learning curves of this metric, which implies `--kind curves` [default:
    /// test and training error, or what a program names as its metric]
    #[arg(long, value_name = "METRIC", env = environment::METRIC, hide_env_values = true)]
    #[arg(visible_aliases = ["curve", "curves"])]
    pub(crate) metric: Option<String>,
    /// The horizontal axis [default: that of the kind]
    #[arg(long, value_name = "AXIS", env = environment::X, hide_env_values = true)]
    pub(crate) x: Option<String>,
    /// The axes that separate lines, or name the rows of a heat map
    /// [default: what suits]
    #[arg(long, value_name = "AXIS", env = environment::BY, hide_env_values = true)]
    #[arg(value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// For `--kind steps`: the test error to reach, in percent
    /// [default: the least that every batch size reaches]
    #[arg(long, value_name = "PERCENT", env = environment::TARGET, hide_env_values = true)]
    pub(crate) target: Option<f64>,
}

/// Reads the kind of a plot.
fn plot_kind() -> impl TypedValueParser<Value = Kind> {
    let kinds = Kind::ALL.map(|kind| PossibleValue::new(kind.name()).help(kind.about()));
    PossibleValuesParser::new(kinds).try_map(|name| name.parse::<Kind>())
}

/// Shows a job's learning curves
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  coordinator curves 3fa9c1
  coordinator curves quickstart replicate=1 batch_size=16 optimizer.lr=0.05
  coordinator curves 3fa9c1 --metric val/acc
  coordinator curves 3fa9c1 -o csv > curve.csv")]
pub(crate) struct Curves {
    /// Which job
    #[arg(value_name = "JOB", required = true)]
    pub(crate) selector: Vec<String>,
    /// Which metric to draw [default: test and training error, or what a program
    /// names as its metric]
    #[arg(long, value_name = "METRIC", env = environment::METRIC, hide_env_values = true)]
    pub(crate) metric: Option<String>,
}
