//! How far a coordinator has come with storing a large sweep.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use swath_coordinator::api::{ReadQuery, StoringSweep};
use swath_model::message::Storing;
use swath_proto::v1::ReadRequest;
use swath_report::count;

use super::connection::{Client, timed};
use super::printer::Printer;

/// How often the coordinator is asked.
const LOOK: Duration = Duration::from_secs(1);
/// How often a line is printed where there is no terminal.
const TELL: Duration = Duration::from_secs(10);

/// Shows what the coordinator is storing, until it is dropped. A sweep that waits
/// for its turn shows the one before it.
pub(super) async fn show(mut client: Client, printer: Printer) -> Infallible {
    let mut shown = Shown {
        printer,
        bar: printer.spinner(),
        told: Instant::now(),
    };
    loop {
        tokio::time::sleep(LOOK).await;
        // The submit itself says what is wrong with the coordinator.
        if let Some(storing) = storing(&mut client).await {
            shown.tell(&storing);
        }
    }
}

async fn storing(client: &mut Client) -> Option<Storing> {
    let query = serde_json::to_string(&ReadQuery::Storing).ok()?;
    let reply = client.read(timed(ReadRequest { query })).await.ok()?;
    let document: StoringSweep = serde_json::from_str(&reply.into_inner().document).ok()?;
    document.storing
}

struct Shown {
    printer: Printer,
    bar: Option<ProgressBar>,
    told: Instant,
}

impl Shown {
    fn tell(&mut self, storing: &Storing) {
        let line = line(storing);
        if let Some(bar) = &self.bar {
            bar.set_message(line);
            bar.tick();
        } else if self.told.elapsed() >= TELL {
            self.told = Instant::now();
            self.printer.note(line);
        }
    }
}

fn line(storing: &Storing) -> String {
    format!(
        "{}: stored {} of {} jobs",
        storing.name,
        count(storing.stored),
        count(storing.jobs)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_sweep_and_how_far_it_is() {
        let storing = Storing {
            sweep: swath_model::id::SweepDigest::from_bytes([1; 32]),
            name: "seeds".to_owned(),
            stored: 340_000,
            jobs: 1_000_000,
        };
        assert_eq!(line(&storing), "seeds: stored 340,000 of 1,000,000 jobs");
    }
}
