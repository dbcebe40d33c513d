//! The command line: what can be typed, and the help that teaches it.

mod access;
mod doctor;
pub(crate) mod environment;
pub(crate) mod markdown;
mod output;
mod results;
mod store;
mod verbs;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{FalseyValueParser, Resettable};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use swath_model::program::{JOB_VARIABLE, JOB_VARIABLES};

pub(crate) use self::access::*;
pub(crate) use self::doctor::Doctor;
pub(crate) use self::output::{Output, OutputParser};
pub(crate) use self::results::*;
pub(crate) use self::store::*;
pub(crate) use self::verbs::*;

/// Sweeps of training jobs: from a file to a table of results.
///
/// A sweep file names axes and their values. `coordinator` expands it to
/// cells, trains each cell several times under different seeds, and shows the
/// median of every cell in a table. What was trained once is never trained
/// again: jobs are named by what they compute.
///
/// Selectors say which sweeps or jobs are meant: a name, the first digits of
/// an id, a pattern (`linear_*`), `last`, and filters over parameters and
/// state (`batch_size=128 'optimizer.lr>0.1' state=failed`). A changed file
/// under a known name is its next version: `slow` means the one submitted
/// last, `slow@1` the first.
#[derive(Debug, Parser)]
#[command(
    name = "coordinator",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100,
    after_help = START
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Cli {
    /// Reads the command line, and takes from the environment what it does not
    /// set.
    pub(crate) fn read<W>(words: impl IntoIterator<Item = W>) -> Result<Self, clap::Error>
    where
        W: Into<OsString> + Clone,
    {
        let mut command = Self::command();
        if std::env::var_os(JOB_VARIABLE).is_some() {
            command = in_a_job(command);
        }
        let matches = command.try_get_matches_from_mut(words)?;
        let mut cli =
            Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        let typed = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        cli.global.typed = match (typed("coordinator"), typed("database")) {
            // clap's own check for conflicts would count the environment too.
            (true, true) => {
                let both = "`--coordinator` and `--database` each say whom to ask; give one";
                return Err(command.error(ErrorKind::ArgumentConflict, both));
            }
            (true, false) => Typed::Coordinator,
            (false, true) => Typed::Database,
            (false, false) => Typed::Neither,
        };
        Ok(cli)
    }
}

/// The command as a job of a sweep starts it: what the job was told about itself
/// is no option of the command.
fn in_a_job(command: Command) -> Command {
    let is_told = |argument: &Arg| {
        let name = argument.get_env().and_then(OsStr::to_str);
        name.is_some_and(|name| JOB_VARIABLES.contains(&name))
    };
    command
        .mut_args(|argument| {
            if is_told(&argument) {
                argument.env(Resettable::Reset)
            } else {
                argument
            }
        })
        .mut_subcommands(in_a_job)
}

/// Which coordinator the command line itself names, whatever the environment
/// says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Typed {
    #[default]
    Neither,
    Coordinator,
    Database,
}

const START: &str = "\
Where to start:
  coordinator run sweeps/quickstart.toml     everything on this machine, ends with the table
  coordinator plan sweeps/quickstart.toml    what a file would train, without training it

A coordinator that stays, with a `worker` beside it:
  coordinator serve                          keeps sweeps and hands out jobs
  coordinator submit FILE --wait             queues a file and waits for its table
  docs/lab.md                                with other machines: TLS, tokens, roles

Exit codes:
  0 ok · 1 error · 2 usage or invalid file · 3 not found · 4 coordinator unreachable
  5 not allowed · 10 the sweep finished with failed cells · 11 cancelled
  12 --timeout reached · 130 interrupted, the work goes on
  With `table --check`: 0 reproduced · 3 undecided · 10 not reproduced";

