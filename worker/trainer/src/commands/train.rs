//! `trainer train`: one spec.

use super::attempt::{Order, attempt, finish};
use crate::checkpoint::Mode;
use crate::cli::Train;
use crate::failure::Failure;
use crate::failure::guarded;
use crate::session::Session;
use crate::{process, spec_file};

/// Trains one spec.
pub(super) fn run(args: &Train) -> Result<(), Failure> {
    process::catch_sigterm();
    let attempt = || {
        let job = spec_file::read(&args.spec.spec)?;
        let mut session = Session::new(args.compute)?;
        let order = Order {
            weights: args.weights.as_deref(),
            out: args.out.as_deref(),
            mode: if args.resume {
                Mode::Resume
            } else {
                Mode::Anew
            },
            pace: args.checkpoints.pace(args.stop_after),
            kept: args.checkpoints.kept(),
            measures: &args.measures,
        };
        attempt(&mut session, &job, &order)
    };
    finish(guarded(attempt))
}
