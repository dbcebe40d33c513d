//! `import`: numbers from elsewhere.

use swath_coordinator::api::{ChangeOrder, ImportOrder};

use std::time::Duration;

use indicatif::ProgressBar;
use swath_proto::limits::CONTROL_REQUEST_BYTES;
use swath_report::count;

use super::change::order;
use super::failure::{Failure, Outcome};
use crate::cli;
use crate::settings::Context;

/// Shorter files are stored before anybody could read their progress.
const LONG: usize = 2000;
const TICK: Duration = Duration::from_millis(120);
/// The most bytes of the file; the rest of the request needs some too.
const BYTES_MAX: usize = CONTROL_REQUEST_BYTES - (64 << 10);
/// The most that is read to say into how many parts to split it.
const READ_BYTES_MAX: u64 = 1 << 30;

pub(crate) async fn import(context: &Context, arguments: &cli::Import) -> Outcome {
    let path = arguments.file.display();
    let text = swath_files::read_text(&arguments.file, READ_BYTES_MAX)
        .map_err(|error| Failure::usage(format!("cannot read {path}: {error}")))?;
    // In JSON, a line end takes one byte more.
    let lines = text.lines().count();
    if text.len() + lines > BYTES_MAX {
        let (size, most) = (text.len() >> 20, BYTES_MAX >> 20);
        let message = format!("{path} has {size} MiB; a file has at most {most} MiB");
        return Err(Failure::usage(message).hint("split it, and import each part"));
    }
    let name = arguments.file.file_name().unwrap_or_default();
    let source = arguments.source.clone();
    let import = ImportOrder {
        selector: arguments.sweep.iter().cloned().collect(),
        file: path.to_string(),
        text,
        source: source.unwrap_or_else(|| name.to_string_lossy().into_owned()),
        table: arguments.table.clone(),
        replace: arguments.replace,
    };
    let bar = (lines >= LONG).then(|| progress(context, lines)).flatten();
    let done = order(context, ChangeOrder::Import(import)).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    done
}

/// A line on a terminal that says how long a long file has been in storing.
fn progress(context: &Context, lines: usize) -> Option<ProgressBar> {
    let bar = context.printer.spinner()?;
    bar.set_message(format!(
        "importing {} lines, all or none",
        count(lines as u64)
    ));
    bar.enable_steady_tick(TICK);
    Some(bar)
}
