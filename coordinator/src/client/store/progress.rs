//! How far a command has come, on stderr.

use std::time::{Duration, Instant};

use swath_store::Part;

use crate::client::printer::Printer;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(2);

/// Lines of progress, none for what takes a moment.
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

    /// It is done.
    pub(super) fn end(self) {
        let seconds = self.began.elapsed().as_secs();
        if self.began != self.told {
            self.printer.note(format!("{}: {seconds} s", self.doing));
        }
    }
}
