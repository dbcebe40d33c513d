//! What a job needs of the worker that runs it, and what a worker lacks of that.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::spec::{JobSpec, Work};
use crate::view::WorkerAbout;

/// What a job needs of its worker. Jobs of one cell need the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Needs {
    /// The program to run; absent for the built-in trainer, which every worker
    /// has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

/// What a worker lacks that a job needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "lack", rename_all = "snake_case")]
pub enum Lack {
    /// It may not run the program.
    Program {
        /// The program.
        program: String,
    },
}

impl Needs {
    /// What a job with this spec needs.
    pub fn of(spec: &JobSpec) -> Self {
        Self {
            program: match spec.work() {
                Work::Command(command) => command.argv.first().cloned(),
                Work::Training(_) | Work::Null => None,
            },
        }
    }

    /// The first thing that a worker lacks of it; none if it can run the job.
    pub fn lacking(&self, offer: &WorkerAbout) -> Option<Lack> {
        let program = self.program.as_ref()?;
        (!offer.programs.contains(program)).then(|| Lack::Program {
            program: program.clone(),
        })
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program { program } => write!(
                f,
                "no active worker may run `{program}`; start one with `--allow-command {program}`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_program_runs_where_it_is_allowed_and_the_trainer_everywhere() {
        let spec = json!({"trainer": {"command": ["python3", "train.py"]}});
        let program = Needs::of(&JobSpec::from_value(&spec).unwrap());
        let mut worker = WorkerAbout::default();
        let lack = Lack::Program {
            program: "python3".to_owned(),
        };
        assert_eq!(program.lacking(&worker), Some(lack));
        worker.programs.push("python3".to_owned());
        assert_eq!(program.lacking(&worker), None);
        assert_eq!(Needs::default().lacking(&WorkerAbout::default()), None);
    }
}
