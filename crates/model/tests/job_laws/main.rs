//! The laws of a job's life (I1 to I5), over random sequences of events and
//! over every order of events within small bounds.

mod exhaustive;
mod ghost;
mod random;

use swath_model::id::{Owner, SessionId};
use swath_model::outcome::{Fault, Measurement, Outcome};
use swath_model::policy::Policy;
use swath_model::time::Timestamp;

const START: Timestamp = Timestamp::from_ms(1_000_000);

fn policy() -> Policy {
    Policy {
        attempts_max: 3,
        charged_max: 2,
        workers_max: 2,
        ..Policy::default()
    }
}

fn owner(worker: u8, session: u64) -> Owner {
    let name = ["a", "b", "c"][worker as usize];
    Owner {
        worker: name.parse().unwrap(),
        session: SessionId(session),
    }
}

fn measured(test_error: f64) -> Outcome {
    Outcome::Measured(Measurement {
        train_seconds: 1.0,
        values: [("test_error", test_error)].into(),
        weights: None,
    })
}

fn failed(fault: Fault) -> Outcome {
    Outcome::Failed {
        fault,
        message: String::new(),
    }
}
