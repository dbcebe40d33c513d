//! The only way to print: data to stdout, everything else to stderr. What comes from
//! elsewhere may be in all of it, so nothing else writes to them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic;

use anstream::{AutoStream, ColorChoice};
use clap::builder::styling::{AnsiColor, Style as Paint};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::fd::AsFd;
use swath_model::terminal::{Escaping, shown};
use swath_report::{Format, Style};

use crate::cli::Color;

/// How much is printed, and whether in colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    color: ColorChoice,
    quiet: bool,
    /// Whether what goes to stdout is for programs: in a pipe it stays as it is.
    exact: bool,
}

/// Clears a terminal: goes to the upper left first, because counting lines back would
/// fail where the terminal wraps them.
const CLEAR: &str = "\x1b[H\x1b[2J";

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
        Self {
            color,
            quiet,
            exact: false,
        }
    }

    /// Prints data in this format.
    pub(crate) const fn of(self, format: Format) -> Self {
        Self {
            exact: !format.is_for_terminals(),
            ..self
        }
    }

    /// Prints data as they are, also to a terminal.
    pub(crate) fn raw() -> impl Write + Send {
        io::stdout()
    }

    /// Where data goes, buffered; flush it. Colour is removed where it is not
    /// wanted, and what acts on a terminal is written out.
    pub(crate) fn stdout(self) -> Box<dyn Write + Send> {
        let stdout = io::stdout();
        if self.exact && !stdout.is_terminal() {
            return Box::new(io::BufWriter::new(stdout));
        }
        let stdout = AutoStream::new(stdout, self.color);
        let styled = stdout.current_choice() != ColorChoice::Never;
        Box::new(Escaping::new(io::BufWriter::new(stdout), styled))
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

    /// Prints data in place of all that is on the terminal.
    pub(crate) fn redraw(self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout();
        stdout.write_all(CLEAR.as_bytes())?;
        stdout.flush()?;
        self.data(text)
    }

    /// Prints a question, after which the cursor stays.
    pub(crate) fn ask(question: &str) -> io::Result<()> {
        let mut stderr = io::stderr();
        stderr.write_all(shown(question, false).as_bytes())?;
        stderr.flush()
    }

    /// Whether a person can be asked.
    pub(crate) fn can_ask() -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Prints help, or what is wrong with a command line.
    pub(crate) fn usage(error: &clap::Error) {
        let text = error.render().ansi().to_string();
        // A closed pipe is not an error.
        let _unheard = if error.use_stderr() {
            Escaping::new(AutoStream::auto(io::stderr()), true).write_all(text.as_bytes())
        } else {
            Escaping::new(AutoStream::auto(io::stdout()), true).write_all(text.as_bytes())
        };
    }

    /// Tells of panics, whose messages may quote anything.
    pub(crate) fn tell_panics() {
        panic::set_hook(Box::new(|panic| {
            let mut stderr = Escaping::new(io::stderr(), false);
            let _unheard = writeln!(stderr, "{panic}");
            let trace = Backtrace::capture();
            if trace.status() == BacktraceStatus::Captured {
                let _unheard = writeln!(stderr, "{trace}");
            }
        }));
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

    /// A line on a terminal whose message says how far something is; none where
    /// nobody would see progress.
    pub(crate) fn spinner(self) -> Option<ProgressBar> {
        let style = self.progress_style()?;
        let bar = ProgressBar::new_spinner();
        if let Ok(template) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(if style.unicode {
                template
            } else {
                template.tick_chars("|/-\\ ")
            });
        }
        Some(bar)
    }

    fn labelled(self, label: &str, style: Paint, text: &str) {
        self.write(&format!("{style}{label}{style:#}: {}", shown(text, false)));
    }

    /// Prints a line for people.
    fn line(self, text: &str) {
        self.write(&shown(text, false));
    }

    /// Prints a line in which nothing acts on a terminal. If stderr is closed, nobody
    /// can be told.
    fn write(self, text: &str) {
        let mut stderr = AutoStream::new(io::stderr(), self.color);
        let _unheard = writeln!(stderr, "{text}");
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
