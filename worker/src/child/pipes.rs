//! What children write: protocol lines on stdout, a log on stderr.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until};

use swath_agent::{ChildId, Event, Line};

/// The longest line of the protocol.
const LINE_BYTES: usize = 1 << 20;

/// How much is kept of the beginning of a longer line.
const LONG_HEAD_BYTES: usize = 8 << 10;

/// How much is kept of the end of a longer line; the last event of a program
/// may be there.
const LONG_TAIL_BYTES: usize = 64 << 10;

/// The most bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// Time between two messages about a child's stderr.
const LOG_INTERVAL: Duration = Duration::from_millis(100);

/// How many reads of stderr may come before stdout gets its turn, so that a
/// flood does not drown the protocol.
const STDERR_IN_A_ROW: u32 = 64;

/// The most stderr text sent per interval; text beyond that is left out.
const LOG_BYTES: usize = 32 << 10;

/// Sends what a child writes, until both pipes end: each line of stdout, and
/// stderr a few times per second. A line that is too long is reported when it
/// gets so, and shortened when it ends.
///
/// One reader serves both pipes because their order matters: what a trainer
/// wrote to stderr before its last line belongs to that attempt, not to the
/// next one.
pub(super) async fn read(
    child: ChildId,
    mut stdout: impl AsyncRead + Unpin,
    mut stderr: impl AsyncRead + Unpin,
    events: Sender<Event>,
) {
    let (mut out, mut err) = (vec![0; READ_BYTES], vec![0; READ_BYTES]);
    let (mut stdout_open, mut stderr_open) = (true, true);
    let mut splitter = Splitter::default();
    let mut log = Log::new();
    let mut in_a_row = 0;
    while stdout_open || stderr_open {
        let turn = in_a_row < STDERR_IN_A_ROW || !stdout_open;
        let mut sent = Vec::new();
        tokio::select! {
            biased;
            read = stderr.read(&mut err), if stderr_open && turn => {
                in_a_row += 1;
                match read.unwrap_or(0) {
                    0 => stderr_open = false,
                    count => log.push(&err[..count]),
                }
            }
            read = stdout.read(&mut out), if stdout_open => {
                in_a_row = 0;
                let count = read.unwrap_or(0);
                stdout_open = count > 0;
                let lines = if stdout_open { splitter.push(&out[..count]) } else { splitter.end() };
                if lines.iter().any(ends_an_attempt) {
                    sent.extend(log.take(child, true));
                }
                sent.extend(lines.into_iter().map(|line| Event::Line { child, line }));
            }
            // Stdout had nothing in its turn, and may have nothing for hours.
            () = tokio::task::yield_now(), if !turn => in_a_row = 0,
            () = sleep_until(log.due), if log.has_text() => {}
        }
        if log.due <= Instant::now() {
            sent.extend(log.take(child, false));
        }
        for event in sent {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
    if let Some(event) = log.take(child, true) {
        // When the worker is ending, nobody listens.
        let _heard = events.send(event).await;
    }
}

/// Whether this may be the last line of an attempt.
fn ends_an_attempt(line: &Line) -> bool {
    match line {
        Line::Text(text) => text.contains("\"finished\"") || text.contains("\"failed\""),
        Line::TooLong | Line::Long { .. } => true,
    }
}

/// Collects stderr text between two messages.
struct Log {
    kept: Vec<u8>,
    dropped: u64,
    due: Instant,
}

impl Log {
    fn new() -> Self {
        Self {
            kept: Vec::new(),
            dropped: 0,
            due: Instant::now(),
        }
    }

    fn has_text(&self) -> bool {
        !self.kept.is_empty() || self.dropped > 0
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = LOG_BYTES.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..room]);
        self.dropped += (bytes.len() - room) as u64;
    }

    fn take(&mut self, child: ChildId, last: bool) -> Option<Event> {
        if !self.has_text() {
            return None;
        }
        let bytes = std::mem::take(&mut self.kept);
        // A character that is cut here is completed by the next message.
        let whole = if last { bytes.len() } else { whole(&bytes) };
        let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
        self.kept.extend_from_slice(&bytes[whole..]);
        self.due = Instant::now() + LOG_INTERVAL;
        Some(Event::Stderr {
            child,
            text,
            dropped: std::mem::take(&mut self.dropped),
        })
    }
}

/// Cuts bytes into lines. Of a line that is too long, the beginning and the end
/// are kept.
#[derive(Debug, Default)]
struct Splitter {
    /// The line whose end has not come, or the end of it.
    rest: Vec<u8>,
    /// The beginning of a line that is too long.
    head: Option<Vec<u8>>,
    /// How many bytes after that are gone.
    dropped: u64,
}

