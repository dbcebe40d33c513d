//! How waiting looks: a live line on a terminal, a line now and then elsewhere.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use swath_coordinator::api::Status;
use swath_core::id::JobDigest;
use swath_core::judge::headline;
use swath_core::outcome::Fault;
use swath_core::table::Definition;
use swath_core::view::SweepView;
use swath_report::{Style, visible};

use crate::client::failure::Failure;
use crate::client::printer::Printer;
use crate::client::render::{jobs, progress};

/// Between two lines where nobody watches live.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// The first one waits until there is something to tell.
const PLAIN_FIRST: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// Shows how waiting goes.
#[derive(Debug)]
pub(super) struct View {
    printer: Printer,
    live: Option<(ProgressBar, Style)>,
    /// When the next plain line is due.
    due: Instant,
    /// Failures that were told already.
    told: BTreeSet<JobDigest>,
}

impl View {
    pub(super) fn new(printer: Printer) -> Self {
        let live = printer.progress_style().map(|style| {
            let bar = ProgressBar::new_spinner();
            if let Ok(template) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(template);
            }
            bar.enable_steady_tick(TICK);
            let width = style.width.map(|width| width.saturating_sub(2));
            (bar, Style { width, ..style })
        });
        Self {
            printer,
            live,
            due: Instant::now() + PLAIN_FIRST,
            told: BTreeSet::new(),
        }
    }

    /// Shows the newest status.
    pub(super) fn show(&mut self, status: &Status, sweep: &SweepView) {
        self.tell_failures(status, sweep);
        match &self.live {
            Some((bar, style)) => bar.set_message(progress::line(status, sweep, style)),
            None => self.show_plain(&progress::line(status, sweep, &Style::PIPE)),
        }
    }

    fn show_plain(&mut self, line: &str) {
        if Instant::now() >= self.due {
            self.printer.note(line);
            self.due = Instant::now() + PLAIN_INTERVAL;
        }
    }

    /// Tells each failure once, oldest first.
    fn tell_failures(&mut self, status: &Status, sweep: &SweepView) {
        let shown = parameters(sweep);
        for job in status.failed.iter().rev() {
            if !self.told.insert(job.digest) {
                continue;
            }
            let (name, state) = (jobs::name(job, &shown), jobs::state(job));
            let reason = match headline(&job.message) {
                "" => String::new(),
                reason => format!(": {}", visible(reason)),
            };
            let line = format!("{name} {state}{reason}");
            if job.fault == Some(Fault::Diverged) {
                self.say(&line);
            } else {
                self.above(|printer| printer.warn(&line));
            }
        }
    }

    /// Says something beside the progress.
    pub(super) fn say(&self, line: &str) {
        self.above(|printer| printer.note(line));
    }

    /// The coordinator is away.
    pub(super) fn lost(&self, url: &str, failure: &Failure) {
        let why = failure.lines.first().map_or("it is away", String::as_str);
        let line = format!("{why}; the work goes on, trying {url} again until it is back");
        self.above(|printer| printer.warn(line));
        if let Some((bar, _)) = &self.live {
            bar.set_message(format!("waiting for {url}"));
        }
    }

    /// Takes the progress off the screen.
    pub(super) fn close(self) {
        if let Some((bar, _)) = self.live {
            bar.finish_and_clear();
        }
    }

    /// Prints without tearing the live line.
    fn above(&self, print: impl FnOnce(Printer)) {
        match &self.live {
            Some((bar, _)) => bar.suspend(|| print(self.printer)),
            None => print(self.printer),
        }
    }
}

/// The parameters by which a sweep's table names its cells.
fn parameters(sweep: &SweepView) -> Vec<String> {
    // A definition that this version cannot read only costs the names.
    Definition::read(&sweep.definition)
        .map(|definition| definition.layout.parameters().map(str::to_owned).collect())
        .unwrap_or_default()
}
