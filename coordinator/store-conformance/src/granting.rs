//! Who is granted what, in which order, and what a repeated request gets.

use swath_model::device::Device;
use swath_model::id::{JobDigest, Owner, WorkerName};
use swath_model::job::StateName;
use swath_model::judge::backoff_unit;
use swath_model::needs::Needs;
use swath_model::offer::Free;
use swath_model::outcome::Fault;
use swath_model::placement::Placement;

use super::bench::Bench;
use super::script::{
    failed, finish, free, gpu_about, gpu_needs, held, job, job_of, measured, needing_cell,
    plain_cell, program_cell, sweep, two_gpus, worker_about,
};
use crate::{Exchange, Grant, Hello, Submission, SubmittedCell, SweepChange, WorkerChange};

fn jobs(grants: &[Grant]) -> Vec<JobDigest> {
    grants.iter().map(|grant| grant.held.job).collect()
}

/// Greatest priority first; older submissions first among equals.
pub async fn grants_go_by_priority_then_by_submission(bench: &mut Bench) {
    let mut urgent = sweep("urgent", &[2], 1);
    urgent.priority = 5;
    bench.submit(&sweep("first", &[1], 1)).await;
    bench.submit(&urgent).await;
    bench.submit(&sweep("third", &[3], 1)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 2).await;
    assert_eq!(jobs(&grants), [job(2, 1), job(1, 1)]);
    let change = SweepChange::Priority(-1);
    bench.submit(&sweep("fourth", &[4], 1)).await;
    let third = sweep("third", &[3], 1).digest;
    bench.change_sweep(third, change).await.unwrap();
    let grants = bench.take(&owner, 5).await;
    assert_eq!(jobs(&grants), [job(4, 1), job(3, 1)]);
}

/// Cells in canonical order, and replicates in order within a cell.
pub async fn a_sweep_is_granted_cell_by_cell(bench: &mut Bench) {
    bench.submit(&sweep("s", &[7, 3], 2)).await;
    let owner = bench.hello("w").await;
    let grants = bench.take(&owner, 9).await;
    let order = [job(7, 1), job(7, 2), job(3, 1), job(3, 2)];
    assert_eq!(jobs(&grants), order);
    assert!(grants.iter().all(|grant| grant.held.attempt.0 == 1));
}

/// A lost reply is answered with the same grants, as far as they are held.
pub async fn a_repeated_request_gets_its_grants_again(bench: &mut Bench) {
    let mut urgent = sweep("urgent", &[9], 1);
    urgent.priority = 1;
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    bench.submit(&urgent).await;
    let owner = bench.hello("w").await;
    let ask = |want, finishes| Exchange {
        owner: owner.clone(),
        request: 900,
        finishes,
        free: Free::cpu(want),
    };
    let first = bench.exchange(ask(2, vec![])).await.unwrap();
    assert_eq!(jobs(&first.grants), [job(9, 1), job(1, 1)]);
    let again = bench.exchange(ask(2, vec![])).await.unwrap();
    assert_eq!(again, first);
    // What it finished meanwhile is not granted again, and nothing new is
    // granted.
    let done = finish(held(job(9, 1), 1), measured(1.0));
    let again = bench.exchange(ask(2, vec![done])).await.unwrap();
    assert_eq!(again.grants, first.grants[1..]);
    // A request that still waits after everything has ended gets none again either.
    let last = first.grants[1].held;
    bench.release(&owner, &[last]).await.unwrap();
    let again = bench.exchange(ask(2, vec![])).await.unwrap();
    assert_eq!(again.grants, []);
    assert_eq!(bench.state(job(1, 1)).await, StateName::Queued);
    // The same number in another session is another request.
    let owner = bench.hello("w").await;
    let mut other = ask(9, vec![]);
    other.owner = owner;
    let grants = bench.exchange(other).await.unwrap().grants;
    assert_eq!(grants.len(), 3);
}

/// While nothing was granted, the same request may be asked again: that is how
/// a coordinator waits for jobs.
pub async fn a_request_without_grants_may_ask_again(bench: &mut Bench) {
    let owner = bench.hello("w").await;
    let ask = || Exchange {
        owner: owner.clone(),
        request: 7,
        finishes: vec![],
        free: Free::cpu(1),
    };
    assert_eq!(bench.exchange(ask()).await.unwrap().grants, []);
    bench.submit(&sweep("s", &[1], 1)).await;
    assert_eq!(bench.exchange(ask()).await.unwrap().grants.len(), 1);
}

