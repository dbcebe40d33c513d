//! Values of parameters as files write them.

use serde_json::Value;

/// A value as a file writes it.
pub(super) struct Written<'a> {
    text: &'a str,
    number: Option<f64>,
}

impl<'a> Written<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            number: text.parse().ok(),
        }
    }

    /// Whether this is `value`. Numbers are equal to the twelve digits that the
    /// results of expressions have.
    pub(super) fn is(&self, value: &Value) -> bool {
        let text = self.text;
        match value {
            Value::Number(number) => {
                let (Some(value), Some(written)) = (number.as_f64(), self.number) else {
                    return false;
                };
                (value - written).abs() <= 1e-12 * value.abs()
            }
            Value::Bool(value) => text == if *value { "true" } else { "false" },
            Value::Null => text == "none",
            Value::String(value) => value == text,
            other => written(other) == text,
        }
    }
}

pub(super) fn written(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
