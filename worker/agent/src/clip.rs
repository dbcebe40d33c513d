//! Text of which the beginning and the end are kept when there is too much.

use swath_model::limits;

/// The most bytes kept of the beginning, and of the end. The reason of a failure
/// is at the end, what was asked for at the beginning.
pub(crate) const KEPT_BYTES: usize = 28 << 10;

// If nothing is left out between them, both are one chunk of a log.
const _: () = assert!(2 * KEPT_BYTES <= limits::LOG_CHUNK_BYTES);

/// Lines, of which the first and the last are kept, and those between counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clip {
    head: String,
    /// Bytes left out after the head.
    dropped: u64,
    tail: String,
}

impl Clip {
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.dropped == 0 && self.tail.is_empty()
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) {
        let kept = if self.dropped > 0 || !self.tail.is_empty() {
            0
        } else if self.head.len() + text.len() <= KEPT_BYTES {
            text.len()
        } else if self.head.is_empty() {
            first(text, KEPT_BYTES).len()
        } else {
            // A line is not cut where it can be kept whole.
            0
        };
        self.head.push_str(&text[..kept]);
        self.tail.push_str(&text[kept..]);
        if self.tail.len() > 2 * KEPT_BYTES {
            self.cut();
        }
    }

    /// Notes that bytes were left out here before they came.
    pub(crate) fn skip(&mut self, bytes: u64) {
        if bytes > 0 {
            self.dropped += self.tail.len() as u64 + bytes;
            self.tail.clear();
        }
    }

    /// Shortens the tail, to whole lines if it has several.
    fn cut(&mut self) {
        let excess = self.tail.len().saturating_sub(KEPT_BYTES);
        if excess == 0 {
            return;
        }
        let at = self.tail.ceil_char_boundary(excess);
        let line = self.tail[at..].find('\n').map(|end| at + end + 1);
        let at = line.filter(|line| *line < self.tail.len()).unwrap_or(at);
        self.tail.drain(..at);
        self.dropped += at as u64;
    }

    /// Takes the text: one piece, or two if something is left out between them.
    /// What is left out at the end is followed by an empty one.
    pub(crate) fn take(&mut self) -> Vec<Piece> {
        self.cut();
        let Self {
            mut head,
            dropped,
            tail,
        } = std::mem::take(self);
        if dropped == 0 {
            head.push_str(&tail);
        }
        let mut pieces = Vec::new();
        if !head.is_empty() {
            pieces.push(Piece {
                skipped: 0,
                text: head,
            });
        }
        if dropped > 0 {
            pieces.push(Piece {
                skipped: dropped,
                text: tail,
            });
        }
        pieces
    }
}

/// Text from which nothing is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Bytes left out before it.
    pub(crate) skipped: u64,
    pub(crate) text: String,
}

/// The first `bytes` bytes of `text`, cut between characters.
pub(crate) fn first(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The last `bytes` bytes of `text`, cut between characters.
pub(crate) fn last(text: &str, bytes: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_kept_as_it_is() {
        let mut clip = Clip::default();
        let line = "x".repeat(1023) + "\n";
        let all = line.repeat(2 * KEPT_BYTES / 1024);
        for _ in 0..2 * KEPT_BYTES / 1024 {
            clip.push(&line);
        }
        let piece = Piece {
            skipped: 0,
            text: all,
        };
        assert_eq!(clip.take(), [piece]);
        assert!(clip.is_empty());
    }

    #[test]
    fn the_middle_makes_room_in_whole_lines() {
        let mut clip = Clip::default();
        let line = |n: usize| format!("{n:04} {}\n", "x".repeat(994));
        for n in 0..1000 {
            clip.push(&line(n));
        }
        clip.push("ValueError: no luck\n");
        let pieces = clip.take();
        assert_eq!(pieces.len(), 2);
        assert!(pieces[0].text.starts_with("0000 ") && pieces[0].text.ends_with(&line(27)));
        assert_eq!(pieces[1].skipped, 944_000);
        assert!(pieces[1].text.starts_with("0972 "));
        assert!(pieces[1].text.ends_with("\nValueError: no luck\n"));
    }

    /// Pieces of text, and how many bytes were left out after each.
    fn any_pieces() -> impl Strategy<Value = Vec<(String, u64)>> {
        let piece = ("[ab\nä]{0,12}", 0..6000_usize);
        let piece = piece.prop_map(|(text, times)| text.repeat(times));
        let skipped = prop_oneof![4 => Just(0), 1 => 1..1000_u64];
        proptest::collection::vec((piece, skipped), 0..12)
    }

    proptest! {
        #[test]
        fn every_byte_is_kept_or_counted(pieces in any_pieces()) {
            let mut clip = Clip::default();
            for (text, skipped) in &pieces {
                clip.push(text);
                clip.skip(*skipped);
            }
            let all: String = pieces.iter().map(|(text, _)| text.as_str()).collect();
            let skipped: u64 = pieces.iter().map(|(_, skipped)| skipped).sum();
            let taken = clip.take();
            prop_assert!(clip.is_empty() && taken.len() <= 2);
            let told = taken.iter().map(|piece| piece.skipped + piece.text.len() as u64);
            prop_assert_eq!(told.sum::<u64>(), all.len() as u64 + skipped);
            if let Some(first) = taken.first().filter(|piece| piece.skipped == 0) {
                prop_assert!(all.starts_with(&first.text));
            }
            if let Some(last) = taken.last() {
                prop_assert!(all.ends_with(&last.text));
            }
            prop_assert!(taken.iter().all(|piece| piece.text.len() <= 2 * KEPT_BYTES));
        }
    }
}