/// A job with a program goes only to a worker that allows it.
pub async fn programs_go_to_workers_that_allow_them(bench: &mut Bench) {
    let mut submission = sweep("s", &[], 1);
    submission.cells = vec![program_cell("bench.py"), plain_cell(1)];
    bench.submit(&submission).await;
    let plain = bench.hello("plain").await;
    let grants = bench.take(&plain, 9).await;
    assert_eq!(jobs(&grants), [job(1, 1)]);
    let hello = |programs| Hello {
        worker: "able".parse().unwrap(),
        about: worker_about(programs),
        held: vec![],
        takes_name: false,
    };
    bench.greet(hello(&["other.py"])).await;
    let session = bench.greet(hello(&["other.py", "bench.py"])).await.session;
    let able = Owner {
        worker: "able".parse().unwrap(),
        session,
    };
    let grants = bench.take(&able, 9).await;
    assert_eq!(jobs(&grants), [job_of(&program_cell("bench.py"), 1)]);
}

/// A worker with two GPUs, greeted.
async fn gpu_worker(bench: &mut Bench) -> Owner {
    let worker: WorkerName = "gpus".parse().unwrap();
    let hello = Hello {
        worker: worker.clone(),
        about: gpu_about(&[], 2),
        held: vec![],
        takes_name: false,
    };
    let session = bench.greet(hello).await.session;
    Owner { worker, session }
}

/// Everything that is free of that worker.
fn all_free() -> Vec<Free> {
    let devices = [Device::Cpu, Device::Cuda(0), Device::Cuda(1)];
    devices.map(|device| free(device, 2)).to_vec()
}

fn placed(grants: &[Grant]) -> Vec<(JobDigest, Placement)> {
    let placed = grants.iter().map(|it| (it.held.job, it.placement.clone()));
    placed.collect()
}

/// Memory keeps two large jobs off one GPU, and processors off one host; what
/// does not fit lets others go first.
pub async fn a_worker_gets_what_fits_beside_what_it_holds(bench: &mut Bench) {
    let large = gpu_needs(6);
    let broad = Needs {
        cpus: Some(2),
        ..Needs::default()
    };
    let mut submission = sweep("s", &[], 1);
    submission.cells = (1..=3).map(|x| needing_cell(x, &large)).collect();
    submission.cells.extend([
        needing_cell(4, &broad),
        needing_cell(5, &broad),
        plain_cell(6),
    ]);
    bench.submit(&submission).await;
    // It does not say how many processors it has.
    let plain = bench.hello("plain").await;
    assert_eq!(jobs(&bench.take(&plain, 9).await), [job(6, 1)]);
    let owner = gpu_worker(bench).await;
    let mut ask = bench.asking(&owner, vec![], 0);
    ask.free = all_free();
    let grants = bench.exchange(ask).await.unwrap().grants;
    let (one, two, four) = (job(1, 1), job(2, 1), job(4, 1));
    let (first, second) = (Device::Cuda(0).into(), Placement::from(Device::Cuda(1)));
    assert_eq!(
        placed(&grants),
        [
            (one, first),
            (two, second.clone()),
            (four, Device::Cpu.into())
        ]
    );
    let mut ask = bench.asking(&owner, vec![], 0);
    ask.free = all_free();
    assert_eq!(bench.exchange(ask).await.unwrap().grants, []);
    // What ends makes room in the same exchange.
    let done = [(two, 1.0), (four, 2.0)];
    let done = done.map(|(job, error)| finish(held(job, 1), measured(error)));
    let mut ask = bench.asking(&owner, done.to_vec(), 0);
    ask.free = all_free();
    let grants = bench.exchange(ask).await.unwrap().grants;
    let expected = [(job(3, 1), second), (job(5, 1), Device::Cpu.into())];
    assert_eq!(placed(&grants), expected);
}

