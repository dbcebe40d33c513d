//! What a queue costs by its length: time per job, and memory.
//!
//! For each length a coordinator of its own has so many jobs waiting. They are worked in turn, round by round, so that
//! whatever else the machine does hits all of them alike: each round submits a small sweep, unmeasured, and then takes
//! and finishes as many jobs as it has from the front of the queue, so the length stays as it is. Rounds differ in size:
//! the database cleans up after itself now and then, and in equal rounds that would always fall into the same part of one.

use std::time::Instant;

use swath_e2e::usage::{processor_seconds, resident_mb};
use swath_e2e::{Process, Random, Site, SweepText};
use tokio::runtime::Runtime;

use crate::stub::{Stub, client, runtime};
use crate::text::{Checked, Figure, progress};

const REPLICATES: u32 = 5;
/// The shortest queue; each further one is ten times as long.
const SHORTEST: u32 = 1_000;
/// The most jobs of one of the sweeps that fill a queue.
const SWEEP: u32 = 100_000;
const ROUNDS: usize = 60;
/// Rounds before those that count.
const WARM: usize = 5;
/// Exchanges of a round, at least, and so many more at most.
const TURNS: (u32, u32) = (3, 4);
/// Workers that take turns, each with one exchange: so every exchange is one commit, at every length.
const WORKERS: u32 = 4;
/// Jobs that an exchange finishes, and as many that it takes: so many that a sync of the disk is a small part of each. A
/// sweep can have any multiple of 100.
const BATCH: u32 = 200;
/// How far the cost at a length may be from the mean of all, in percent.
const FLAT: f64 = 10.0;
/// Sizes of a coordinator with so many open jobs: at most so many megabytes.
const SMALL: (u32, f64) = (65_100, 120.0);
const LARGE: (u32, f64) = (1_000_000, 400.0);

/// A coordinator with a queue that stays as long as it is.
struct Queue {
    length: u32,
    site: Site,
    coordinator: Process,
    stubs: Vec<Stub>,
    sweeps: u32,
    /// Microseconds per job of each round.
    wall: Vec<f64>,
    /// Seconds of the coordinator's processor in all rounds, and their jobs.
    processor: f64,
    jobs: u32,
}

/// Everything about queues of up to so many jobs.
pub(crate) fn measure(longest: u32) -> Vec<Figure> {
    let mut figures = Vec::new();
    memory(SMALL, &mut figures);
    if let Err(why) = costs(longest, &mut figures) {
        figures.push(Figure::failed("cost of a null job by the queue", why));
    }
    figures
}

/// The size of a coordinator that has taken so many jobs, and after a restart.
fn memory((jobs, goal): (u32, f64), figures: &mut Vec<Figure>) {
    progress(&format!("memory of {jobs} open jobs"));
    let mut queue = Queue::new(jobs);
    queue.fill(jobs);
    queue.sizes(goal, figures);
}

fn costs(longest: u32, figures: &mut Vec<Figure>) -> Checked {
    let runtime = runtime();
    let _inside = runtime.enter();
    let lengths = std::iter::successors(Some(SHORTEST), |length| length.checked_mul(10));
    let mut queues = Vec::new();
    for length in lengths.take_while(|length| *length <= longest) {
        progress(&format!("{length} jobs are queued"));
        let mut queue = Queue::new(length);
        // What the workers hold is not queued.
        queue.fill(length + WORKERS * BATCH);
        runtime.block_on(queue.begin())?;
        queues.push(queue);
    }
    progress(&format!("{ROUNDS} rounds at each length"));
    let mut random = Random::new(u64::from(longest));
    for round in 0..WARM + ROUNDS {
        let turns = TURNS.0 + random.below(u64::from(TURNS.1) + 1) as u32;
        // Another one comes first each time.
        let first = round % queues.len();
        let (behind, before) = queues.split_at_mut(first);
        for queue in before.iter_mut().chain(behind) {
            queue.round(&runtime, turns, round >= WARM)?;
        }
    }
    tell(&mut queues, figures);
    if let Some(queue) = queues.pop().filter(|queue| queue.length == LARGE.0) {
        drop(queues);
        queue.sizes(LARGE.1, figures);
    }
    Ok(())
}

