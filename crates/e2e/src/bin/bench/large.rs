//! Changes to very many jobs, and whether others are heard meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use swath_e2e::usage::peak_mb;
use swath_e2e::{Process, Site};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::stub::{Stub, client, runtime};
use crate::text::{Checked, Figure, progress, quantile};

/// Sessions that are alive meanwhile.
const SESSIONS: usize = 100;
/// How often each of them says so: oftener than in production, to have more times.
const BEAT: Duration = Duration::from_millis(500);
const HEARTBEAT_GOAL_MS: f64 = 250.0;
/// How many replicates each cell has.
const REPLICATES: u32 = 100;
/// How long each change may take.
const LIMIT: Duration = Duration::from_mins(20);

/// A sweep of so many jobs comes, is cancelled, comes again and is deleted.
pub(crate) fn measure(jobs: u32) -> Vec<Figure> {
    let mut site = Site::new();
    site.write("policy.toml", "");
    let coordinator = site.serve();
    let cells = jobs.div_ceil(REPLICATES);
    let file = format!(
        "[sweep]\nname = \"large\"\nreplicates = {REPLICATES}\n[fixed]\ntrainer.null = true\n\
         [[grid]]\nparams.x = {{ from = 1, to = {cells} }}\n"
    );
    site.write("large.toml", &file);
    let runtime = runtime();
    let mut figures = Vec::new();
    for change in [
        ["submit", "large.toml"].as_slice(),
        &["cancel", "large", "--yes"],
        &["submit", "large.toml"],
        &["delete", "large", "--cancel", "--yes"],
    ] {
        progress(&format!("{} {jobs} jobs", change[0]));
        if let Err(why) = changed(&site, &runtime, change, &mut figures) {
            figures.push(Figure::failed(change.join(" "), why));
        }
    }
    figures.push(resident(&coordinator));
    figures
}

fn resident(coordinator: &Process) -> Figure {
    let peak = peak_mb(coordinator.pid());
    Figure::plain("coordinator, most resident", format!("{peak:.0} MB"))
}

/// Makes a change while sessions say that they are alive.
fn changed(site: &Site, runtime: &Runtime, change: &[&str], figures: &mut Vec<Figure>) -> Checked {
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let inside = runtime.enter();
    let shared = client(site.url());
    for index in 0..SESSIONS {
        tasks.spawn(beats(shared.clone(), index, Arc::clone(&over)));
    }
    drop(inside);
    let began = Instant::now();
    let output = site.run_within(LIMIT, change);
    let seconds = began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let what = change.join(" ");
    if output.code != Some(0) {
        return Err(output.stderr);
    }
    let mut times = runtime.block_on(async {
        let mut times = Vec::new();
        while let Some(ended) = tasks.join_next().await {
            times.extend(ended.map_err(|error| error.to_string())??);
        }
        Checked::Ok(times)
    })?;
    figures.push(Figure::plain(&what, format!("{seconds:.1} s")));
    let p50 = quantile(&mut times, 0.5);
    let of = times.len();
    figures.push(Figure::plain(
        format!("{what}: heartbeat meanwhile, p50 of {of}"),
        format!("{p50:.1} ms"),
    ));
    let p99 = quantile(&mut times, 0.99);
    let p99_what = format!("{what}: heartbeat meanwhile, p99");
    figures.push(Figure::below(p99_what, p99, HEARTBEAT_GOAL_MS, " ms"));
    let most = quantile(&mut times, 1.0);
    let most_what = format!("{what}: heartbeat meanwhile, the longest");
    figures.push(Figure::plain(most_what, format!("{most:.0} ms")));
    Ok(())
}

/// The times of a session's heartbeats in milliseconds.
async fn beats(
    client: swath_proto::DispatchClient,
    index: usize,
    over: Arc<AtomicBool>,
) -> Checked<Vec<f64>> {
    let mut stub = Stub::register(client, &format!("stub-{index}")).await?;
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        stub.beat().await?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        tokio::time::sleep(BEAT).await;
    }
    Ok(times)
}
