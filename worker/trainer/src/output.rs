//! The only place that writes to stdout (results) and stderr (messages).

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use swath_model::terminal::{Escaping, shown};

use crate::failure::Failure;

/// Writes one JSON line to stdout and flushes it, since a reader at the other
/// end of the pipe must see every line at once.
///
/// # Errors
///
/// [`Failure::Crashed`] where stdout is closed.
pub(crate) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value)
        .map_err(|error| Failure::Crashed(format!("a result is not JSON: {error}")))?;
    line.push('\n');
    text(&line)
}

/// Writes text to stdout and flushes it. On a terminal, what acts on it is written out.
///
/// # Errors
///
/// [`Failure::Crashed`] where stdout is closed.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    if cfg!(test) {
        captured(text);
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        stdout.write_all(shown(text, false).as_bytes())?;
    } else {
        stdout.write_all(text.as_bytes())?;
    }
    stdout.flush()?;
    Ok(())
}

/// In unit tests results go where the test harness captures them.
#[expect(clippy::print_stdout, reason = "the harness captures nothing else")]
fn captured(text: &str) {
    print!("{text}");
}

/// Writes a message to stderr. A closed stderr is no reason to stop.
pub(crate) fn message(text: &str) {
    let _unheard = writeln!(Escaping::new(io::stderr().lock(), false), "trainer: {text}");
}

/// Writes help to stdout, or what is wrong with a command line to stderr.
pub(crate) fn usage(error: &clap::Error) {
    let text = error.render().to_string();
    let _unheard = if error.use_stderr() {
        Escaping::new(io::stderr(), false).write_all(text.as_bytes())
    } else {
        Escaping::new(io::stdout(), false).write_all(text.as_bytes())
    };
}
