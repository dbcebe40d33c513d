//! What children write: protocol lines on stdout, a log on stderr.

use std::collections::VecDeque;
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

/// The longest text that is told of a line that has not ended.
const STATE_BYTES: usize = 4 << 10;

/// The most bytes read at once.
const READ_BYTES: usize = 16 << 10;

/// Time between two messages about a child's stderr.
const LOG_INTERVAL: Duration = Duration::from_millis(100);

/// How many reads of stderr may come before stdout gets its turn, so that a
/// flood does not drown the protocol.
const STDERR_IN_A_ROW: u32 = 64;

/// The most stderr text sent per interval from its beginning, and as much from
/// its end; text between them is left out.
const LOG_BYTES: usize = 16 << 10;

/// How long a line of stdout may take until its state is told, and the time
/// between two such messages.
const LINE_INTERVAL: Duration = Duration::from_millis(500);

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
    let mut waiting = Waiting {
        is_new: false,
        due: Instant::now(),
    };
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
                    stderr_open = stderr_open && catch_up(&mut stderr, &mut err, &mut log).await;
                    sent.extend(log.take(child, true));
                }
                sent.extend(lines.into_iter().map(|line| Event::Line { child, line }));
                waiting.changed(&splitter);
            }
            // Stdout had nothing in its turn, and may have nothing for hours.
            () = tokio::task::yield_now(), if !turn => in_a_row = 0,
            () = sleep_until(log.due), if log.has_text() => {}
            () = sleep_until(waiting.due), if waiting.is_new => {}
        }
        if log.due <= Instant::now() {
            sent.extend(log.take(child, false));
        }
        sent.extend(waiting.take(child, &splitter));
        for event in sent {
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
    for event in log.take(child, true) {
        // When the worker is ending, nobody listens.
        let _heard = events.send(event).await;
    }
}

/// Reads what was written to stderr before the newest line of stdout: the system
/// may tell of the line first. Returns whether stderr is still open.
async fn catch_up(stderr: &mut (impl AsyncRead + Unpin), buffer: &mut [u8], log: &mut Log) -> bool {
    // The runtime asks the system anew.
    tokio::task::yield_now().await;
    for _ in 0..STDERR_IN_A_ROW {
        let read = tokio::select! {
            biased;
            read = stderr.read(buffer) => read.unwrap_or(0),
            () = std::future::ready(()) => return true,
        };
        if read == 0 {
            return false;
        }
        log.push(&buffer[..read]);
    }
    true
}

/// Whether this may be the last line of an attempt.
fn ends_an_attempt(line: &Line) -> bool {
    match line {
        Line::Text(text) => text.contains("\"finished\"") || text.contains("\"failed\""),
        Line::TooLong | Line::Long { .. } => true,
    }
}

/// Collects stderr text between two messages: the beginning and the end of it,
/// if it is too much.
struct Log {
    head: Vec<u8>,
    /// Bytes left out after the head.
    dropped: u64,
    tail: VecDeque<u8>,
    due: Instant,
}

impl Log {
    fn new() -> Self {
        Self {
            head: Vec::new(),
            dropped: 0,
            tail: VecDeque::new(),
            due: Instant::now(),
        }
    }

    fn has_text(&self) -> bool {
        !self.head.is_empty() || self.dropped > 0
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = LOG_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend(&bytes[room..]);
        let excess = self.tail.len().saturating_sub(LOG_BYTES);
        self.tail.drain(..excess);
        self.dropped += excess as u64;
    }

