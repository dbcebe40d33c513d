//! The text of a log, with a line wherever something is left out.

use std::fmt::Write;

use swath_model::id::Attempt;
use swath_model::view::LogChunk;

/// What was shown of a job's log so far.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    attempt: Option<Attempt>,
    /// Where the last chunk ended in all that its attempt wrote.
    end: u64,
    /// Whether the last line has no end yet.
    in_line: bool,
}

impl Shown {
    /// Whether nothing was shown.
    pub(crate) fn is_empty(&self) -> bool {
        self.attempt.is_none()
    }

    /// How the log goes on with this chunk: what was left out before it is counted,
    /// and attempts are told apart.
    pub(crate) fn text(&mut self, chunk: &LogChunk) -> String {
        let before = self.attempt.replace(chunk.attempt);
        let is_other = before.is_some_and(|before| before != chunk.attempt);
        let end = if before == Some(chunk.attempt) {
            self.end
        } else {
            0
        };
        self.end = chunk.end();
        let left_out = chunk.begin.saturating_sub(end);
        let mut text = String::new();
        if self.in_line && (is_other || left_out > 0) {
            text.push('\n');
        }
        if is_other {
            let _ = writeln!(text, "--- attempt {} ---", chunk.attempt);
        }
        if left_out > 0 {
            let _ = writeln!(text, "[... {left_out} bytes left out ...]");
        }
        text.push_str(&chunk.text);
        if let Some(last) = text.chars().last() {
            self.in_line = last != '\n';
        }
        text
    }

    /// What ends the last line.
    pub(crate) fn close(&mut self) -> &'static str {
        if std::mem::take(&mut self.in_line) {
            "\n"
        } else {
            ""
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(chunks: &[(u32, u64, &str)]) -> String {
        let mut shown = Shown::default();
        let chunks = (1..).zip(chunks).map(|(position, (attempt, end, text))| {
            LogChunk::ending(position, Attempt(*attempt), *end, (*text).to_owned())
        });
        let text: String = chunks.map(|chunk| shown.text(&chunk)).collect();
        text + shown.close()
    }

    #[test]
    fn gaps_are_counted_and_attempts_told_apart() {
        let chunks = [
            (1, 2, "a\n"),
            (1, 4, "b "),
            (1, 6, "c "),
            (1, 20, "d\n"),
            // Nothing is kept after the last gap.
            (1, 25, ""),
            (2, 7, "e\n"),
            (3, 1, "f"),
        ];
        insta::assert_snapshot!(shown(&chunks), @r"
        a
        b c 
        [... 12 bytes left out ...]
        d
        [... 5 bytes left out ...]
        --- attempt 2 ---
        [... 5 bytes left out ...]
        e
        --- attempt 3 ---
        f
        ");
        // An older worker only counted its chunks.
        assert_eq!(shown(&[(1, 1, "a\n"), (1, 2, "b\n")]), "a\nb\n");
    }

    proptest! {
        /// Whatever was dropped of it, what is shown and what is counted is what was
        /// written.
        #[test]
        fn shown_and_counted_is_what_was_written(
            lines in proptest::collection::vec(("[a-c]{0,5}", any::<bool>()), 1..20)
        ) {
            let (mut log, mut end) = (Shown::default(), 0);
            let (mut text, mut last) = (String::new(), 0);
            for (at, (line, kept)) in (1..).zip(&lines) {
                let line = format!("{line}\n");
                end += line.len() as u64;
                if *kept {
                    text += &log.text(&LogChunk::ending(at, Attempt(1), end, line));
                    last = end;
                }
            }
            let mark = |line: &str| {
                let count = line.strip_prefix("[... ")?.strip_suffix(" bytes left out ...]\n")?;
                count.parse::<u64>().ok()
            };
            let told = text.split_inclusive('\n');
            let told = told.map(|line| mark(line).unwrap_or(line.len() as u64));
            prop_assert_eq!(told.sum::<u64>(), last);
        }
    }
}
