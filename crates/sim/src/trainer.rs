//! What a trainer or a program does with one spec: what it writes, and how it
//! ends.

use serde_json::json;
use swath_agent::End;
use swath_model::message::Held;
use swath_model::outcome::{Fault, Observation, Provenance};
use swath_model::protocol::TrainerEvent;

use crate::cells::{METRIC, Planned};
use crate::chance::Chance;

/// What a child does, in milliseconds after it was given the spec.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) lines: Vec<(u64, String)>,
    /// How it ends; `None` if it waits for the next spec, or hangs.
    pub(crate) end: Option<(u64, End)>,
}

impl Script {
    /// The host lacks the data.
    pub(crate) fn of_a_lack() -> Self {
        let failed = TrainerEvent::Failed {
            lacks: Some("the images".to_owned()),
            fault: Fault::Invalid,
            message: "no images".to_owned(),
        };
        Self {
            lines: vec![(10, started()), (20, line(&failed))],
            end: None,
        }
    }
}

/// One execution of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Execution {
    pub(crate) planned: Planned,
    /// What it measures if it gets that far. No two executions measure the
    /// same.
    pub(crate) error: f64,
    /// How many epochs it reports.
    pub(crate) epochs: u32,
    pub(crate) begun: u64,
    /// The attempt that it belongs to, as far as is known.
    pub(crate) held: Option<Held>,
    takes_ms: u64,
}

impl Execution {
    /// The execution with this number in the run.
    pub(crate) fn new(chance: &mut Chance, planned: Planned, number: usize, begun: u64) -> Self {
        let noise = chance.within(0..500) as f64 / 100.0;
        // Some cells are alike and some are not, so that results decide about
        // both.
        let level = f64::from(planned.cell / 3 * 4);
        Self {
            planned,
            error: level + noise + number as f64 * 1e-6,
            epochs: chance.within(0..4) as u32,
            begun,
            held: None,
            takes_ms: chance.within(5_000..480_000),
        }
    }

    /// A share of `failing` ends with a fault of any kind.
    pub(crate) fn script(&self, chance: &mut Chance, serves: bool, failing: f64) -> Script {
        let mut lines = vec![(10, started())];
        let steps = u64::from(self.epochs) + 1;
        for epoch in 1..=self.epochs {
            let after = self.takes_ms * u64::from(epoch) / steps;
            lines.push((after, self.epoch(epoch)));
        }
        let after = self.takes_ms;
        let exit = |code| Some((after + 20, End::Exit(code)));
        if !chance.happens(failing) {
            lines.push((after, finished(Some(self.error))));
            let end = if serves { None } else { exit(0) };
            return Script { lines, end };
        }
        let end = match chance.within(0..9) {
            0..4 => {
                lines.push((after, fault(chance)));
                if serves { None } else { exit(1) }
            }
            4 => {
                lines.push((after, finished(None)));
                if serves { None } else { exit(0) }
            }
            5 => {
                lines.push((after, r#"{"event":"fini"#.to_owned()));
                exit(0)
            }
            6 => exit(*chance.one_of(&[0, 1, 10, 11, 12, 75, 137])),
            7 => {
                let oom = chance.happens(0.5);
                Some((after, End::Signal { signal: 9, oom }))
            }
            // The child hangs.
            _ => None,
        };
        Script { lines, end }
    }

    fn epoch(&self, epoch: u32) -> String {
        line(&TrainerEvent::Epoch(Observation {
            epoch,
            step: u64::from(epoch) * 100,
            values: [("test_error", self.error + f64::from(self.epochs - epoch))].into(),
            ..Observation::default()
        }))
    }
}

/// A trainer and a program each report it in their own way.
fn finished(error: Option<f64>) -> String {
    json!({ "event": "finished", "test_error": error, METRIC: error, "train_seconds": 1.0 })
        .to_string()
}

pub(crate) fn ready() -> String {
    line(&TrainerEvent::Ready {
        provenance: Provenance::default(),
    })
}

fn started() -> String {
    line(&TrainerEvent::Started {
        provenance: Provenance::default(),
        total_steps: 0,
        total_epochs: 0,
        step: 0,
    })
}

/// There are few different messages, so that sweeps fail alike.
fn fault(chance: &mut Chance) -> String {
    let message = *chance.one_of(&["no data", "out of luck"]);
    line(&TrainerEvent::Failed {
        lacks: None,
        fault: *chance.one_of(&Fault::ALL),
        message: message.to_owned(),
    })
}

fn line(event: &TrainerEvent) -> String {
    serde_json::to_string(event).expect("an event has a text")
}
