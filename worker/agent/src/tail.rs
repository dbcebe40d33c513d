//! The end of what an attempt wrote, which a fault quotes.

use std::collections::VecDeque;

use crate::clip::last;

/// How much of it is kept, in bytes.
const TAIL_BYTES: usize = 64 << 10;

/// Where a child wrote something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The end of a text of two streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    /// Neighbours are of different streams.
    runs: VecDeque<(Stream, String)>,
    bytes: usize,
}

impl Tail {
    /// Appends what was written.
    pub(crate) fn push(&mut self, stream: Stream, text: &str) {
        self.bytes += text.len();
        match self.runs.back_mut() {
            Some((newest, run)) if *newest == stream => run.push_str(text),
            _ => self.runs.push_back((stream, text.to_owned())),
        }
        if self.bytes > 2 * TAIL_BYTES {
            self.cut(TAIL_BYTES);
        }
    }

    /// Leaves out the beginning of what is longer than so many bytes.
    pub(crate) fn cut(&mut self, bytes: usize) {
        while self.bytes > bytes
            && let Some((stream, run)) = self.runs.pop_front()
        {
            let others = self.bytes - run.len();
            let kept = last(&run, bytes.saturating_sub(others)).to_owned();
            self.bytes = others + kept.len();
            if !kept.is_empty() {
                self.runs.push_front((stream, kept));
                return;
            }
        }
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.runs.iter().map(|(_, run)| &**run).collect()
    }

    /// The lines that were written to a stream.
    pub(crate) fn lines_of(&self, stream: Stream) -> impl DoubleEndedIterator<Item = &str> {
        let runs = self.runs.iter().filter(move |(of, _)| *of == stream);
        runs.flat_map(|(_, run)| run.lines())
    }

    /// What people call the streams that it is from.
    pub(crate) fn name(&self) -> &'static str {
        let has = |stream| self.lines_of(stream).any(|line| !line.trim().is_empty());
        match (has(Stream::Stdout), has(Stream::Stderr)) {
            (true, true) => "stdout and stderr",
            (true, false) => "stdout",
            (false, _) => "stderr",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn streams_are_named_by_what_is_kept_of_them() {
        let mut tail = Tail::default();
        tail.push(Stream::Stderr, "warning\n");
        assert_eq!(tail.name(), "stderr");
        tail.push(Stream::Stdout, "\n");
        assert_eq!(tail.name(), "stderr");
        tail.push(Stream::Stdout, "acc=1\nacc=2\n");
        assert_eq!(tail.name(), "stdout and stderr");
        tail.cut(8);
        assert_eq!((tail.name(), &*tail.text()), ("stdout", "1\nacc=2\n"));
        assert!(tail.lines_of(Stream::Stderr).next().is_none());
    }

    proptest! {
        #[test]
        fn the_end_of_both_streams_is_kept(
            texts in proptest::collection::vec(("[aä\n]{0,9}", any::<bool>(), 1..9000_usize), 0..9),
            bytes in 0..200_000_usize,
        ) {
            let (mut tail, mut all) = (Tail::default(), String::new());
            for (text, is_stderr, times) in texts {
                let text = text.repeat(times);
                let stream = if is_stderr { Stream::Stderr } else { Stream::Stdout };
                tail.push(stream, &text);
                all.push_str(&text);
            }
            prop_assert_eq!(&*tail.text(), last(&all, tail.bytes));
            prop_assert!(tail.bytes <= 2 * TAIL_BYTES);
            prop_assert!(tail.bytes + 1 >= all.len().min(TAIL_BYTES));
            tail.cut(bytes);
            prop_assert_eq!(&*tail.text(), last(&all, tail.bytes));
            prop_assert!(tail.bytes <= bytes);
        }
    }
}