/// Also where the coordinator has been started again since.
pub async fn a_repeated_request_keeps_its_devices(bench: &mut Bench) {
    let mut submission = sweep("s", &[], 2);
    submission.cells = vec![needing_cell(1, &gpu_needs(4))];
    bench.submit(&submission).await;
    let owner = gpu_worker(bench).await;
    let mut ask = bench.asking(&owner, vec![], 0);
    ask.free = vec![free(Device::Cuda(1), 1), free(Device::Cuda(0), 1)];
    let first = bench.exchange(ask.clone()).await.unwrap();
    assert_eq!(first.grants.len(), 2);
    bench.restart().await;
    assert_eq!(bench.exchange(ask).await.unwrap(), first);
    // What it holds is known, and so is the room that is left.
    let mut submission = sweep("t", &[], 1);
    submission.cells = vec![
        needing_cell(2, &gpu_needs(7)),
        needing_cell(3, &gpu_needs(6)),
    ];
    bench.submit(&submission).await;
    let mut ask = bench.asking(&owner, vec![], 0);
    ask.free = vec![free(Device::Cuda(0), 2), free(Device::Cuda(1), 1)];
    let grants = bench.exchange(ask).await.unwrap().grants;
    // The first GPU is kept for the larger one.
    assert_eq!(placed(&grants), [(job(3, 1), Device::Cuda(1).into())]);
}

/// A sweep of these cells, each with one job.
fn needy(name: &str, cells: Vec<SubmittedCell>) -> Submission {
    Submission {
        cells,
        ..sweep(name, &[], 1)
    }
}

impl Bench {
    /// Asks for jobs of one slot of each of these devices, and tells the ends of
    /// `done`.
    async fn ask(&mut self, owner: &Owner, devices: &[Device], done: &[JobDigest]) -> Vec<Grant> {
        let done = done.iter().map(|job| finish(held(*job, 1), measured(1.0)));
        let mut ask = self.asking(owner, done.collect(), 0);
        ask.free = devices.iter().map(|device| free(*device, 1)).collect();
        self.exchange(ask).await.unwrap().grants
    }
}

/// A job of two GPUs gets a slot of each, which nobody else has then; also where
/// the coordinator has been started again since.
pub async fn a_job_gets_several_devices_of_one_worker(bench: &mut Bench) {
    let cells = vec![needing_cell(1, &two_gpus()), plain_cell(2)];
    bench.submit(&needy("s", cells)).await;
    let owner = gpu_worker(bench).await;
    let (first, second) = (Device::Cuda(0), Device::Cuda(1));
    let grants = bench.ask(&owner, &[first, second], &[]).await;
    let both = Placement::new(vec![first, second]).unwrap();
    assert_eq!(placed(&grants), [(job(1, 1), both.clone())]);
    bench.restart().await;
    let view = bench.job(job(1, 1)).await.job;
    assert_eq!(view.devices, Some(both));
    let grants = bench.ask(&owner, &[first, second], &[job(1, 1)]).await;
    assert_eq!(placed(&grants), [(job(2, 1), first.into())]);
}

/// The next jobs of two GPUs are held in advance behind one that has both; behind a
/// job that has one of them, the other one would be idle.
pub async fn a_job_of_several_devices_is_held_in_advance(bench: &mut Bench) {
    let pairs = (1..4).map(|x| needing_cell(x, &two_gpus())).collect();
    bench.submit(&needy("pairs", pairs)).await;
    let owner = gpu_worker(bench).await;
    let (first, second) = (Device::Cuda(0), Device::Cuda(1));
    let both = Placement::new(vec![first, second]).unwrap();
    let free = [first, second].map(|device| Free {
        device,
        slots: 1,
        ahead: 2,
    });
    let mut ask = bench.asking(&owner, vec![], 0);
    ask.free = free.to_vec();
    let grants = bench.exchange(ask).await.unwrap().grants;
    let pairs = [1, 2, 3].map(|x| job(x, 1));
    assert_eq!(placed(&grants), pairs.map(|job| (job, both.clone())));
    let cells = vec![plain_cell(4), needing_cell(5, &two_gpus())];
    bench.submit(&needy("mixed", cells)).await;
    let done = pairs.map(|job| finish(held(job, 1), measured(1.0)));
    let mut ask = bench.asking(&owner, done.to_vec(), 0);
    ask.free = free.to_vec();
    let grants = bench.exchange(ask).await.unwrap().grants;
    assert_eq!(placed(&grants), [(job(4, 1), first.into())]);
}

