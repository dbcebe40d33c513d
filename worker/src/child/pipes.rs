//! What children write: lines on stdout, a log on stderr.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until};

use crate::agent::{ChildId, Event, Line};

/// The longest line of the protocol.
const LINE_BYTES: usize = 1 << 20;

/// Read at once.
const READ_BYTES: usize = 16 << 10;

/// Between two messages about a child's stderr.
const LOG_INTERVAL: Duration = Duration::from_millis(100);

/// The most stderr text of one interval; what comes faster is left out.
const LOG_BYTES: usize = 32 << 10;

/// Sends each line of `pipe`, until its end. A line that is too long is sent
/// as such, once, and skipped.
pub(super) async fn lines(child: ChildId, mut pipe: impl AsyncRead + Unpin, events: Sender<Event>) {
    let mut splitter = Splitter::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = pipe.read(&mut buffer).await.unwrap_or(0);
        let lines = if count == 0 {
            splitter.end()
        } else {
            splitter.push(&buffer[..count])
        };
        for line in lines {
            if events.send(Event::Line { child, line }).await.is_err() {
                return;
            }
        }
        if count == 0 {
            return;
        }
    }
}

/// Cuts bytes into lines.
#[derive(Debug, Default)]
struct Splitter {
    rest: Vec<u8>,
    skipping: bool,
}

impl Splitter {
    fn push(&mut self, mut bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        while let Some(at) = bytes.iter().position(|byte| *byte == b'\n') {
            self.take(&bytes[..at], &mut lines);
            if !std::mem::take(&mut self.skipping) {
                lines.push(self.line());
            }
            bytes = &bytes[at + 1..];
        }
        self.take(bytes, &mut lines);
        lines
    }

    fn take(&mut self, bytes: &[u8], lines: &mut Vec<Line>) {
        if self.skipping {
            return;
        }
        if self.rest.len() + bytes.len() > LINE_BYTES {
            self.rest = Vec::new();
            self.skipping = true;
            lines.push(Line::TooLong);
            return;
        }
        self.rest.extend_from_slice(bytes);
    }

    fn line(&mut self) -> Line {
        let bytes = std::mem::take(&mut self.rest);
        Line::Text(
            String::from_utf8_lossy(&bytes)
                .trim_end_matches('\r')
                .to_owned(),
        )
    }

    /// A last line without a newline.
    fn end(&mut self) -> Vec<Line> {
        if self.rest.is_empty() {
            Vec::new()
        } else {
            vec![self.line()]
        }
    }
}

/// Sends what comes on `pipe`, until its end, a few times a second at most.
pub(super) async fn log(child: ChildId, mut pipe: impl AsyncRead + Unpin, events: Sender<Event>) {
    let mut buffer = vec![0; READ_BYTES];
    let mut kept: Vec<u8> = Vec::new();
    let mut dropped = 0_u64;
    let mut due = Instant::now();
    let mut open = true;
    while open || !kept.is_empty() || dropped > 0 {
        let pending = !kept.is_empty() || dropped > 0;
        tokio::select! {
            read = pipe.read(&mut buffer), if open => match read.unwrap_or(0) {
                0 => {
                    open = false;
                    due = Instant::now();
                }
                count => {
                    let room = LOG_BYTES.saturating_sub(kept.len()).min(count);
                    kept.extend_from_slice(&buffer[..room]);
                    dropped += (count - room) as u64;
                }
            },
            () = sleep_until(due), if pending => {
                let bytes = std::mem::take(&mut kept);
                // A character that is cut here is completed by the next chunk.
                let whole = if open { whole(&bytes) } else { bytes.len() };
                let text = String::from_utf8_lossy(&bytes[..whole]).into_owned();
                kept.extend_from_slice(&bytes[whole..]);
                let dropped = std::mem::take(&mut dropped);
                if events.send(Event::Stderr { child, text, dropped }).await.is_err() {
                    return;
                }
                due = Instant::now() + LOG_INTERVAL;
            }
        }
    }
}

/// How many of these bytes are whole characters; all of them if that is not
/// just a matter of the last few.
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
    fn an_endless_line_is_told_once_and_not_kept() {
        let mut splitter = Splitter::default();
        let block = vec![b'x'; LINE_BYTES];
        assert_eq!(splitter.push(&block), []);
        assert_eq!(splitter.push(&block), [Line::TooLong]);
        assert_eq!(splitter.push(&block), []);
        assert!(splitter.rest.capacity() == 0);
        assert_eq!(splitter.push(b"\nok\n"), [text("ok")]);
    }

    #[test]
    fn characters_are_not_cut() {
        let bytes = "aä".as_bytes();
        assert_eq!(whole(bytes), 3);
        assert_eq!(whole(&bytes[..2]), 1);
        assert_eq!(whole(b"a\xff"), 2);
    }
}
