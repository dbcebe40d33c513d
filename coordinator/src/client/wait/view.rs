//! How waiting looks: a live line on a terminal, a line now and then elsewhere.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use swath_coordinator::api::{ReadQuery, Status, SweepDocument};
use swath_model::id::SweepDigest;
use swath_model::judge::headline;
use swath_model::outcome::Fault;
use swath_model::terminal::shown;
use swath_model::view::{SweepRecord, SweepView};
use swath_report::{Style, visible};
use swath_results::table::Definition;

use super::feed::away;
use super::stall::Stall;
use crate::client::connection::Connection;
use crate::client::failure::Failure;
use crate::client::printer::Printer;
use crate::client::render::{jobs, progress};

/// Time between two lines where nobody watches live.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
/// How many open attempts are on the screen while waiting.
const OPEN_MAX: usize = 4;
/// The first line waits until there is something to say.
const PLAIN_FIRST: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// Shows how waiting goes.
#[derive(Debug)]
pub(super) struct View {
    printer: Printer,
    live: Option<(ProgressBar, Style)>,
    /// When the next plain line is due.
    due: Instant,
    /// The reason for standing still that was last printed as a plain line, and
    /// when.
    stalled: Option<(String, Instant)>,
    /// The divergences and kinds of failure that were printed already.
    told: BTreeSet<String>,
    /// Those by which the sweep's table names its cells, once they were read.
    parameters: Option<Vec<String>>,
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
            stalled: None,
            told: BTreeSet::new(),
            parameters: None,
        }
    }

    /// Reads by which parameters jobs of the sweep are named. Where that cannot be
    /// read now, they are named without, and it is tried again.
    pub(super) async fn learn_names(&mut self, connection: &mut Connection, sweep: SweepDigest) {
        if self.parameters.is_none() {
            let selector = vec![sweep.to_string()];
            let query = ReadQuery::Sweep { selector };
            let found = connection.read::<SweepDocument>(&query).await;
            self.parameters = found.ok().map(|found| parameters(&found.sweep));
        }
    }

    fn names(&self) -> &[String] {
        self.parameters.as_deref().unwrap_or_default()
    }

    /// Shows the newest status, and why nothing moves.
    pub(super) fn show(&mut self, status: &Status, sweep: &SweepView, stall: Option<&Stall>) {
        self.tell_failures(status);
        let stall = stall.map(Stall::line);
        let Some((bar, style)) = &self.live else {
            self.show_stall(stall);
            self.show_plain(&progress::line(status, sweep, &Style::PIPE));
            return;
        };
        let mut lines = vec![progress::line(status, sweep, style)];
        let width = style.width.unwrap_or(usize::MAX);
        lines.extend(stall.iter().flat_map(|stall| wrapped(stall, width)));
        lines.extend(open_lines(status, self.names(), style));
        bar.set_message(shown(&lines.join("\n"), true).into_owned());
    }

    /// Prints why nothing moves: at once, and again when the reason changes,
    /// but not when only a number in it changes.
    fn show_stall(&mut self, stall: Option<String>) {
        let Some(line) = stall else {
            self.stalled = None;
            return;
        };
        let now = Instant::now();
        let told = self
            .stalled
            .as_ref()
            .is_some_and(|(told, at)| *told == line || now < *at + PLAIN_INTERVAL);
        if !told {
            self.printer.note(&line);
            self.stalled = Some((line, now));
        }
    }

    fn show_plain(&mut self, line: &str) {
        if Instant::now() >= self.due {
            self.printer.note(line);
            self.due = Instant::now() + PLAIN_INTERVAL;
        }
    }

    /// Prints each divergence, and each kind of failure once, oldest first; the
    /// end of the waiting counts them.
    fn tell_failures(&mut self, status: &Status) {
        for job in status.failed.iter().rev() {
            let reason = visible(headline(&job.message));
            let colon = if reason.is_empty() { "" } else { ": " };
            let what = format!("{}{colon}{reason}", jobs::state(job));
            let diverged = job.fault == Some(Fault::Diverged);
            let kind = if diverged {
                job.digest.to_string()
            } else {
                what.clone()
            };
            if !self.told.insert(kind) {
                continue;
            }
            let line = format!("{} {what}", jobs::name(job, self.names()));
            if diverged {
                self.say(&line);
            } else {
                self.above(|printer| printer.warn(&line));
            }
        }
    }

    /// Prints something beside the progress.
    pub(super) fn say(&self, line: &str) {
        self.above(|printer| printer.note(line));
    }

    /// Shows that the coordinator is away.
    pub(super) fn lost(&self, connection: &Connection, failure: &Failure) {
        self.above(|printer| printer.warn(away(connection, failure)));
        if let Some((bar, _)) = &self.live {
            let waiting = format!("waiting for {}", connection.place());
            bar.set_message(shown(&waiting, false).into_owned());
        }
    }

    /// Removes the progress from the screen.
    pub(super) fn close(self) {
        if let Some((bar, _)) = self.live {
            bar.finish_and_clear();
        }
    }

    /// Prints without breaking the live line.
    fn above(&self, print: impl FnOnce(Printer)) {
        match &self.live {
            Some((bar, _)) => bar.suspend(|| print(self.printer)),
            None => print(self.printer),
        }
    }
}