    /// The text so far, in one message, or in two if something is left out
    /// between them.
    fn take(&mut self, child: ChildId, last: bool) -> Vec<Event> {
        if !self.has_text() {
            return Vec::new();
        }
        self.due = Instant::now() + LOG_INTERVAL;
        let mut head = std::mem::take(&mut self.head);
        let mut tail = Vec::from(std::mem::take(&mut self.tail));
        let mut dropped = std::mem::take(&mut self.dropped);
        if dropped == 0 {
            head.append(&mut tail);
        } else {
            // Neither side of the gap has half a character.
            let cut = tail.iter().take_while(|byte| **byte & 0xc0 == 0x80).count();
            tail.drain(..cut.min(3));
            let kept = whole(&head);
            dropped += (cut.min(3) + head.len() - kept) as u64;
            head.truncate(kept);
        }
        // A character that is cut here is completed by the next message.
        let end = if dropped > 0 { &mut tail } else { &mut head };
        self.head = end.split_off(if last { end.len() } else { whole(end) });
        let text = |bytes: &[u8], dropped| Event::Stderr {
            child,
            text: String::from_utf8_lossy(bytes).into_owned(),
            dropped,
        };
        let mut events = vec![text(&head, dropped)];
        if !tail.is_empty() {
            events.push(text(&tail, 0));
        }
        events
    }
}

/// Tells of a line of stdout that does not end for a while.
struct Waiting {
    /// Whether there is something of the line that was not told.
    is_new: bool,
    due: Instant,
}

impl Waiting {
    /// Notes that the line has changed.
    fn changed(&mut self, splitter: &Splitter) {
        let was_new = std::mem::replace(&mut self.is_new, !splitter.rest.is_empty());
        if !was_new {
            self.due = Instant::now() + LINE_INTERVAL;
        }
    }

    fn take(&mut self, child: ChildId, splitter: &Splitter) -> Option<Event> {
        if !self.is_new || self.due > Instant::now() {
            return None;
        }
        self.is_new = false;
        let text = splitter.state();
        Some(Event::Partial { child, text })
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

    /// How far the line is whose end has not come: its newest state, or the end
    /// of it.
    fn state(&self) -> String {
        let state = &self.rest[newest_state(&self.rest)..];
        let excess = state.len().saturating_sub(STATE_BYTES);
        let text = String::from_utf8_lossy(&state[excess..]);
        text.trim_end_matches('\r').to_owned()
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

    /// The texts of stderr messages, and what was left out after each.
    fn texts(events: Vec<Event>) -> Vec<(String, u64)> {
        let texts = events.into_iter().map(|event| match event {
            Event::Stderr { text, dropped, .. } => (text, dropped),
            other => panic!("{other:?}"),
        });
        texts.collect()
    }

    #[tokio::test]
    async fn a_burst_keeps_its_beginning_and_its_end() {
        let mut log = Log::new();
        log.push("ä".repeat(LOG_BYTES).as_bytes());
        log.push(&b"x".repeat(100 << 10));
        log.push("ValueError: é".as_bytes());
        log.push(&"ä".as_bytes()[..1]);
        let taken = texts(log.take(ChildId(1), false));
        let [(head, dropped), (tail, 0)] = &taken[..] else {
            panic!("{taken:?}");
        };
        assert!(head.starts_with('ä') && tail.ends_with("xxValueError: é"));
        let all = 2 * LOG_BYTES + (100 << 10) + "ValueError: é".len();
        assert_eq!((head.len() + tail.len()) as u64 + dropped, all as u64);
        log.push(&"ä".as_bytes()[1..]);
        assert_eq!(texts(log.take(ChildId(1), true)), [("ä".to_owned(), 0)]);
        assert!(!log.has_text());
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_told() {
        use tokio::io::AsyncWriteExt;
        let (events, mut heard) = tokio::sync::mpsc::channel(1024);
        let (mut bar, stdout) = tokio::io::duplex(64);
        let (_quiet, stderr) = tokio::io::duplex(16);
        let reader = tokio::spawn(read(ChildId(1), stdout, stderr, events));
        bar.write_all(b"\r 1%|\r 2%|#").await.unwrap();
        let heard = tokio::time::timeout(Duration::from_secs(30), heard.recv());
        let child = ChildId(1);
        let text = " 2%|#".to_owned();
        let wanted = Event::Partial { child, text };
        assert_eq!(heard.await.expect("it is told"), Some(wanted));
        reader.abort();
    }

    #[test]
    fn characters_are_not_cut() {
        let bytes = "aä".as_bytes();
        assert_eq!(whole(bytes), 3);
        assert_eq!(whole(&bytes[..2]), 1);
        assert_eq!(whole(b"a\xff"), 2);
    }
}