fn tell(queues: &mut [Queue], figures: &mut Vec<Figure>) {
    let mut wall = Vec::new();
    let mut processor = Vec::new();
    for queue in queues {
        let each = middle(&mut queue.wall);
        let busy = queue.processor * 1e6 / f64::from(queue.jobs);
        figures.push(Figure::plain(
            format!(
                "null job, {} queued, mean of the middle 80 % of {ROUNDS} rounds; coordinator's processor",
                queue.length
            ),
            format!("{each:.1} µs; {busy:.1} µs"),
        ));
        wall.push(each);
        processor.push(busy);
    }
    for (what, costs) in [
        ("time of a null job", wall),
        ("processor time of a null job", processor),
    ] {
        figures.push(Figure::at_most(
            format!("{what} by the queue, farthest from the mean of all lengths"),
            farthest(&costs),
            FLAT,
            " %",
        ));
    }
}

/// The mean of the middle 80 %: a few rounds are hit by what else the machine does.
fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 10;
    let middle = &values[cut..values.len() - cut];
    middle.iter().sum::<f64>() / middle.len() as f64
}

/// How far one of them is from their mean, at most, in percent of it.
fn farthest(costs: &[f64]) -> f64 {
    let mean = costs.iter().sum::<f64>() / costs.len() as f64;
    let away = costs.iter().map(|cost| 100.0 * (cost / mean - 1.0).abs());
    away.fold(0.0, f64::max)
}

impl Queue {
    /// A coordinator with the times of production, and nothing to do.
    fn new(length: u32) -> Self {
        let mut site = Site::new();
        site.write("policy.toml", "");
        Self {
            length,
            coordinator: site.serve(),
            site,
            stubs: Vec::new(),
            sweeps: 0,
            wall: Vec::new(),
            processor: 0.0,
            jobs: 0,
        }
    }

    fn fill(&mut self, jobs: u32) {
        let mut lacking = jobs;
        while lacking > 0 {
            let jobs = lacking.min(SWEEP);
            self.submit(jobs);
            lacking -= jobs;
        }
    }

    fn submit(&mut self, jobs: u32) {
        let name = format!("depth-{}", self.sweeps);
        let sweep = SweepText::null_grid(&name, self.sweeps, jobs / REPLICATES);
        let sweep = sweep.replicates(REPLICATES).to_string();
        self.site.write("depth.toml", &sweep);
        self.site.ok(&["submit", "depth.toml"]);
        self.sweeps += 1;
    }

    /// Its workers come, and take their first jobs.
    async fn begin(&mut self) -> Checked {
        for index in 0..WORKERS {
            let client = client(self.site.url());
            let mut stub = Stub::register(client, &format!("stub-{index}")).await?;
            stub.work(BATCH as usize).await?;
            self.stubs.push(stub);
        }
        Ok(())
    }

    fn round(&mut self, runtime: &Runtime, turns: u32, counts: bool) -> Checked {
        let jobs = turns * BATCH;
        self.submit(jobs);
        let before = processor_seconds(self.coordinator.pid());
        let began = Instant::now();
        let stubs = &mut self.stubs;
        runtime.block_on(async {
            for turn in 0..turns {
                stubs[(turn % WORKERS) as usize]
                    .work(BATCH as usize)
                    .await?;
            }
            Ok::<_, String>(())
        })?;
        let microseconds = began.elapsed().as_secs_f64() * 1e6;
        if counts {
            self.wall.push(microseconds / f64::from(jobs));
            self.jobs += jobs;
            self.processor += processor_seconds(self.coordinator.pid()) - before;
        }
        Ok(())
    }

    /// The memory of its coordinator as it is, held to the goal, and after a restart.
    fn sizes(mut self, goal: f64, figures: &mut Vec<Figure>) {
        let what = format!("coordinator resident, {} open jobs", self.length);
        figures.push(Figure::below(
            what.as_str(),
            resident_mb(self.coordinator.pid()),
            goal,
            " MB",
        ));
        self.coordinator.kill();
        self.coordinator = self.site.serve();
        // It answers when all is loaded.
        self.site.ok(&["status"]);
        figures.push(Figure::below(
            format!("{what}, after a restart"),
            resident_mb(self.coordinator.pid()),
            goal,
            " MB",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{farthest, middle};

    #[test]
    fn the_ends_do_not_count() {
        let mut values: Vec<f64> = (0..10).map(f64::from).collect();
        values[3] = 1e9;
        assert!((middle(&mut values) - 5.25).abs() < 1e-9);
    }

    #[test]
    fn the_farthest_from_the_mean_counts() {
        assert!(farthest(&[10.0, 10.0, 10.0]) < 1e-9);
        assert!((farthest(&[9.0, 10.0, 11.0]) - 10.0).abs() < 1e-9);
        assert!((farthest(&[8.0, 10.0, 12.0]) - 20.0).abs() < 1e-9);
    }
}
