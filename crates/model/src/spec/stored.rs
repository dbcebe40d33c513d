//! Specs as a store returns them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::limits::LEVELS_MAX;

/// Why the spec of a stored cell cannot be read. A submit refuses such specs, so
/// the row was damaged, or written by a version that did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Unreadable {
    /// It is not JSON.
    #[error("its spec is not JSON")]
    NotJson,
    /// It is nested deeper than [`LEVELS_MAX`], so who reads a document with it
    /// could not.
    #[error("its spec is nested deeper than {LEVELS_MAX} levels")]
    TooDeep,
}

/// The spec of a cell from the text that is stored.
///
/// # Errors
///
/// When no reader could take it.
pub fn read_stored(text: &str) -> Result<Value, Unreadable> {
    if levels(text) > LEVELS_MAX {
        return Err(Unreadable::TooDeep);
    }
    serde_json::from_str(text).map_err(|_| Unreadable::NotJson)
}

/// How many lists and tables of a JSON text are open at once at most.
fn levels(text: &str) -> usize {
    let (mut open, mut most) = (0_usize, 0);
    let mut bytes = text.bytes();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quoted => drop(bytes.next()),
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                open += 1;
                most = most.max(open);
            }
            b']' | b'}' if !quoted => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_spec_is_read_or_it_is_said_why_not() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        let within = format!("{{\"a\":{}}}", nested(LEVELS_MAX - 1));
        assert!(read_stored(&within).unwrap().is_object());
        for levels in [LEVELS_MAX, 100, 127, 130, 300, 100_000] {
            let text = format!("{{\"a\":{}}}", nested(levels));
            assert_eq!(read_stored(&text), Err(Unreadable::TooDeep));
        }
        let brackets = "[{\\\"".repeat(1000);
        let quoted = format!("{{\"a\":\"{brackets}\"}}");
        assert!(read_stored(&quoted).unwrap()["a"].is_string());
        assert_eq!(read_stored("{\"a\":"), Err(Unreadable::NotJson));
        assert_eq!(read_stored("7"), Ok(json!(7)));
    }
}
