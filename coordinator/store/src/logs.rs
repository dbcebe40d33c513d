//! How much of an attempt's log is kept: its beginning, where it says what it
//! does, and its end, where a failure is explained.

/// Bytes of log text kept of the beginning of an attempt's log.
pub const LOG_HEAD_BYTES: usize = 64 << 10;

/// Bytes of log text kept of its end. The newest chunk always fits.
pub const LOG_TAIL_BYTES: usize = 128 << 10;

/// The last bytes of a chunk that may be kept, from a whole character on.
pub fn kept_text(text: &str) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(LOG_TAIL_BYTES))..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_chunk_has_whole_characters() {
        let long = format!("{}x", "ä".repeat(LOG_TAIL_BYTES));
        assert_eq!(kept_text(&long).len(), LOG_TAIL_BYTES - 1);
        assert_eq!(kept_text("ä"), "ä");
    }
}