/// Jobs that need less keep coming, and yet a job of two GPUs gets its turn: one
/// worker begins nothing on them until both are free. What it keeps is free for
/// others again when the job is gone.
pub async fn room_is_kept_for_a_job_that_does_not_fit(bench: &mut Bench) {
    let small = (10..20).map(plain_cell).collect();
    bench
        .submit(&needy("old", vec![plain_cell(1), plain_cell(2)]))
        .await;
    let owner = gpu_worker(bench).await;
    let (first, second) = (Device::Cuda(0), Device::Cuda(1));
    bench.ask(&owner, &[first, second], &[]).await;
    bench
        .submit(&needy("large", vec![needing_cell(3, &two_gpus())]))
        .await;
    bench.submit(&needy("small", small)).await;
    // One GPU is free, and stays so.
    assert_eq!(bench.ask(&owner, &[first], &[job(1, 1)]).await, []);
    let kept = bench.reserved().await;
    assert_eq!((kept.len(), kept[0].job), (1, job(3, 1)));
    assert_eq!((&kept[0].worker, kept[0].cpus), (&owner.worker, false));
    assert_eq!(kept[0].busy, [second]);
    // The processor is not among what is kept.
    let grants = bench.ask(&owner, &[first, Device::Cpu], &[]).await;
    assert_eq!(placed(&grants), [(job(10, 1), Device::Cpu.into())]);
    let grants = bench.ask(&owner, &[first, second], &[job(2, 1)]).await;
    assert_eq!(
        placed(&grants),
        [(job(3, 1), Placement::new(vec![first, second]).unwrap())]
    );
    assert_eq!(bench.reserved().await, []);
    // Another one, which is cancelled.
    bench
        .submit(&needy("larger", vec![needing_cell(4, &two_gpus())]))
        .await;
    let larger = sweep("larger", &[], 1).digest;
    let urgent = SweepChange::Priority(1);
    bench.change_sweep(larger, urgent).await.unwrap();
    assert_eq!(bench.ask(&owner, &[Device::Cuda(0)], &[]).await, []);
    assert_eq!(bench.reserved().await.len(), 1);
    bench
        .change_sweep(larger, SweepChange::Cancel)
        .await
        .unwrap();
    assert_eq!(bench.reserved().await, []);
    let grants = bench.ask(&owner, &[first, second], &[job(3, 1)]).await;
    assert_eq!(grants.len(), 2);
}

/// Memory is kept like devices are: on the GPU where jobs ran for longest, also
/// where several slots share one.
pub async fn memory_is_kept_for_a_large_job(bench: &mut Bench) {
    let (first, second) = (Device::Cuda(0), Device::Cuda(1));
    let cells = |from: u32| {
        (from..from + 2)
            .map(|x| needing_cell(x, &gpu_needs(4)))
            .collect()
    };
    let owner = gpu_worker(bench).await;
    for (from, device) in [(1, second), (3, first)] {
        bench.pass_ms(1);
        bench.submit(&needy(&format!("s{from}"), cells(from))).await;
        let mut ask = bench.asking(&owner, vec![], 0);
        ask.free = vec![free(device, 2)];
        assert_eq!(bench.exchange(ask).await.unwrap().grants.len(), 2);
    }
    bench
        .submit(&needy("large", vec![needing_cell(9, &gpu_needs(9))]))
        .await;
    bench
        .submit(&needy(
            "small",
            (5..7).map(|x| needing_cell(x, &gpu_needs(2))).collect(),
        ))
        .await;
    let kept = bench.reserved().await;
    assert_eq!(
        (&kept[0].devices, &kept[0].busy),
        (&second.into(), &vec![second])
    );
    // A slot of each is free; only the first GPU takes what is small.
    let grants = bench
        .ask(&owner, &[first, second], &[job(1, 1), job(3, 1)])
        .await;
    assert_eq!(placed(&grants), [(job(5, 1), first.into())]);
    let grants = bench.ask(&owner, &[second], &[job(2, 1)]).await;
    assert_eq!(placed(&grants), [(job(9, 1), second.into())]);
}