/// `text` in lines of at most `most` columns, broken between words: a line that
/// the terminal wraps would break the screen.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word: String = word.chars().take(most).collect();
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// What trains, one line each; what does not fit is counted in one.
fn open_lines(status: &Status, shown: &[String], style: &Style) -> Vec<String> {
    let most = style.width.unwrap_or(usize::MAX);
    let open = &status.open;
    let mut lines: Vec<String> = open
        .iter()
        .take(OPEN_MAX)
        .map(|job| {
            let epoch = match jobs::epochs(job).as_str() {
                "" => String::new(),
                epochs => format!("  epoch {epochs}"),
            };
            let error = job
                .observed()
                .map_or_else(String::new, |it| format!("  {it:.2} %"));
            let line = format!("{}{epoch}{error}", jobs::name(job, shown));
            // A line that wraps would break the screen.
            line.chars().take(most).collect()
        })
        .collect();
    if open.len() > OPEN_MAX {
        lines.push(format!("and {} more", open.len() - OPEN_MAX));
    }
    lines
}

/// The parameters by which a sweep's table names its cells.
fn parameters(sweep: &SweepRecord) -> Vec<String> {
    // If this version cannot read the definition, only the names are missing.
    Definition::read(&sweep.definition)
        .map(|definition| definition.layout.parameters().map(str::to_owned).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use swath_model::job::StateName;

    use super::*;
    use crate::client::render::tests::{job, status};

    #[test]
    fn reasons_break_between_words() {
        let wrapped = |most| wrapped("no worker is connected", most);
        assert_eq!(wrapped(usize::MAX), ["no worker is connected"]);
        assert_eq!(wrapped(12), ["no worker is", "connected"]);
        assert_eq!(wrapped(4), ["no", "work", "is", "conn"]);
    }

    #[test]
    fn a_reason_is_told_once_until_work_moves() {
        let mut view = View::new(Printer::new(crate::cli::Color::Never, true));
        view.show_stall(Some("2 jobs go before it".to_owned()));
        let told = view.stalled.clone();
        assert!(told.is_some());
        view.show_stall(Some("1 job goes before it".to_owned()));
        assert_eq!(view.stalled, told);
        view.show_stall(None);
        assert_eq!(view.stalled, None);
    }

    #[test]
    fn what_trains_fits_the_screen() {
        let open = (1..=6)
            .map(|number| job(number, StateName::Leased))
            .collect();
        let status = Status { open, ..status() };
        let shown = ["batch_size".to_owned()];
        let style = Style {
            width: Some(60),
            ..Style::PIPE
        };
        insta::assert_snapshot!(open_lines(&status, &shown, &style).join("\n"), @r"
        010101010101 batch_size=16 replicate=2  epoch 4/30  12.50 %
        020202020202 batch_size=32 replicate=3  epoch 4/30  12.50 %
        030303030303 batch_size=48 replicate=1  epoch 4/30  12.50 %
        040404040404 batch_size=64 replicate=2  epoch 4/30  12.50 %
        and 2 more
        ");
    }
}
