//! A line whose end has not come, as that of a progress bar.

use std::time::Duration;

/// How long a line may be without an end before its state is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time between two states that are told.
const REST: Duration = Duration::from_secs(2);

/// A state is told no more often than each so many-th part of its line's age, so
/// that a bar of many hours does not fill the log.
const PARTS: u32 = 50;

/// A longer line is told in pieces.
const OPEN_BYTES: usize = 16 << 10;

/// A line whose end has not come. One that is written anew after each carriage
/// return is its newest state.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenLine {
    text: String,
    /// Whether it has changed since it was told.
    changed: bool,
    since: Option<Duration>,
    told: Option<Duration>,
}

impl OpenLine {
    /// Whether there is something of it that was not told.
    pub(crate) fn is_new(&self) -> bool {
        self.changed
    }

    /// Its newest state.
    pub(crate) fn state(&self) -> &str {
        newest_state(&self.text)
    }

    /// Adds text without a newline; returns what is too long to wait for one.
    pub(crate) fn push(&mut self, text: &str) -> Option<String> {
        if text.is_empty() {
            return None;
        }
        self.changed = true;
        self.text.push_str(text);
        // A return at the end may be one before a newline.
        let returns = self.text.len() - self.text.trim_end_matches('\r').len();
        let length = self.state().len() + returns;
        self.text.drain(..self.text.len() - length);
        let long = self.text.len() > OPEN_BYTES;
        long.then(|| std::mem::take(self).text)
    }

    /// Replaces its text.
    pub(crate) fn set(&mut self, text: &str) {
        if self.text != text {
            self.changed = !text.is_empty();
            text.clone_into(&mut self.text);
        }
    }

    /// Ends it; returns its text.
    pub(crate) fn end(&mut self) -> String {
        let line = std::mem::take(self);
        newest_state(&line.text).to_owned()
    }

    /// The state to tell now, if one is due.
    pub(crate) fn due(&mut self, now: Duration) -> Option<&str> {
        if !self.changed {
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let age = now.saturating_sub(since);
        let due = match self.told {
            None => since + PATIENCE,
            Some(told) => told + REST.max(age / PARTS),
        };
        if due > now {
            return None;
        }
        self.told = Some(now);
        self.changed = false;
        Some(self.state()).filter(|state| !state.trim().is_empty())
    }
}

/// The newest state of a line that is written anew after each carriage return.
pub(crate) fn newest_state(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit('\r').next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_its_newest_state() {
        let mut line = OpenLine::default();
        for text in ["\r 1%", "\r", " 2%|#", "\r 3%|", "##\r"] {
            assert_eq!(line.push(text), None);
        }
        assert_eq!(line.state(), " 3%|##");
        line.push("\r");
        assert_eq!(line.end(), " 3%|##");
        assert_eq!(newest_state("a\rb\r\r"), "b");
        let long = "x".repeat(OPEN_BYTES + 1);
        assert_eq!(line.push(&long), Some(long));
        assert!(!line.is_new());
    }

    #[test]
    fn states_are_told_within_seconds_and_ever_more_slowly() {
        let mut line = OpenLine::default();
        let mut told = Vec::new();
        for second in 0..10 * 3600 {
            line.push(&format!("\r{second} s"));
            let now = Duration::from_secs(second);
            if let Some(state) = line.due(now) {
                assert_eq!(state, format!("{second} s"));
                told.push(second);
            }
        }
        assert_eq!(told[..3], [1, 3, 5]);
        let rests = told.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(rests.zip(&told).all(|(rest, at)| rest <= at / 48 + 2));
        assert!(told.len() < 400, "{}", told.len());
        assert_eq!(line.due(Duration::from_hours(20)), Some("35999 s"));
        assert_eq!(line.due(Duration::from_hours(30)), None);
    }
}