/// Where room is kept, what has room beside the job begins all the same: a GPU is
/// not half empty because more of its memory is asked for than is left.
pub async fn what_fits_beside_a_kept_job_begins(bench: &mut Bench) {
    let gpu = Device::Cuda(0);
    let mut about = gpu_about(&[], 1);
    about.offer.slots.extend([gpu; 2]);
    let hello = Hello {
        worker: "shared".parse().unwrap(),
        about,
        held: vec![],
        takes_name: false,
    };
    let worker = hello.worker.clone();
    let session = bench.greet(hello).await.session;
    let owner = Owner { worker, session };
    let of = |x, bytes| needing_cell(x, &gpu_needs(bytes));
    bench
        .submit(&needy("large", vec![of(1, 6), of(2, 6)]))
        .await;
    assert_eq!(jobs(&bench.ask(&owner, &[gpu], &[]).await), [job(1, 1)]);
    let small = vec![of(3, 5), of(4, 3), of(5, 1)];
    bench.submit(&needy("small", small)).await;
    let mut ask = bench.asking(&owner, vec![], 0);
    ask.free = vec![free(gpu, 2)];
    let grants = bench.exchange(ask).await.unwrap().grants;
    assert_eq!(jobs(&grants), [job(4, 1), job(5, 1)]);
    let kept = bench.reserved().await;
    assert_eq!((kept[0].job, &*kept[0].busy), (job(2, 1), &[gpu][..]));
    let grants = bench.ask(&owner, &[gpu], &[job(1, 1)]).await;
    assert_eq!(jobs(&grants), [job(2, 1)]);
}

/// A worker that takes no jobs keeps no room for any, and no other does where the
/// job fits; one that asks for a part of what it has free keeps it.
pub async fn room_is_kept_where_jobs_are_taken(bench: &mut Bench) {
    let other: WorkerName = "other".parse().unwrap();
    let owner = gpu_worker(bench).await;
    let (first, second) = (Device::Cuda(0), Device::Cuda(1));
    bench
        .submit(&needy("old", vec![plain_cell(1), plain_cell(2)]))
        .await;
    bench.ask(&owner, &[first, second], &[]).await;
    bench
        .submit(&needy("large", vec![needing_cell(3, &two_gpus())]))
        .await;
    assert_eq!(bench.reserved().await[0].worker, owner.worker);
    let drain = WorkerChange::Drain;
    bench.change_worker(&owner.worker, drain).await.unwrap();
    assert_eq!(bench.reserved().await, []);
    let hello = Hello {
        worker: other.clone(),
        about: gpu_about(&[], 3),
        held: vec![],
        takes_name: false,
    };
    let session = bench.greet(hello).await.session;
    assert_eq!(bench.reserved().await, []);
    let worker = other;
    let other = Owner { worker, session };
    bench.submit(&needy("small", vec![plain_cell(4)])).await;
    assert_eq!(bench.ask(&other, &[first], &[]).await, []);
    let grants = bench.ask(&other, &[Device::Cuda(2)], &[]).await;
    assert_eq!(placed(&grants), [(job(4, 1), Device::Cuda(2).into())]);
    let grants = bench.ask(&other, &[first, second], &[]).await;
    assert_eq!(jobs(&grants), [job(3, 1)]);
}

/// Needs take no part in the name of a job: a corrected file changes those of
/// jobs that are there.
pub async fn jobs_need_what_the_newest_submit_says(bench: &mut Bench) {
    let mut wrong = sweep("s", &[], 2);
    wrong.cells = vec![needing_cell(1, &gpu_needs(11))];
    bench.submit(&wrong).await;
    let owner = gpu_worker(bench).await;
    let mut ask = bench.asking(&owner, vec![], 0);
    ask.free = all_free();
    assert_eq!(bench.exchange(ask.clone()).await.unwrap().grants, []);
    bench.submit(&sweep("s", &[1], 1)).await;
    let plain = bench.hello("plain").await;
    assert_eq!(jobs(&bench.take(&plain, 1).await), [job(1, 1)]);
    bench.restart().await;
    assert_eq!(jobs(&bench.take(&plain, 9).await), [job(1, 2)]);
}

/// A sweep that is submitted again says again what its open jobs need.
pub async fn a_known_sweep_says_again_what_jobs_need(bench: &mut Bench) {
    let modest = sweep("modest", &[1], 1);
    let mut wrong = sweep("wrong", &[], 1);
    wrong.cells = vec![needing_cell(1, &gpu_needs(11))];
    bench.submit(&modest).await;
    bench.submit(&wrong).await;
    bench
        .change_sweep(wrong.digest, SweepChange::Cancel)
        .await
        .unwrap();
    let owner = bench.hello("plain").await;
    assert_eq!(bench.take(&owner, 1).await, []);
    bench.submit(&modest).await;
    bench.restart().await;
    let attempt = bench.take_one(&owner).await;
    bench.finish(&owner, attempt, measured(1.0)).await;
    // What is over needs nothing.
    bench.submit(&modest).await;
}

