//! A program that never stops to talk.

use std::time::{Duration, Instant};

use crate::site::Site;
use crate::usage::peak_mb;

/// Prints half of the lines, its result, and the other half; meanwhile it writes
/// to stderr.
const SCRIPT: &str = "\
yes 'on stderr there is a line too' | head -c $2 >&2 &
yes 'nothing to see in this line' | head -n $(($1 / 2))
echo acc=0.75
yes 'nothing to see in this line' | head -n $(($1 / 2))
wait
";
const LINE: &str = "nothing to see in this line\n";
const RESULT: &str = "acc=0.75\n";
const PATIENCE: Duration = Duration::from_mins(15);

/// What became of it.
#[derive(Clone, Debug)]
pub struct Flood {
    /// What the program wrote.
    pub written_bytes: u64,
    /// What is left of that in the job's log.
    pub kept_bytes: u64,
    /// What the log says that it leaves out.
    pub left_out_bytes: u64,
    /// In how many places it says so.
    pub marks: u64,
    /// The number in the table.
    pub result: Option<f64>,
    /// The most memory of the worker, in megabytes.
    pub worker_mb: f64,
    /// The most memory of the coordinator, in megabytes.
    pub coordinator_mb: f64,
    /// From the submission to the end of the sweep.
    pub seconds: f64,
}

impl Flood {
    /// Whether every byte that was written is in the log or counted there. Before
    /// a mark, and at the end, the text of a log ends a line that is cut.
    pub fn is_accounted_for(&self) -> bool {
        let told = self.kept_bytes + self.left_out_bytes;
        (self.written_bytes..=self.written_bytes + self.marks + 1).contains(&told)
    }

    /// Runs a program that prints so many lines, an even number, and writes so
    /// many bytes to stderr.
    ///
    /// # Panics
    ///
    /// If it does not end, or ends with a failed job.
    pub fn run(lines: u64, stderr_bytes: u64) -> Self {
        let mut site = Site::new();
        let coordinator = site.serve();
        let worker = site.worker("w", 1, &["sh"]);
        site.write("flood.sh", SCRIPT);
        let text = format!(
            "[sweep]\nname = \"flood\"\nreplicates = 1\n[program]\nmetric = \"acc\"\n\
             command = [\"sh\", \"flood.sh\", \"{{lines}}\", \"{{bytes}}\"]\n\
             read = {{ stdout = 'acc=(?<acc>.*)' }}\n\
             [[grid]]\nlines = [{lines}]\nbytes = [{stderr_bytes}]\n"
        );
        site.write("flood.toml", &text);
        let started = Instant::now();
        let output = site.run_within(PATIENCE, &["submit", "flood.toml", "--wait"]);
        let seconds = started.elapsed().as_secs_f64();
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let worker_mb = peak_mb(worker.pid());
        // Whoever has waited for a job can read all of its log.
        let (kept_bytes, marks, left_out_bytes) = counted(&site.ok(&["logs", "flood"]));
        let table = site.json(&["table", "flood"]);
        Self {
            written_bytes: lines * LINE.len() as u64 + RESULT.len() as u64 + stderr_bytes,
            kept_bytes,
            left_out_bytes,
            marks,
            result: table["rows"][0]["median"].as_f64(),
            worker_mb,
            coordinator_mb: peak_mb(coordinator.pid()),
            seconds,
        }
    }
}

/// The bytes of a log without its marks, the number of marks, and what they
/// count.
fn counted(log: &str) -> (u64, u64, u64) {
    let (mut kept, mut marks, mut left_out) = (0, 0, 0);
    for line in log.split_inclusive('\n') {
        let mark = line.strip_prefix("[... ");
        let mark = mark.and_then(|rest| rest.strip_suffix(" bytes left out ...]\n"));
        match mark.and_then(|count| count.parse::<u64>().ok()) {
            Some(count) => {
                marks += 1;
                left_out += count;
            }
            None => kept += line.len() as u64,
        }
    }
    (kept, marks, left_out)
}
