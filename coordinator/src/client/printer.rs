//! The only way to print: data to stdout, everything else to stderr.

use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style as Paint};
use rustix::fd::AsFd;
use swath_report::Style;

use crate::cli::Color;

/// How much is printed, and whether in colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    color: ColorChoice,
    quiet: bool,
}

const YELLOW: Paint = AnsiColor::Yellow.on_default().bold();
const RED: Paint = AnsiColor::Red.on_default().bold();
const CYAN: Paint = AnsiColor::Cyan.on_default();

impl Printer {
    pub(crate) const fn new(color: Color, quiet: bool) -> Self {
        let color = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self { color, quiet }
    }

    /// Where data goes, buffered; flush it. Colour is removed where it is not
    /// wanted.
    pub(crate) fn stdout(self) -> impl Write + Send {
        io::BufWriter::new(AutoStream::new(io::stdout(), self.color))
    }

    /// Prints data, with a newline at its end.
    pub(crate) fn data(self, text: &str) -> io::Result<()> {
        let mut stdout = self.stdout();
        stdout.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    }

    /// Prints data that moves the cursor, unchanged.
    pub(crate) fn draw(text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// Whether a person reads stdout.
    pub(crate) fn is_terminal() -> bool {
        io::stdout().is_terminal()
    }

    /// Prints what was done or what could be done next. `--quiet` hides it.
    pub(crate) fn note(self, text: impl AsRef<str>) {
        if !self.quiet {
            self.line(text.as_ref());
        }
    }

    /// Prints what scripts wait for on stderr. `--quiet` does not hide it.
    pub(crate) fn say(self, text: impl AsRef<str>) {
        self.line(text.as_ref());
    }

    /// Prints a warning.
    pub(crate) fn warn(self, text: impl AsRef<str>) {
        self.labelled("warning", YELLOW, text.as_ref());
    }

    /// Prints what went wrong, then what to do.
    pub(crate) fn error(self, lines: &[String]) {
        let mut lines = lines.iter();
        if let Some(first) = lines.next() {
            self.labelled("error", RED, first);
        }
        for line in lines {
            self.line(&format!("       {line}"));
        }
    }

    /// Prints what to type next.
    pub(crate) fn hint(self, text: impl AsRef<str>) {
        if !self.quiet {
            self.labelled("next", CYAN, text.as_ref());
        }
    }

    /// What the terminal behind stdout can show.
    pub(crate) fn style(self) -> Style {
        let stdout = io::stdout();
        let width = stdout.is_terminal().then(|| columns(&stdout));
        Style {
            color: AutoStream::new(stdout, self.color).current_choice() != ColorChoice::Never,
            width: width.flatten(),
            unicode: width.is_none() || speaks_utf8(),
        }
    }

    /// What the terminal behind stderr can show; none where nobody would see
    /// progress.
    pub(crate) fn progress_style(self) -> Option<Style> {
        let stderr = io::stderr();
        (!self.quiet && stderr.is_terminal()).then(|| Style {
            color: AutoStream::new(io::stderr(), self.color).current_choice() != ColorChoice::Never,
            width: columns(&stderr),
            unicode: speaks_utf8(),
        })
    }

    fn labelled(self, label: &str, style: Paint, text: &str) {
        self.line(&format!("{style}{label}{style:#}: {text}"));
    }

    /// Prints a line for people. If stderr is closed, nobody can be told.
    fn line(self, text: &str) {
        let mut stderr = AutoStream::new(io::stderr(), self.color);
        let _ = writeln!(stderr, "{text}");
    }
}

/// The width of a terminal; one column less, so that no line touches its edge.
fn columns(terminal: &impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(terminal).ok()?;
    (size.ws_col > 1).then(|| usize::from(size.ws_col) - 1)
}

/// Whether the locale's character set is larger than ASCII.
fn speaks_utf8() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    locale.is_some_and(|value| {
        let value = value.to_string_lossy().to_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
}
