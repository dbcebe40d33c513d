//! Jobs of one and of several GPUs, by real processes. No GPU is used: a
//! stand-in for `nvidia-smi` tells of four, and the programs only print which
//! of them they were given.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use swath_e2e::{Process, Site, binary, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);

/// What the stand-in prints: four GPUs of 80 GiB.
const GPUS: &str = "\
0, Stand-in, 81920, GPU-a
1, Stand-in, 81920, GPU-b
2, Stand-in, 81920, GPU-c
3, Stand-in, 81920, GPU-d
";

/// Notes which GPUs it has from when to when, and holds each by a directory that
/// can be made only once. A second word is a file that it waits for.
const SCRIPT: &str = r#"
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do
  mkdir "locks/$gpu" || echo "$gpu" >> overlaps
done
echo "begins $SWATH_SWEEP $CUDA_VISIBLE_DEVICES" >> uses
echo "CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES SWATH_DEVICES=$SWATH_DEVICES"
if [ -n "$2" ]; then
  while [ ! -e "$2" ]; do sleep 0.02; done
else
  sleep 0.1
fi
echo "ends $SWATH_SWEEP $CUDA_VISIBLE_DEVICES" >> uses
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do rmdir "locks/$gpu"; done
echo "acc=$1"
"#;

fn site() -> Site {
    let site = Site::new();
    site.write("t.sh", SCRIPT);
    let tool = site.write(
        "bin/nvidia-smi",
        &format!("#!/bin/sh\ncat <<END\n{GPUS}END\n"),
    );
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(tool, executable).expect("an executable");
    std::fs::create_dir(site.path().join("locks")).expect("a directory");
    site
}

/// A worker with these devices, for which the stand-in speaks.
fn worker(site: &Site, name: &str, devices: &str) -> Process {
    let mut command = Command::new(binary("worker"));
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .current_dir(site.path())
        .env("HOME", site.path())
        .env(
            "PATH",
            format!("{}:{path}", site.path().join("bin").display()),
        )
        .env_remove("CUDA_VISIBLE_DEVICES")
        .args(["--coordinator", site.url(), "--name", name])
        .args(["--device", devices, "--allow-command", "sh"])
        .arg("--state-dir")
        .arg(site.path().join(format!("state-{name}")));
    Process::start(name, &mut command)
}

/// Submits a sweep of so many jobs with these needs; they wait for this file, if
/// there is a name.
fn submit(site: &Site, name: &str, needs: &str, jobs: u32, file: &str) -> String {
    let values: Vec<String> = (1..=jobs).map(|x| x.to_string()).collect();
    let text = format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 1\n[program]\ncommand = [\"sh\", \"t.sh\", \"{{x}}\", \"{file}\"]\n\
         metric = \"acc\"\nread = {{ stdout = '^acc=(.*)' }}\nneeds = {{ {needs} }}\n\
         [fixed]\nwhich = \"{name}\"\n[[grid]]\nx = [{}]\n",
        values.join(", ")
    );
    let file = format!("{name}.toml");
    site.write(&file, &text);
    let output = site.run(&["submit", &file]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stderr
}

fn first_job(site: &Site, sweep: &str) -> String {
    let jobs = site.json(&["jobs", sweep]);
    jobs["jobs"][0]["digest"]
        .as_str()
        .expect("a job")
        .to_owned()
}

fn all_succeed(site: &Site, sweep: &str, jobs: u64) {
    wait_until(&format!("all jobs of {sweep}"), PATIENCE, || {
        assert_eq!(site.count(sweep, "failed"), 0);
        (site.count(sweep, "succeeded") == jobs).then_some(())
    });
}

/// Checks that no GPU was used by two programs at once, by what they noted in
/// their order, and returns which GPUs the programs of each sweep had.
fn uses(site: &Site) -> BTreeMap<String, Vec<Vec<String>>> {
    assert!(
        !site.path().join("overlaps").exists(),
        "a GPU was used twice"
    );
    let text = std::fs::read_to_string(site.path().join("uses")).expect("uses");
    let mut busy: Vec<String> = Vec::new();
    let mut uses: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let gpus: Vec<String> = words[2].split(',').map(str::to_owned).collect();
        if words[0] == "begins" {
            assert!(gpus.iter().all(|gpu| !busy.contains(gpu)), "{text}");
            busy.extend(gpus.clone());
            uses.entry(words[1].to_owned()).or_default().push(gpus);
        } else {
            busy.retain(|gpu| !gpus.contains(gpu));
        }
    }
    assert_eq!(busy, [""; 0]);
    uses
}

