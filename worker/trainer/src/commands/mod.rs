//! The commands, one function each.

mod attempt;
mod clerk;
mod inspect;
mod line;
mod serve;
mod sharpness;
mod single;
mod train;

use crate::cli::Command;
use crate::failure::Failure;

/// Runs a command.
///
/// # Errors
///
/// The failure that ended it before its result.
pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Train(args) => train::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Predict(args) => single::predict(&args),
        Command::Evaluate(args) => single::evaluate(&args),
        Command::Sharpness(args) => sharpness::run(&args),
        Command::Line(args) => line::run(&args),
        Command::Init(args) => single::init(&args),
        Command::Gradients(args) => single::gradients(&args),
        Command::Describe(args) => inspect::describe(&args),
        Command::Schedule(args) => inspect::schedule(&args),
    }
}

#[cfg(test)]
mod tests;