/// Cordoned and draining workers get nothing until they are activated.
pub async fn only_active_workers_are_granted_jobs(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    let cordon = WorkerChange::Cordon {
        cause: swath_model::cause::CordonCause::Operator,
    };
    for change in [cordon, WorkerChange::Drain] {
        bench.change_worker(&owner.worker, change).await.unwrap();
        assert_eq!(bench.take(&owner, 1).await, []);
    }
    let activate = WorkerChange::Activate;
    bench.change_worker(&owner.worker, activate).await.unwrap();
    bench.take_one(&owner).await;
    let nobody = "nobody".parse().unwrap();
    let unknown = bench.change_worker(&nobody, WorkerChange::Drain).await;
    assert!(matches!(unknown, Err(crate::StoreError::NotFound(_))));
}

/// A job counts with the greatest priority of its live, unpaused sweeps, and
/// without one it is not granted.
pub async fn a_shared_job_is_as_urgent_as_its_most_urgent_open_sweep(bench: &mut Bench) {
    let mut urgent = sweep("urgent", &[2], 1);
    urgent.priority = 9;
    bench.submit(&sweep("s", &[1, 2, 3], 1)).await;
    bench.submit(&urgent).await;
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    bench
        .change_sweep(urgent.digest, pause.clone())
        .await
        .unwrap();
    let owner = bench.hello("w").await;
    assert_eq!(bench.take_one(&owner).await.job, job(1, 1));
    let all = sweep("s", &[1, 2, 3], 1).digest;
    bench.change_sweep(all, pause).await.unwrap();
    assert_eq!(bench.take(&owner, 9).await, []);
    let resume = SweepChange::Resume;
    bench.change_sweep(urgent.digest, resume).await.unwrap();
    assert_eq!(jobs(&bench.take(&owner, 9).await), [job(2, 1)]);
}

/// A charged fault holds its job back, and others wake for its end.
pub async fn a_job_waits_for_the_end_of_its_backoff(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 1)).await;
    let owner = bench.hello("w").await;
    let attempt = bench.take_one(&owner).await;
    bench
        .finish(&owner, attempt, failed(Fault::Crashed, "x"))
        .await;
    let unit = backoff_unit(attempt.job, attempt.attempt);
    let due = bench.now + bench.policy().backoff(1, unit);
    let view = bench.job(attempt.job).await.job;
    assert_eq!((view.not_before, view.charged), (Some(due), 1));
    let now = bench.now;
    let next = bench.read(async |store| store.next_due(now).await).await;
    assert_eq!(next, Some(due));
    // No worker waits for a job that must not be granted then.
    let digest = sweep("s", &[1], 1).digest;
    let pause = SweepChange::Pause {
        cause: swath_model::cause::PauseCause::Operator,
    };
    for (change, next) in [(pause, None), (SweepChange::Resume, Some(due))] {
        bench.change_sweep(digest, change).await.unwrap();
        let told = bench.read(async |store| store.next_due(now).await).await;
        assert_eq!(told, next);
    }
    bench.pass_almost(due.since(now));
    assert_eq!(bench.take(&owner, 1).await, []);
    bench.pass_ms(1);
    let next = bench.read(async |store| store.next_due(due).await).await;
    assert_eq!(next, None);
    assert_eq!(bench.take_one(&owner).await, held(attempt.job, 2));
}

/// What goes to a worker is the canonical spec with the job's seed.
pub async fn the_spec_of_a_grant_holds_its_seed(bench: &mut Bench) {
    bench.submit(&sweep("s", &[1], 2)).await;
    let owner = bench.hello("w").await;
    for grant in bench.take(&owner, 2).await {
        let view = bench.job(grant.held.job).await.job;
        let cell = plain_cell(1);
        let spec = format!(
            r#"{{"params":{{"x":1}},"seed":{},"trainer":{{"null":true}}}}"#,
            view.seed
        );
        assert_eq!(grant.spec, spec);
        assert_eq!(view.cell, cell.digest);
        let seed = swath_model::seed::Seeds::in_text(&cell.spec).seed(cell.digest, view.replicate);
        assert_eq!(view.seed, seed);
    }
}