#[test]
fn jobs_of_one_and_of_two_gpus_share_a_worker_and_no_gpu() {
    let mut site = site();
    let _coordinator = site.serve();
    let told = submit(&site, "eight", "cuda = 8", 1, "");
    assert!(!told.contains("no active worker has"), "{told}");
    let _worker = worker(&site, "gpus", "cuda:0,cuda:1,cuda:2,cuda:3");
    wait_until("the lack is told", PATIENCE, || {
        let explained = site.ok(&["explain", &first_job(&site, "eight")]);
        let lack = "no active worker has 8 `cuda` devices for it; the closest has 4";
        explained.contains(lack).then_some(())
    });
    let told = submit(&site, "six", "cuda = 6", 1, "");
    let lack = "no active worker has 6 `cuda` devices for it; the closest has 4";
    assert!(told.contains(lack), "{told}");
    submit(&site, "before", "cuda = 1", 8, "");
    submit(&site, "pairs", "cuda = 2, memory = \"50GiB\"", 6, "");
    submit(&site, "after", "cuda = 1", 60, "");
    all_succeed(&site, "pairs", 6);
    // Those that came later and need less did not go first.
    assert!(site.count("after", "queued") > 0);
    all_succeed(&site, "after", 60);
    let uses = uses(&site);
    let counts = |sweep: &str| {
        let counts = uses[sweep].iter().map(Vec::len);
        counts.collect::<Vec<_>>()
    };
    assert_eq!(counts("before"), [1; 8]);
    assert_eq!(counts("pairs"), [2; 6]);
    assert_eq!(counts("after"), [1; 60]);
    let log = site.ok(&["logs", &first_job(&site, "pairs")]);
    assert!(log.contains("SWATH_DEVICES=cuda:0,cuda:1"), "{log}");
}

#[test]
fn a_worker_keeps_gpus_free_for_a_job_that_needs_more() {
    let mut site = site();
    let _coordinator = site.serve();
    let _worker = worker(&site, "gpus", "cuda:0,cuda:1");
    submit(&site, "one", "cuda = 1", 1, "go-1");
    submit(&site, "other", "cuda = 1", 1, "go-2");
    wait_until("both run", PATIENCE, || {
        let running = ["one", "other"].map(|name| site.count(name, "leased"));
        (running == [1, 1]).then_some(())
    });
    submit(&site, "pair", "cuda = 2", 1, "go-3");
    let pair = first_job(&site, "pair");
    submit(&site, "small", "cuda = 1", 3, "");
    site.write("go-1", "");
    all_succeed(&site, "one", 1);
    let kept = "worker `gpus` keeps cuda:0,cuda:1 free for it and begins nothing else there; \
                it still waits for cuda:";
    wait_until("the job is told what is kept", PATIENCE, || {
        let explained = site.ok(&["explain", &pair]);
        let one_is_free = explained.contains(kept) && !explained.contains(" and cuda:");
        one_is_free.then_some(())
    });
    let workers = site.ok(&["workers"]);
    assert!(
        workers.contains("keeps cuda:0,cuda:1 free for job"),
        "{workers}"
    );
    assert_eq!(site.count("small", "queued"), 3);
    site.write("go-2", "");
    wait_until("the pair runs", PATIENCE, || {
        let status = site.ok(&["status"]);
        status.contains("gpus cuda:0,cuda:1").then_some(())
    });
    let explained = site.ok(&["explain", &pair]);
    assert!(
        explained.contains("attempt 1 on cuda:0,cuda:1 for"),
        "{explained}"
    );
    assert_eq!(site.count("small", "succeeded"), 0);
    site.write("go-3", "");
    all_succeed(&site, "small", 3);
    let order: Vec<usize> = uses(&site).values().map(|uses| uses[0].len()).collect();
    assert_eq!(order, [1, 1, 2, 1]);
}

#[test]
fn what_is_kept_for_a_job_is_free_again_when_it_is_cancelled() {
    let mut site = site();
    let _coordinator = site.serve();
    let _worker = worker(&site, "gpus", "cuda:0,cuda:1");
    submit(&site, "one", "cuda = 1", 1, "go-1");
    wait_until("it runs", PATIENCE, || {
        (site.count("one", "leased") == 1).then_some(())
    });
    submit(&site, "pair", "cuda = 2", 1, "");
    submit(&site, "small", "cuda = 1", 2, "");
    assert_eq!(site.count("small", "succeeded"), 0);
    site.ok(&["cancel", "pair"]);
    all_succeed(&site, "small", 2);
    assert_eq!(site.count("one", "leased"), 1);
    site.write("go-1", "");
    all_succeed(&site, "one", 1);
    uses(&site);
}

#[test]
fn memory_keeps_large_jobs_apart_where_slots_share_a_gpu() {
    let mut site = site();
    let _coordinator = site.serve();
    let _worker = worker(&site, "gpus", "cuda:2=3");
    submit(&site, "large", "cuda = 1, memory = \"50GiB\"", 6, "");
    all_succeed(&site, "large", 6);
    let uses = uses(&site);
    assert_eq!(uses["large"], vec![vec!["GPU-c".to_owned()]; 6]);
}
