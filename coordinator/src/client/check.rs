//! How a sweep compares with the published values.

use swath_results::table::{Check, Verdict};

use super::exit::Exit;
use super::failure::{Failure, Outcome};
use crate::settings::Context;

/// Says how the sweep compares with the published values.
pub(super) fn checked(context: &Context, name: &str, check: Option<&Check>) -> Outcome {
    let Some(check) = check else {
        let message = format!("{name} has no published values to check against");
        return Err(Failure::usage(message)
            .hint("name a file of them under [reference] in the sweep file, and submit it again"));
    };
    context.printer.say(format!("{name}: {}", check.words()));
    Ok(match check.verdict() {
        Verdict::Reproduced => Exit::Ok,
        Verdict::NotReproduced => Exit::FailedCells,
        Verdict::Undecided | Verdict::Imported => Exit::NotFound,
    })
}
