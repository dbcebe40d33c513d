//! A thousand workers of one coordinator: their heartbeats, and many that come at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use swath_e2e::usage::{processor_seconds, resident_mb};
use swath_e2e::{Process, Random, Site, SweepText};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::stub::{Stub, client, client_of, runtime};
use crate::text::{Checked, Figure, progress, quantile};
use crate::tls;

/// Sessions that share a connection. A coordinator handles 64 calls of one at a time, and here each session has one
/// parked.
const PER_CONNECTION: usize = 40;
/// How long heartbeats are measured: three intervals of production.
const MEASURED: Duration = Duration::from_secs(30);
const HEARTBEAT_GOAL_MS: f64 = 250.0;

/// The same over TLS, where each session has a connection of its own.
pub(crate) fn measure_secured(sessions: u32) -> Vec<Figure> {
    let mut figures = Vec::new();
    let seconds = MEASURED.as_secs();
    progress(&format!("{sessions} sessions over TLS for {seconds} s"));
    if let Err(why) = heartbeats(Site::secured(), sessions, &mut figures) {
        let what = format!("heartbeats of {sessions} sessions over TLS");
        figures.push(Figure::failed(what, why));
    }
    figures
}

/// Everything about so many sessions.
pub(crate) fn measure(sessions: u32) -> Vec<Figure> {
    let mut figures = Vec::new();
    let newcomers = sessions / 2;
    progress(&format!("{newcomers} workers register at once"));
    let what = format!("{newcomers} workers register at once, each dials: the longest");
    figures.push(match at_once(newcomers as usize) {
        Ok(mut times) => Figure {
            goal: "no error".to_owned(),
            met: Some(true),
            ..Figure::plain(what, format!("{:.0} ms", quantile(&mut times, 1.0)))
        },
        Err(why) => Figure::failed(what, why),
    });
    let seconds = MEASURED.as_secs();
    progress(&format!("{sessions} sessions for {seconds} s"));
    if let Err(why) = heartbeats(Site::new(), sessions, &mut figures) {
        let what = format!("heartbeats of {sessions} sessions");
        figures.push(Figure::failed(what, why));
    }
    figures
}

/// A coordinator with the times of production.
fn place(mut site: Site) -> (Site, Process) {
    site.write("policy.toml", "");
    let coordinator = site.serve();
    (site, coordinator)
}

/// Milliseconds from dialling to the welcome, of workers that all begin in the same moment.
fn at_once(workers: usize) -> Checked<Vec<f64>> {
    let (site, _coordinator) = place(Site::new());
    let together = Arc::new(Barrier::new(workers));
    let mut tasks = JoinSet::new();
    let runtime = runtime();
    let _inside = runtime.enter();
    for index in 0..workers {
        let client = client(site.url());
        let together = Arc::clone(&together);
        tasks.spawn(async move {
            together.wait().await;
            let began = Instant::now();
            Stub::register(client, &format!("newcomer-{index}")).await?;
            Ok(vec![began.elapsed().as_secs_f64() * 1e3])
        });
    }
    runtime.block_on(all(tasks))
}

/// What all of them measured, or the first failure.
async fn all(mut tasks: JoinSet<Checked<Vec<f64>>>) -> Checked<Vec<f64>> {
    let mut times = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        times.extend(ended.map_err(|error| error.to_string())??);
    }
    Ok(times)
}

fn heartbeats(site: Site, sessions: u32, figures: &mut Vec<Figure>) -> Checked {
    let (site, coordinator) = place(site);
    let jobs = sessions.next_multiple_of(20);
    let sweep = SweepText::null_grid("held", 0, jobs);
    site.write("held.toml", &sweep.to_string());
    site.ok(&["submit", "held.toml"]);
    let runtime = runtime();
    let _inside = runtime.enter();
    let ready = Arc::new(Barrier::new(sessions as usize + 1));
    let mut tasks = JoinSet::new();
    let mut shared = client(site.url());
    for index in 0..sessions as usize {
        if site.is_secured() {
            let own = runtime.block_on(tls::caller(&site, &name(index)))?;
            shared = client_of(site.url(), &own);
        } else if index % PER_CONNECTION == 0 {
            shared = client(site.url());
        }
        tasks.spawn(session(shared.clone(), index, Arc::clone(&ready)));
    }
    let (busy, times) = runtime.block_on(async {
        // Whoever fails before never comes, so there must be a limit.
        let all_ready = tokio::time::timeout(Duration::from_mins(1), ready.wait()).await;
        if all_ready.is_err() {
            tasks.abort_all();
            let failed = all(tasks).await.err();
            return Err(failed.unwrap_or_default());
        }
        let before = processor_seconds(coordinator.pid());
        let times = all(tasks).await?;
        Ok((processor_seconds(coordinator.pid()) - before, times))
    })?;
    let mut times = times;
    let what = format!("heartbeat of {sessions} sessions, each holds a job and waits for another");
    let count = times.len();
    let p50 = quantile(&mut times, 0.5);
    figures.push(Figure::plain(
        format!("{what}, p50 of {count}"),
        format!("{p50:.1} ms"),
    ));
    figures.push(Figure::below(
        format!("{what}, p99"),
        quantile(&mut times, 0.99),
        HEARTBEAT_GOAL_MS,
        " ms",
    ));
    figures.push(Figure::plain(
        "coordinator's processor time meanwhile",
        format!("{:.1} % of a core", 100.0 * busy / MEASURED.as_secs_f64()),
    ));
    figures.push(Figure::plain(
        format!("coordinator resident, {sessions} sessions"),
        format!("{:.0} MB", resident_mb(coordinator.pid())),
    ));
    Ok(())
}

/// The name of a session's worker.
fn name(index: usize) -> String {
    format!("stub-{index}")
}

/// One session: a job held, an exchange parked, and heartbeats, whose times in milliseconds it returns.
async fn session(
    client: swath_proto::DispatchClient,
    index: usize,
    ready: Arc<Barrier>,
) -> Checked<Vec<f64>> {
    let mut stub = Stub::register(client, &name(index)).await?;
    stub.work(1).await?;
    // Whoever waits for another job before would get what is meant for others.
    ready.wait().await;
    let mut waiting = stub.clone();
    let parked = async move {
        loop {
            if let Err(why) = waiting.park().await {
                return why;
            }
        }
    };
    tokio::select! {
        times = beats(stub, Random::new(index as u64)) => times,
        why = parked => Err(why),
    }
}

async fn beats(mut stub: Stub, mut random: Random) -> Checked<Vec<f64>> {
    let began = Instant::now();
    let interval = stub.heartbeat.as_millis() as u64;
    // Workers started at different times, and each interval varies by 20 %.
    let mut next = Duration::from_millis(random.below(interval));
    let mut times = Vec::new();
    while next < MEASURED {
        tokio::time::sleep(next.saturating_sub(began.elapsed())).await;
        let asked = Instant::now();
        stub.beat().await?;
        times.push(asked.elapsed().as_secs_f64() * 1e3);
        next += Duration::from_millis(interval * (80 + random.below(41)) / 100);
    }
    Ok(times)
}
