//! `trainer`: the training core of Swath, based on libtorch.
//!
//! A command reads a spec, computes, writes its results to stdout (JSON or CSV)
//! or to files, and says with its exit code how it went.

mod analysis;
mod augment;
mod checkpoint;
mod cli;
mod commands;
mod data;
mod dataset;
mod evaluate;
mod failure;
mod files;
mod history;
mod kernels;
mod loss;
mod measure;
mod model;
mod optim;
mod output;
mod peak;
mod precision;
mod probe;
mod process;
mod provenance;
mod rng;
mod session;
mod spec_file;
mod step;
mod tensor_file;
mod train;

use std::process::ExitCode;

use clap::Parser;
use swath_model::protocol::exit;

/// The exit code of a command line that cannot be read.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    process::keep_freed_memory();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            output::usage(&error);
            return ExitCode::from(if error.use_stderr() {
                USAGE
            } else {
                exit::FINISHED
            });
        }
    };
    // A panic is a message of libtorch, which `guarded` turns into a failure;
    // the hook would print it again, with a C++ stack trace.
    std::panic::set_hook(Box::new(|_| {}));
    match failure::guarded(|| commands::run(cli.command)) {
        Ok(()) => ExitCode::from(exit::FINISHED),
        Err(failure) => {
            // A training has already reported where it stopped.
            if failure != failure::Failure::Stopped {
                output::message(&failure.to_string());
            }
            ExitCode::from(failure.exit_code())
        }
    }
}
