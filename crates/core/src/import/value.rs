//! Values of parameters as files write them.

use serde_json::Value;

use crate::suggest::nearest;

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

    /// Whether this is `value`. Numbers are compared to twelve digits, as many
    /// as results of expressions have.
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

pub(crate) fn nearest_value(text: &str, values: &[String]) -> String {
    let as_number = |text: &str| text.parse::<f64>().ok();
    let near = match as_number(text) {
        Some(number) => {
            let far = |value: &&String| {
                as_number(value).map_or(f64::INFINITY, |value| (value - number).abs())
            };
            let nearest = values.iter().min_by(|a, b| far(a).total_cmp(&far(b)));
            nearest.map(String::as_str)
        }
        None => nearest(text, values.iter().map(String::as_str)),
    };
    let all = listed(values.iter().map(String::as_str), 8);
    match near {
        Some(near) if values.len() > 1 => format!("the nearest is `{near}` of {all}"),
        _ => format!("it has {all}"),
    }
}

/// A list of names, each once, at most `most` of them.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>, most: usize) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
        if seen.len() > most {
            break;
        }
    }
    let more = seen.len() > most;
    seen.truncate(most);
    let text: Vec<String> = seen.iter().map(|name| format!("`{name}`")).collect();
    format!("{}{}", text.join(", "), if more { " …" } else { "" })
}
