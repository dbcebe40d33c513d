//! How much of an attempt's log is kept: its beginning, where it says what it
//! does, and its end, where a failure is explained.

use swath_model::view::LogChunk;

/// Bytes of log text kept of the beginning of an attempt's log.
pub const LOG_HEAD_BYTES: usize = 64 << 10;

/// Bytes of log text kept of its end. The newest chunk always fits.
pub const LOG_TAIL_BYTES: usize = 128 << 10;

/// The last bytes of a chunk that may be kept, from a whole character on.
pub fn kept_text(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(LOG_TAIL_BYTES))..]
}

/// Chunks of a job's log in the order of their positions, each with its
/// sequence, with a line in place of those that had to make room.
pub fn with_gaps(chunks: impl IntoIterator<Item = (u64, LogChunk)>) -> Vec<LogChunk> {
    let mut before = None;
    let chunks = chunks.into_iter().map(|(end, mut chunk)| {
        let here = (chunk.attempt, chunk.position, end);
        let begin = end.saturating_sub(chunk.text.len() as u64);
        if let Some((attempt, position, end)) = before.replace(here)
            && attempt == chunk.attempt
            && position + 1 < chunk.position
        {
            let mark = match begin.saturating_sub(end) {
                // An older worker only counts its chunks.
                0 => "[... left out ...]\n".to_owned(),
                bytes => format!("[... {bytes} bytes left out ...]\n"),
            };
            chunk.text.insert_str(0, &mark);
        }
        chunk
    });
    chunks.collect()
}

#[cfg(test)]
mod tests {
    use swath_model::id::Attempt;

    use super::*;

    fn chunk(position: u64, attempt: u32, text: &str) -> LogChunk {
        LogChunk {
            position,
            attempt: Attempt(attempt),
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_gap_is_marked_and_counted() {
        let chunks = [
            (2, chunk(1, 1, "a\n")),
            (4, chunk(2, 1, "b\n")),
            (20, chunk(7, 1, "c\n")),
            (2, chunk(9, 2, "d\n")),
            (3, chunk(11, 2, "e\n")),
        ];
        let texts = with_gaps(chunks).into_iter().map(|chunk| chunk.text);
        let wanted = [
            "a\n",
            "b\n",
            "[... 14 bytes left out ...]\nc\n",
            "d\n",
            "[... left out ...]\ne\n",
        ];
        assert!(texts.eq(wanted));
    }

    #[test]
    fn what_is_kept_of_a_chunk_has_whole_characters() {
        let long = format!("{}x", "ä".repeat(LOG_TAIL_BYTES));
        assert_eq!(kept_text(&long).len(), LOG_TAIL_BYTES - 1);
        assert_eq!(kept_text("ä"), "ä");
    }
}