/// The options that every verb understands.
#[derive(Args, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Which coordinator to ask, or several, separated by commas
    /// [default: `http://127.0.0.1:7070`]
    ///
    /// Of several, the first that answers is asked; changes go to the one that
    /// leads. When none answers and this option is not given, the command opens
    /// a database of this machine (`--database`, else `./swath.db`) while it
    /// runs. `--database` on the command line takes precedence over
    /// SWATH_COORDINATOR.
    #[arg(long, global = true, value_name = "URL,…", env = environment::COORDINATOR)]
    #[arg(hide_env_values = true)]
    pub(crate) coordinator: Option<String>,

    /// The database of `serve` and `run`; other commands can read it without a
    /// server: `sqlite:PATH`, a bare path, or `postgres://USER@HOST/NAME`
    /// [default: sqlite:swath.db]
    #[arg(long, global = true, value_name = "DATABASE", env = environment::DATABASE)]
    #[arg(hide_env_values = true)]
    pub(crate) database: Option<String>,

    /// A file with your token, for coordinators at https:// addresses
    /// [default: ~/.config/swath/token, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = environment::TOKEN_FILE)]
    #[arg(hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,

    /// The directory of the coordinator's identity, for commands on its own machine
    /// [default: beside the database, named after it with `.identity` added]
    #[arg(long, global = true, value_name = "DIR", env = environment::IDENTITY)]
    #[arg(hide_env_values = true)]
    pub(crate) identity: Option<PathBuf>,

    /// A TOML file with times and limits of the lease protocol, for `serve` and
    /// `run`
    #[arg(long, global = true, value_name = "FILE", env = environment::POLICY)]
    #[arg(hide_env_values = true)]
    pub(crate) policy: Option<PathBuf>,

    /// How to print the answer; `best`, `export` and `plot` also take a file,
    /// whose ending decides its format
    #[arg(short, long, global = true, value_parser = OutputParser::file(), value_name = "FORMAT")]
    #[arg(default_value = "table", env = environment::OUTPUT, hide_env_values = true)]
    pub(crate) output: Output,

    /// When to use colour
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    #[arg(default_value_t = Color::Auto, env = environment::COLOR, hide_env_values = true)]
    pub(crate) color: Color,

    /// Print no progress and no hints; warnings and errors stay
    #[arg(short, long, global = true, env = environment::QUIET)]
    #[arg(value_parser = FalseyValueParser::new(), hide_env_values = true)]
    pub(crate) quiet: bool,

    #[arg(skip)]
    pub(crate) typed: Typed,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text for reading
    Table,
    /// Text with more columns
    Wide,
    /// One JSON document with a `schema_version`
    Json,
    /// One JSON value per line
    Jsonl,
    /// Comma-separated values with a header
    Csv,
    /// A Markdown table
    Md,
    /// A LaTeX table
    Latex,
    /// One self-contained HTML page
    Html,
    /// Only ids, one per line, for other commands
    Ids,
}

impl From<Format> for swath_report::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Wide => Self::Wide,
            Format::Json => Self::Json,
            Format::Jsonl => Self::Jsonl,
            Format::Csv => Self::Csv,
            Format::Md => Self::Markdown,
            Format::Latex => Self::Latex,
            Format::Html => Self::Html,
            Format::Ids => Self::Ids,
        }
    }
}

/// When output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What a user can ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    // In the order in which a new user meets them; the help lists them like
    // this.
    Run(Run),
    Plan(Plan),
    Submit(Submit),
    Wait(Wait),
    Table(Table),
    Best(Best),
    Compare(Compare),
    Export(Export),
    Plot(Plot),
    Status(Status),
    Sweeps(Sweeps),
    Jobs(Jobs),
    Explain(Explain),
    Decisions(Decisions),
    Logs(Logs),
    Files(Files),
    Curves(Curves),
    Extend(Extend),
    Retry(Retry),
    Forget(Forget),
    Replay(Replay),
    Import(Import),
    Rename(Rename),
    Tag(Tag),
    Note(Note),
    Archive(Archive),
    Cancel(Cancel),
    Delete(Delete),
    Pause(Pause),
    Resume(Resume),
    Serve(Serve),
    Init(Init),
    Token(Token),
    Whoami(Whoami),
    Audit(Audit),
    Workers(Workers),
    Cordon(Cordon),
    Activate(Activate),
    Drain(Drain),
    Store(Store),
    Doctor(Doctor),
    Completions(Completions),
    /// Prints docs/cli.md
    #[command(hide = true, long_flag = "markdown-help")]
    MarkdownHelp,
}

#[cfg(test)]
mod tests;
