//! The progress of a command, on stderr.

use std::time::{Duration, Instant};

use swath_store::Part;

use crate::client::printer::Printer;

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(2);

/// Prints lines of progress, but none for what takes only a moment.
pub(super) struct Progress {
    printer: Printer,
    doing: &'static str,
    told: Instant,
    began: Instant,
}

impl Progress {
    pub(super) fn new(printer: Printer, doing: &'static str) -> Self {
        let now = Instant::now();
        Self {
            printer,
            doing,
            told: now,
            began: now,
        }
    }

    /// So many rows of a part are done.
    pub(super) fn at(&mut self, part: Part, rows: u64) {
        if self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            let seconds = self.began.elapsed().as_secs();
            let (doing, part) = (self.doing, part.name());
            self.printer
                .note(format!("{doing}: {part} {rows}, {seconds} s"));
        }
    }

    /// The command is done.
    pub(super) fn end(self) {
        let seconds = self.began.elapsed().as_secs();
        if self.began != self.told {
            self.printer.note(format!("{}: {seconds} s", self.doing));
        }
    }
}
