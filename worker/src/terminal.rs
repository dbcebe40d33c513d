//! The only way to print: help to stdout, everything else to stderr. What comes from
//! elsewhere may be in all of it, so nothing else writes to them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic;

use swath_model::terminal::Escaping;

/// Says a word of the process, whatever is logged. If stderr is closed or on a full
/// disk, nobody can be told.
pub fn say(text: &str) {
    let _unheard = writeln!(Escaping::new(io::stderr(), false), "{text}");
}

/// Prints help, or what is wrong with a command line.
pub fn usage(error: &clap::Error) {
    let to_stderr = error.use_stderr();
    let styled = if to_stderr {
        io::stderr().is_terminal()
    } else {
        io::stdout().is_terminal()
    };
    let text = error.render();
    let text = if styled {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let _unheard = if to_stderr {
        Escaping::new(io::stderr(), styled).write_all(text.as_bytes())
    } else {
        Escaping::new(io::stdout(), styled).write_all(text.as_bytes())
    };
}

/// Tells of panics, whose messages may quote anything.
pub fn tell_panics() {
    panic::set_hook(Box::new(|panic| {
        say(&panic.to_string());
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            say(&trace.to_string());
        }
    }));
}
