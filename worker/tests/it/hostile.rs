//! A coordinator that somebody has stolen: what it sends runs only as the worker's own settings
//! allow.

use std::path::Path;

use serde_json::{Value, json};
use swath_model::job::StateName;
use swath_model::needs::Lack;
use swath_model::program::{Launch, Shipped};
use swath_worker::child::Confinement;

use crate::coordinator::Coordinator;
use crate::support::{Bench, command, until};

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// How the jobs differ in what they need, so that each is granted.
fn launch(number: usize, directory: &Path) -> Launch {
    Launch {
        sweep: Some(format!("sweep-{number}")),
        directory: Some(directory.display().to_string()),
        ..Launch::default()
    }
}

fn with(mut spec: Value, key: &str, value: Value) -> Value {
    spec["trainer"][key] = value;
    spec
}

/// Programs that leave a mark, each in a way that the worker does not allow, and the option that
/// would allow it.
fn attacks(bench: &Bench) -> Vec<(Value, Launch, &'static str)> {
    let project = bench.path("project");
    let mark = bench.path("mark").display().to_string();
    let touch = format!("touch {mark}");
    let good = || command(&["sh", "job.sh", &mark], &json!({}));
    let mut attacks = Vec::new();
    let mut attack = |mut spec: Value, directory: &Path, option| {
        // Otherwise some would be the same job.
        spec["params"] = json!({ "number": attacks.len() });
        let launch = launch(attacks.len(), directory);
        attacks.push((spec, launch, option));
    };
    for argv in [
        vec!["sh", "-c", &touch],
        vec!["sh", "./job.sh", &mark],
        vec!["sh", "../elsewhere/job.sh", &mark],
        vec!["sh", "-i", "job.sh", &mark],
        vec!["sh"],
    ] {
        attack(command(&argv, &json!({})), &project, "--allow-command");
    }
    for directory in [
        "elsewhere",
        "project/../elsewhere",
        "project/link",
        "state",
        "out",
        "none",
    ] {
        attack(good(), &bench.path(directory), "--allow-directory");
    }
    attack(good(), Path::new("/"), "--allow-directory");
    for name in [
        "LD_PRELOAD",
        "PYTHONPATH",
        "PATH",
        "BASH_ENV",
        "ENV",
        "CUDA_VISIBLE_DEVICES",
    ] {
        let spec = with(good(), "environment", json!({ name: "x" }));
        attack(spec, &project, "--allow-environment");
    }
    for path in [
        "/etc/passwd",
        "../elsewhere/a.csv",
        "{out}/../../state/a.csv",
    ] {
        let spec = with(good(), "read", json!({ "csv": path }));
        attack(spec, &project, "--allow-directory");
    }
    let digest = "0".repeat(64);
    for path in ["/etc/passwd", "../elsewhere/job.sh", "link/job.sh"] {
        let spec = with(good(), "inputs", json!({ path: digest }));
        attack(spec, &project, "--allow-directory");
    }
    let (spec, mut ships) = (good(), launch(attacks.len(), &project));
    ships.shipped = Some(Shipped::default());
    attacks.push((spec, ships, "--allow-shipped"));
    attacks
}

fn confined(bench: &mut Bench) {
    for place in ["project", "elsewhere", "out", "state"] {
        std::fs::create_dir_all(bench.path(place)).unwrap();
    }
    let job = "touch $1; echo '{\"event\":\"finished\",\"accuracy_error\":1}'";
    for place in ["project", "elsewhere"] {
        std::fs::write(bench.path(place).join("job.sh"), job).unwrap();
    }
    std::os::unix::fs::symlink("../elsewhere", bench.path("project/link")).unwrap();
    bench.settings.confinement = Confinement {
        commands: vec![words("sh job.sh")],
        directories: Some(vec![bench.path("project")]),
        variables: Some(vec!["MODE".to_owned()]),
        shipped: false,
        written: vec![bench.path("state"), bench.path("out")],
    };
}

#[tokio::test]
async fn nothing_runs_that_the_worker_does_not_allow() {
    let coordinator = Coordinator::start();
    let mut bench = Bench::new(&coordinator, 2);
    confined(&mut bench);
    let attacks = attacks(&bench);
    let jobs = attacks.iter();
    let jobs = jobs.map(|(spec, launch, _)| (spec.clone(), launch.clone()));
    coordinator.submit_launched(jobs.collect()).await;
    let worker = bench.start();
    let lacks = || coordinator.shared.lacks.lock().unwrap().clone();
    until("every job is given back", async || {
        lacks().len() >= attacks.len()
    })
    .await;
    let mut options: Vec<String> = lacks()
        .into_iter()
        .map(|lack| match lack {
            Lack::Permission { option, .. } => option,
            other => panic!("{other:?}"),
        })
        .collect();
    let mut wanted: Vec<&str> = attacks.iter().map(|attack| attack.2).collect();
    options.sort();
    wanted.sort_unstable();
    assert_eq!(options, wanted);
    assert!(!bench.path("mark").exists(), "something ran");
    for job in coordinator.jobs().await {
        assert_eq!((job.state, job.charged), (StateName::Queued, 0));
    }
    worker.abort();
}

#[tokio::test]
async fn what_the_worker_allows_runs() {
    let coordinator = Coordinator::start();
    let mut bench = Bench::new(&coordinator, 1);
    confined(&mut bench);
    let mark = bench.path("mark").display().to_string();
    let spec = command(&["sh", "job.sh", &mark], &json!({}));
    let spec = with(spec, "environment", json!({ "MODE": "fast" }));
    let job = (spec, launch(0, &bench.path("project")));
    coordinator.submit_launched(vec![job]).await;
    let worker = bench.start();
    coordinator.all_are(StateName::Succeeded).await;
    assert!(bench.path("mark").exists());
    worker.abort();
}

/// A link that the program itself makes.
#[tokio::test]
async fn numbers_are_not_read_where_a_link_leads_out() {
    let coordinator = Coordinator::start();
    let mut bench = Bench::new(&coordinator, 1);
    confined(&mut bench);
    std::fs::write(bench.path("secret.json"), r#"{"accuracy_error":7}"#).unwrap();
    let job = format!(
        "ln -s {} $SWATH_OUT/r.json",
        bench.path("secret.json").display()
    );
    std::fs::write(bench.path("project/job.sh"), job).unwrap();
    let spec = command(&["sh", "job.sh"], &json!({}));
    let spec = with(spec, "read", json!({ "json": "{out}/r.json" }));
    let job = (spec, launch(0, &bench.path("project")));
    coordinator.submit_launched(vec![job]).await;
    let worker = bench.start();
    coordinator.all_are(StateName::Failed).await;
    let told = format!("{:?}", coordinator.detail().await);
    assert!(
        told.contains("leads out of the program's directories"),
        "{told}"
    );
    worker.abort();
}
