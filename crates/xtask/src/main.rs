//! `cargo xtask`: everything a checkout needs beyond plain cargo, in one place and without shell scripts.
#![expect(
    clippy::print_stderr,
    reason = "a command-line tool that reports its steps on stderr"
)]

mod bench;
mod check;
mod docs;
mod libtorch;
mod lock;
mod needs;
mod postgres;
mod process;
mod progress;
mod quickstart;
mod sqlx;
mod tally;
mod test;
mod totals;
mod wheel;
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

/// Set up, try, test and check Swath. The two to know are `quickstart` and
/// `test`.
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
    /// The download is checked against a pinned SHA-256, continues where it was interrupted, and is kept in the
    /// user's cache, so that other checkouts and clean ones find it. If python3 has a GPU PyTorch 2.13, that is used
    /// instead. Afterwards plain `cargo build -p swath-trainer` works with nothing exported.
    Setup,

    /// Set up, build, and train a small real sweep to its result table
    ///
    /// Runs `coordinator run sweeps/quickstart.toml` from a build in the profile `quickstart`, which trains as fast as a release
    /// build and compiles in half the time, and returns its exit code.
    Quickstart,

    /// Install what the tests need, then run `check` and every test
    ///
    /// Uses cargo-nextest if it is installed, else `cargo test`. Arguments after `--` go to the test runner:
    /// `cargo xtask test --no-check -- -p swath-engine ledger`.
    Test {
        /// Run only the tests: no formatting, lints or rules first
        #[arg(long)]
        no_check: bool,
        /// Arguments for the test runner: a filter, `-p PACKAGE`,
        /// `--no-capture`, …
        #[arg(last = true)]
        args: Vec<String>,
    },

    /// Check formatting, lints, dependencies, file sizes, containers and generated files, so that review need not
    ///
    /// Every check runs, whatever the ones before it found, and prints `ok`, `failed`, or `skipped` with what is
    /// missing. The end counts them. If CI is set, missing tools are installed below CARGO_HOME; elsewhere only with
    /// --install.
    Check {
        /// Install the tools that checks lack, into swath-xtask/ below CARGO_HOME (~/.cargo); cargo-deny compiles
        /// for minutes
        #[arg(long)]
        install: bool,
    },

    /// Measure speed on this machine and print a table
    ///
    /// `cargo xtask bench` measures everything, `cargo xtask bench queue` the queue on SQLite, `postgres` the same on
    /// Postgres, `sessions` a thousand workers of one coordinator, `restart` how soon it is back with 100,000 open
    /// jobs, `depth` what a job costs with up to a million queued, `store` how fast a large store is read (`store=1000`:
    /// one with a million jobs), on SQLite and on Postgres, `train` the trainer beside PyTorch 2.13, and `fashion` the
    /// errors of both on Fashion-MNIST, if a Python has PyTorch (SWATH_BENCH_PYTHON names the Python). `cargo xtask
    /// bench help` lists the parts and their sizes.
    ///
    /// `cargo xtask bench kills` measures nothing: it kills coordinators and Postgres servers under load, cuts networks
    /// and fills disks, and checks that nothing acknowledged is lost (`cargo xtask bench kills help` lists the parts).
    Bench {
        /// The parts to measure: queue, postgres, commands, sessions, restart, depth, store, train, fashion, some with
        /// a size (`depth=10000`); or kills and its parts
        args: Vec<String>,
    },

    /// Build the Python wheel: coordinator, worker, trainer and the module `swath`
    ///
    /// maturin, which packs it, is installed into swath-xtask/ below CARGO_HOME (~/.cargo) if it is missing. The wheel
    /// is written to wheels/ in the target directory. It has no libtorch: the trainer takes that of the PyTorch that
    /// `pip install 'swath[torch]'` puts beside it.
    Wheel {
        /// The profile of Cargo's that it is built in
        #[arg(long, default_value = "wheel")]
        profile: String,
        /// Then install it into fresh environments of the oldest and the newest CPython of this machine, and run
        /// python/tests in them
        #[arg(long)]
        test: bool,
    },

    /// Regenerate the pages under docs/ that programs write
    Docs,

    /// Regenerate the .sqlx query caches, after a change to a query or a migration
    ///
    /// Applies migrations/sqlite and migrations/postgres to temporary databases and compiles the stores against them.
    /// The second needs a Postgres server: one is started if Postgres is installed, or SWATH_TEST_POSTGRES names one.
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
        Verb::Wheel { profile, test } => {
            libtorch::ensure(&workspace).and_then(|()| wheel::run(&workspace, &profile, test))
        }
        Verb::Docs => docs::write(&workspace),
        Verb::Sqlx => sqlx::write(&workspace),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: what failed, followed by the chain of causes.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
