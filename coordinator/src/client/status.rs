//! `status`: how sweeps and workers are doing, once or live.

use swath_coordinator::api::{ReadQuery, Status};
use swath_report::Format;

use super::connection::Connection;
use super::exit::Exit;
use super::failure::Outcome;
use super::printer::Printer;
use super::read::{hide_archived, json};
use super::render;
use super::wait::{Feed, Interrupts, Stall, Update, away, back};
use crate::cli;
use crate::settings::Context;

pub(crate) async fn status(context: &Context, arguments: cli::Status) -> Outcome {
    let mut interrupts = Interrupts::listen(arguments.watch)?;
    let mut connection = if arguments.watch {
        let asked = &context.asked;
        let instead = format!(
            "`coordinator status{asked}` shows how things are, \
             `coordinator run SWEEP{asked}` trains"
        );
        Connection::open_to_stay(context, "nothing would change", &instead).await?
    } else {
        Connection::open(context).await?
    };
    let named = !arguments.selector.is_empty();
    let all = named || arguments.all || context.format == Format::Wide;
    let archived = named || arguments.all;
    if arguments.watch {
        return watch(
            context,
            connection,
            arguments.selector,
            Shown { all, archived },
            &mut interrupts,
        )
        .await;
    }
    let query = ReadQuery::Status {
        selector: arguments.selector,
    };
    let mut document: Status = connection.read(&query).await?;
    connection.close().await?;
    if !archived {
        hide_archived(context, &mut document.sweeps);
    }
    context.printer.data(&text(context, &document, &[], all)?)?;
    Ok(Exit::Ok)
}

/// Which sweeps are shown.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// However many are over.
    all: bool,
    /// Archived ones too.
    archived: bool,
}

/// One document in the format that was asked for; on a screen also what keeps
/// sweeps from moving.
fn text(context: &Context, document: &Status, stalls: &[Stall], all: bool) -> Outcome<String> {
    if let Some(text) = json(context, document)? {
        return Ok(text);
    }
    Ok(match context.format {
        Format::Table | Format::Wide => {
            let screen = render::status::screen(document, all, &context.asked, &context.style);
            let stalls: String = stalls.iter().map(|it| it.line() + "\n").collect();
            let gap = if stalls.is_empty() { "" } else { "\n" };
            screen + gap + &stalls
        }
        format => render::sweeps::listing(&document.sweeps).render(format, &context.style),
    })
}

async fn watch(
    context: &Context,
    mut connection: Connection,
    selector: Vec<String>,
    shown: Shown,
    interrupts: &mut Interrupts,
) -> Outcome {
    let mut feed = Feed::new(selector);
    let mut screen = Screen {
        live: Printer::is_terminal() && context.format.is_for_terminals(),
        last: String::new(),
    };
    loop {
        let update = tokio::select! {
            () = interrupts.next() => break,
            update = feed.next(&mut connection) => update?,
        };
        match update {
            Update::Status {
                mut status,
                stalls,
                back: is_back,
            } => {
                if is_back {
                    screen.leave();
                    context.printer.note(back(&connection));
                }
                if !shown.archived {
                    status.sweeps.retain(|sweep| !sweep.label.archived);
                }
                let text = text(context, &status, &stalls, shown.all)?;
                if screen.is_other(&text) {
                    if screen.live {
                        context.printer.redraw(&text)?;
                    } else {
                        context.printer.data(&text)?;
                    }
                }
            }
            Update::Lost(failure) => {
                screen.leave();
                context.printer.warn(away(&connection, &failure));
            }
        }
    }
    connection.close().await?;
    context.printer.note("the work goes on");
    Ok(Exit::Interrupted)
}

/// What is on the screen now, to be drawn over.
#[derive(Debug)]
struct Screen {
    live: bool,
    last: String,
}

impl Screen {
    /// Whether `text` is another one than what is on the screen; it is from now on.
    fn is_other(&mut self, text: &str) -> bool {
        let is_other = text != self.last;
        text.clone_into(&mut self.last);
        is_other
    }

    /// Forces the next text to be drawn even if it is the same: other lines
    /// came between.
    fn leave(&mut self) {
        self.last.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_is_drawn_where_it_is_another() {
        let last = String::new();
        let mut screen = Screen { live: true, last };
        assert!(screen.is_other("a\nb\n"));
        assert!(!screen.is_other("a\nb\n"));
        screen.leave();
        assert!(screen.is_other("a\nb\n"));
    }
}
