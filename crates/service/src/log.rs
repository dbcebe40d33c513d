//! What a service logs: one line for each event, on stderr.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use swath_model::terminal::shown;
use swath_model::text::visible;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object per line, for programs
    Json,
}

/// Logs to stderr what passes `filter`, from now on. `modules` says whether lines for people
/// name the module that they come from; those for programs always do.
///
/// # Errors
///
/// When the filter is none.
pub fn start(filter: &str, format: LogFormat, modules: bool) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let styled = format == LogFormat::Text && io::stderr().is_terminal();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Line {
            inner: io::stderr(),
            format,
            styled,
        })
        .with_ansi(styled)
        // It would panic where stderr is a file on a full disk.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log.with_target(modules).init(),
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .init(),
    }
    Ok(())
}

/// Writes events, each of which comes in one piece, as one line each: what a message quotes
/// begins no line of its own, and acts on no terminal.
struct Line<W> {
    inner: W,
    format: LogFormat,
    styled: bool,
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = match self.format {
            LogFormat::Text => shown(&text.replace('\n', "\\n"), self.styled).into_owned(),
            LogFormat::Json => in_json(text),
        };
        line.push('\n');
        self.inner.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A JSON document, whose control characters are escaped already, with whatever else acts on
/// a terminal escaped too. Such characters are in its strings only.
fn in_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        let mut one = [0; 4];
        let one: &str = char.encode_utf8(&mut one);
        if visible(one) == one {
            out.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: LogFormat, event: &str) -> String {
        let mut line = Line {
            inner: Vec::new(),
            format,
            styled: false,
        };
        line.write_all(event.as_bytes()).unwrap();
        String::from_utf8(line.inner).unwrap()
    }

    #[test]
    fn an_event_is_one_line_that_paints_nothing() {
        let text = written(LogFormat::Text, "a\nINFO forged \u{1b}[2J\u{9b}1m\n");
        assert_eq!(text, "a\\nINFO forged \\u{1b}[2J\\u{9b}1m\n");
        let json = written(LogFormat::Json, "{\"why\":\"\\u001b \u{9b} \u{202e} ü\"}\n");
        assert_eq!(json, "{\"why\":\"\\u001b \\u009b \\u202e ü\"}\n");
    }
}
