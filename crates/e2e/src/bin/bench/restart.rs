//! How long a coordinator with much work waiting is away when it starts anew, and how fast half of that work is cancelled.

use std::time::{Duration, Instant};

use swath_e2e::{Process, Site, SweepText};

use crate::stub::{Stub, client, runtime};
use crate::text::{Checked, Figure, progress, quantile};

const REPLICATES: u32 = 5;
/// Cells and jobs of a sweep are counted in steps of this.
const STEP: u32 = 20 * REPLICATES;
/// Jobs that a worker holds over every restart.
const HELD: usize = 1_000;
const TIMES: usize = 5;
const PATIENCE: Duration = Duration::from_mins(2);

/// Everything about a store with so many open jobs, in two sweeps.
pub(crate) fn measure(jobs: u32) -> Vec<Figure> {
    let mut figures = Vec::new();
    let half = (jobs / 2).next_multiple_of(STEP);
    let mut site = Site::new();
    site.write("policy.toml", "");
    let mut coordinator = site.serve();
    progress(&format!("submits of {half} jobs, twice"));
    for (number, name) in ["kept", "cancelled"].into_iter().enumerate() {
        let sweep = SweepText::null_grid(name, number as u32, half / REPLICATES);
        let sweep = sweep.replicates(REPLICATES).to_string();
        site.write(&format!("{name}.toml"), &sweep);
        site.ok(&["submit", &format!("{name}.toml")]);
    }
    progress(&format!("{TIMES} restarts with {} open jobs", 2 * half));
    let what = format!("restart with {} open jobs, kill to first answer", 2 * half);
    match restarts(&site, &mut coordinator, half as usize) {
        Ok(mut times) => {
            figures.push(Figure::below(
                format!("{what}, median of {TIMES}"),
                quantile(&mut times, 0.5),
                2.0,
                " s",
            ));
            let longest = format!("{:.2} s", quantile(&mut times, 1.0));
            figures.push(Figure::plain(format!("{what}, the longest"), longest));
        }
        Err(why) => figures.push(Figure::failed(what, why)),
    }
    progress(&format!("{TIMES} times cancel {half} jobs"));
    let mut times: Vec<f64> = (0..TIMES).map(|_| cancel(&site)).collect();
    figures.push(Figure::below(
        format!("cancel of a sweep with {half} open jobs, whole command, median of {TIMES}"),
        quantile(&mut times, 0.5),
        1.0,
        " s",
    ));
    figures
}

/// Seconds from a kill of the coordinator, which is started again at once, to the first answer of the next: to a
/// heartbeat of a worker that holds jobs and keeps them.
fn restarts(site: &Site, coordinator: &mut Process, jobs: usize) -> Checked<Vec<f64>> {
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut stub = runtime.block_on(async {
        let mut stub = Stub::register(client(site.url()), "holder").await?;
        stub.work(HELD.min(jobs)).await?;
        Ok::<_, String>(stub)
    })?;
    let listen = site.url().trim_start_matches("http://").to_owned();
    let mut times = Vec::new();
    for _ in 0..TIMES {
        coordinator.kill();
        let began = Instant::now();
        *coordinator = site.serve_on(&listen, "sqlite:swath.db", &[]);
        runtime.block_on(answered(&mut stub, began))?;
        times.push(began.elapsed().as_secs_f64());
    }
    Ok(times)
}

/// Asks until there is an answer.
async fn answered(stub: &mut Stub, began: Instant) -> Checked {
    while let Err(why) = stub.beat().await {
        if began.elapsed() > PATIENCE {
            return Err(why);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Seconds that it takes; afterwards the jobs are wanted again.
fn cancel(site: &Site) -> f64 {
    let began = Instant::now();
    site.ok(&["cancel", "cancelled"]);
    let seconds = began.elapsed().as_secs_f64();
    site.ok(&["submit", "cancelled.toml"]);
    seconds
}
