//! How large specs are.

use serde_json::Value;

use super::SpecError;
use crate::limits::{LEVELS_MAX, SPEC_BYTES_MAX, SPEC_VALUES_MAX};

/// What a value takes in memory besides its text, in bytes.
const VALUE_BYTES: usize = 100;

/// Checks the levels and values of a spec, or of a part of one.
///
/// # Errors
///
/// The key under which there are too many.
pub fn check_size(tree: &Value) -> Result<(), SpecError> {
    let entries = || tree.as_object().into_iter().flatten();
    let mut deep = entries().filter(|(_, value)| is_deeper(value, LEVELS_MAX - 1));
    if let Some((key, _)) = deep.next() {
        return Err(SpecError::new(key.as_str(), too_deep()));
    }
    match values(tree) {
        count if count > SPEC_VALUES_MAX => {
            let message = format!("a job has {count} values; at most {SPEC_VALUES_MAX}");
            Err(SpecError::new(largest(tree), message))
        }
        _ => Ok(()),
    }
}

/// What is wrong with the length of a spec's canonical text, if something is.
pub fn too_long(tree: &Value, text: &str) -> Option<SpecError> {
    let bytes = text.len();
    (bytes > SPEC_BYTES_MAX).then(|| {
        let message = format!("the spec of a job has {bytes} bytes; at most {SPEC_BYTES_MAX}");
        SpecError::new(largest(tree), message)
    })
}

/// What is wrong with a key under which a spec has more levels than
/// [`LEVELS_MAX`].
pub fn too_deep() -> String {
    format!("is nested deeper than {LEVELS_MAX} levels; make one name of several")
}

/// How many values a tree has, its tables and lists among them.
pub fn values(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Object(entries) => entries.values().map(values).sum(),
        _ => 0_usize,
    }
}

/// About how many bytes a tree takes in memory.
pub fn weight(tree: &Value) -> usize {
    VALUE_BYTES
        + match tree {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(weight).sum(),
            Value::Object(entries) => {
                let entries = entries.iter();
                entries
                    .map(|(name, value)| name.len() + weight(value))
                    .sum()
            }
            _ => 0,
        }
}

/// The key that takes most of a spec.
fn largest(tree: &Value) -> &str {
    let entries = tree.as_object().into_iter().flatten();
    let largest = entries.max_by_key(|(_, value)| weight(value));
    largest.map_or("", |(key, _)| key.as_str())
}

/// Whether a value has more levels of lists and tables than `most`.
fn is_deeper(value: &Value, most: usize) -> bool {
    let is_deep = |inner: &Value| is_deeper(inner, most - 1);
    match value {
        Value::Array(items) => most == 0 || items.iter().any(is_deep),
        Value::Object(entries) => most == 0 || entries.values().any(is_deep),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::JobSpec;

    #[test]
    fn a_spec_has_so_many_values_and_no_more() {
        let spec = |count: usize| {
            let params = json!({"a": vec![0; count], "b": 1});
            JobSpec::from_value(&json!({"trainer": {"null": true}, "params": params}))
        };
        // Two tables, the list and two values beside it, and the whole.
        assert!(spec(SPEC_VALUES_MAX - 6).is_ok());
        let wrong = spec(SPEC_VALUES_MAX - 5).unwrap_err().remove(0);
        assert_eq!(
            wrong.to_string(),
            "`params`: a job has 20001 values; at most 20000"
        );
    }

    #[test]
    fn the_key_of_a_long_text_is_told() {
        let tree = json!({"params": {"a": "x"}, "trainer": {"command": ["x".repeat(1 << 20)]}});
        let text = crate::spec::canonical(&tree);
        let wrong = too_long(&tree, &text).unwrap();
        assert_eq!(wrong.key, "trainer");
        assert_eq!(too_long(&tree, &text[..SPEC_BYTES_MAX]), None);
    }
}
