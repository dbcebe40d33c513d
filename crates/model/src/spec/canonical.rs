//! One byte string per meaning, in whatever way it was written.

use std::fmt::Write;

use serde_json::{Number, Value};

/// `value` as canonical JSON: keys sorted by byte, no white space, numbers with
/// a fraction as the shortest decimal that reads back as the same double.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_value(value, &mut out);
    out
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_value(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write_value(value, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    let _ = write!(out, "{}", Value::String(text.to_owned()));
}

/// A number as text: `1e-4` and `0.0001` give the same. `1.0` and `1` do not:
/// to some programs they are of different kinds.
pub fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            // Negative zero is zero.
            let float = if float == 0.0 { 0.0 } else { float };
            let point = if has_no_fraction(float) { ".0" } else { "" };
            format!("{float}{point}")
        }
        _ => number.to_string(),
    }
}

/// Whether an integer could stand in place of it. Greater numbers never had a
/// point, so cells keep their names.
pub(crate) fn has_no_fraction(float: f64) -> bool {
    float.fract() == 0.0 && float.abs() < 9e15
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_meanings_have_equal_bytes() {
        let text = canonical(&json!({"b": 1e-4, "a": [1.0, 1, -0.0, "x\n"]}));
        assert_eq!(text, r#"{"a":[1.0,1,0.0,"x\n"],"b":0.0001}"#);
        assert_eq!(canonical(&json!(0.0001)), canonical(&json!(1e-4)));
        assert_ne!(canonical(&json!(0.006_125)), canonical(&json!(0.00625)));
    }
}