impl Splitter {
    fn push(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(&bytes[..at], &mut lines);
            lines.push(self.line());
            bytes = &bytes[at + 1..];
        }
        self.take(bytes, &mut lines);
        lines
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        self.rest.extend_from_slice(bytes);
        if self.rest.len() <= LINE_BYTES {
            return;
        }
        if self.head.is_none() {
            // A progress bar rewrites its line for hours: its newest state is
            // the line.
            let newest = newest_state(&self.rest);
            if newest > 0 {
                self.rest.drain(..newest);
                return;
            }
            self.head = Some(self.rest.drain(..LONG_HEAD_BYTES).collect());
            lines.push(Line::TooLong);
        }
        let excess = self.rest.len().saturating_sub(LONG_TAIL_BYTES);
        self.rest.drain(..excess);
        self.dropped += excess as u64;
    }

    fn line(&mut self) -> Line {
        let bytes = std::mem::take(&mut self.rest);
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            text.trim_end_matches('\r').to_owned()
        };
        let Some(head) = self.head.take() else {
            return Line::Text(text(&bytes));
        };
        let excess = bytes.len().saturating_sub(LONG_TAIL_BYTES);
        Line::Long {
            head: String::from_utf8_lossy(&head).into_owned(),
            dropped: std::mem::take(&mut self.dropped) + excess as u64,
            tail: text(&bytes[excess..]),
        }
    }

    /// The last line, if it has no newline.
    fn end(&mut self) -> Vec<Line> {
        if self.rest.is_empty() {
            Vec::new()
        } else {
            vec![self.line()]
        }
    }
}

/// Where the newest state of a line begins that is written anew after each
/// carriage return. A return at the end may be one before a newline.
fn newest_state(line: &[u8]) -> usize {
    let before = line.iter().rposition(|byte| *byte != b'\r');
    let states = &line[..before.unwrap_or(0)];
    let last = states.iter().rposition(|byte| *byte == b'\r');
    last.map_or(0, |at| at + 1)
}

/// How many of these bytes form whole characters; all of them, unless only the
/// last few are incomplete.
fn whole(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Line {
        Line::Text(text.to_owned())
    }

    #[test]
    fn lines_are_whole_whatever_the_reads() {
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(b"ab\ncd"), [text("ab")]);
        assert_eq!(splitter.push(b"e\r\n\nf"), [text("cde"), text("")]);
        assert_eq!(splitter.end(), [text("f")]);
        assert_eq!(splitter.end(), []);
    }

    #[test]
    fn an_endless_line_is_told_at_once_and_keeps_its_ends() {
        let mut splitter = Splitter::default();
        let block = vec![b'x'; LINE_BYTES];
        assert_eq!(splitter.push(&block), []);
        assert_eq!(splitter.push(&block), [Line::TooLong]);
        assert_eq!(splitter.push(&block), []);
        assert!(splitter.rest.len() <= LINE_BYTES);
        let long = Line::Long {
            head: "x".repeat(LONG_HEAD_BYTES),
            dropped: (3 * LINE_BYTES + 3 - LONG_HEAD_BYTES - LONG_TAIL_BYTES) as u64,
            tail: "x".repeat(LONG_TAIL_BYTES - 3) + "end",
        };
        assert_eq!(splitter.push(b"end\nok\n"), [long, text("ok")]);
    }

    #[test]
    fn a_bar_that_rewrites_its_line_is_never_too_long() {
        let mut splitter = Splitter::default();
        for _ in 0..10 {
            let bar = b"\r 50%|#####     |".repeat(LINE_BYTES / 50);
            assert_eq!(splitter.push(&bar), []);
        }
        let lines = splitter.push(b"\r100%|##########|{}\r\n");
        let [Line::Text(line)] = &lines[..] else {
            panic!("{lines:?}");
        };
        assert!(line.len() <= LINE_BYTES && line.ends_with("\r100%|##########|{}"));
    }

    #[tokio::test]
    async fn a_flood_on_stderr_does_not_wait_for_a_line() {
        use tokio::io::AsyncWriteExt;
        let (events, mut heard) = tokio::sync::mpsc::channel(1024);
        let (mut line, stdout) = tokio::io::duplex(64);
        // More small reads in a row than stdout waits for.
        let (mut flood, stderr) = tokio::io::duplex(16);
        let reader = tokio::spawn(read(ChildId(1), stdout, stderr, events));
        let written = tokio::time::timeout(Duration::from_secs(30), async {
            flood.write_all(&[b'y'; 4096]).await.unwrap();
        });
        written.await.expect("stderr is read");
        line.write_all(b"{}\n").await.unwrap();
        drop((line, flood));
        reader.await.unwrap();
        let mut lines = 0;
        while let Some(event) = heard.recv().await {
            lines += usize::from(matches!(event, Event::Line { .. }));
        }
        assert_eq!(lines, 1);
    }

    #[test]
    fn characters_are_not_cut() {
        let bytes = "aä".as_bytes();
        assert_eq!(whole(bytes), 3);
        assert_eq!(whole(&bytes[..2]), 1);
        assert_eq!(whole(b"a\xff"), 2);
    }
}
