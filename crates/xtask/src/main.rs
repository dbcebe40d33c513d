//! `cargo xtask`: everything a checkout needs beyond plain cargo, in one place and with no shell scripts.
#![expect(
    clippy::print_stderr,
    reason = "a command-line tool that reports its steps on stderr"
)]

mod bench;
mod check;
mod docs;
mod libtorch;
mod needs;
mod postgres;
mod process;
mod progress;
mod quickstart;
mod sqlx;
mod test;
mod totals;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

const ENVIRONMENT: &str = "\
Environment:
  SWATH_LIBTORCH  build against this libtorch 2.13 (a directory with lib/
                  and include/); `cpu` means the fetched one, even where a
                  GPU PyTorch is installed
  LIBTORCH        if you export it yourself, it is used as it is
  XDG_CACHE_HOME  the fetched libtorch is kept in swath/libtorch/ below it,
                  for all checkouts (default ~/.cache)
  SWATH_TEST_POSTGRES  a Postgres server for the tests, as
                  postgres://USER@HOST:PORT/postgres; the user must be able
                  to make databases (default: one is started)

Start with `cargo xtask quickstart`.";

/// Set up, try, test and check Swath. The two to know: `quickstart` and `test`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = ENVIRONMENT)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Fetch libtorch (527 MB, once per user) and link it into the checkout
    ///
    /// The download is checked against a pinned SHA-256, goes on where it was interrupted, and is kept in the user's
    /// cache, so that other checkouts and clean ones find it. An installed GPU PyTorch 2.13 is used instead if python3
    /// has one. Afterwards plain `cargo build -p swath-trainer` works with nothing exported.
    Setup,

    /// Set up, build, and train a small real sweep to its result table
    ///
    /// Runs `coordinator run sweeps/quickstart.toml` from a release build and returns its exit code.
    Quickstart,

    /// Install what the tests need, then run `check` and every test
    ///
    /// Uses cargo-nextest where it is installed, else `cargo test`. Arguments after `--` go to the test runner:
    /// `cargo xtask test --no-check -- -p swath-engine ledger`.
    Test {
        /// Only the tests: no formatting, lints or rules first
        #[arg(long)]
        no_check: bool,
        /// For the test runner: a filter, `-p PACKAGE`, `--no-capture`, …
        #[arg(last = true)]
        args: Vec<String>,
    },

    /// Formatting, lints, dependencies, file sizes, containers, generated files: what review should not have to find
    ///
    /// Every check runs, whatever the ones before it found, and says `ok`, `failed` or `skipped` with what it lacks; the end
    /// counts them. Where CI is set, what is lacking is installed, below CARGO_HOME; elsewhere only with --install.
    Check {
        /// Install what checks lack, into swath-xtask/ below CARGO_HOME (~/.cargo); cargo-deny compiles for minutes
        #[arg(long)]
        install: bool,
    },

    /// Measure speed on this machine and print a table
    ///
    /// `cargo xtask bench` measures everything, `cargo xtask bench queue` the queue, `cargo xtask bench store` the reading
    /// of a store with a million jobs, `cargo xtask bench train` the trainer beside PyTorch 2.13, and `cargo xtask bench
    /// fashion` the errors of both on Fashion-MNIST, if a Python has it (SWATH_BENCH_PYTHON names the Python).
    ///
    /// `cargo xtask bench kills` measures nothing: it kills coordinators and Postgres servers under load, cuts networks and
    /// fills disks, and checks that nothing acknowledged is lost (`cargo xtask bench kills help` lists the parts).
    Bench {
        /// The parts: queue, store, train, fashion; or kills and its parts
        args: Vec<String>,
    },

    /// Write the generated pages under docs/ anew
    Docs,

    /// Write the .sqlx query caches anew, after a change to a query or a migration
    ///
    /// Applies migrations/sqlite and migrations/postgres to temporary databases and compiles the stores against them. The
    /// second needs a Postgres server: one is started if it is installed, or SWATH_TEST_POSTGRES names one.
    Sqlx,
}

fn main() -> ExitCode {
    let verb = Cli::parse().verb;
    let done = Workspace::find().and_then(|workspace| match verb {
        Verb::Setup => libtorch::setup(&workspace),
        Verb::Quickstart => quickstart::run(&workspace),
        Verb::Test { no_check, args } => test::run(&workspace, !no_check, &args),
        Verb::Check { install } => {
            libtorch::ensure(&workspace).and_then(|()| check::run(&workspace, install))
        }
        Verb::Bench { args } => bench::run(&workspace, &args),
        Verb::Docs => docs::write(&workspace),
        Verb::Sqlx => sqlx::write(&workspace),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: the chain of causes reads on from what failed.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
