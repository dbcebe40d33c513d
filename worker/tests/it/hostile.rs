//! A coordinator that somebody has stolen: what it sends runs only as the worker's own settings
//! allow, and finds no secret of the worker's.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use swath_model::job::StateName;
use swath_model::needs::Lack;
use swath_model::program::{Launch, Shipped};
use swath_worker::child::Confinement;

use crate::coordinator::Coordinator;
use crate::process::Worker;
use crate::support::{Bench, command, lives, pid_in, until};

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

/// Everything that a program can see of its worker: variables, the words of both processes, what
/// is open.
const LOOK: &str = r#"
env
tr '\0' '\n' < /proc/self/cmdline
ls -l /proc/$$/fd
ulimit -c
echo '{"event":"finished","accuracy_error":1}'
"#;

#[tokio::test]
async fn a_program_gets_no_secret_of_its_worker() {
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let state = &bench.settings.state_dir;
    std::fs::create_dir_all(state).unwrap();
    let token = bench.path("worker.token");
    std::fs::write(&token, "swath-canary").unwrap();
    let looking = bench.path("seen");
    let look = format!("{{ {LOOK} }} | tee {}", looking.display());
    let spec = command(&["sh", "-c", &look], &json!({}));
    coordinator.submit(&[spec], 1).await;
    let variables = [
        ("SWATH_TOKEN_FILE", token.to_str().unwrap()),
        ("SWATH_EXIT_WHEN_IDLE", "3600"),
    ];
    let _worker = Worker::start_with(&bench, &[], &variables);
    coordinator.all_are(StateName::Succeeded).await;
    let seen = std::fs::read_to_string(looking).unwrap();
    assert!(seen.contains("SWATH_SPEC="), "{seen}");
    for secret in ["canary", "worker.token", "SWATH_TOKEN", "SWATH_STATE_DIR"] {
        assert!(!seen.contains(secret), "{secret} in {seen}");
    }
    let open: Vec<&str> = seen
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|it| it.1)
        .collect();
    assert!(open.len() >= 3, "{seen}");
    for place in open {
        assert!(place.starts_with("pipe:"), "{place} is open");
    }
}

/// What the user of another name finds below a directory, and whether that gets away.
const SEARCH: &str = r#"
id -u; id -G
grep NoNewPrivs /proc/self/status
ulimit -n; ulimit -f; ulimit -d
test -r "$SWATH_SPEC" && echo spec is there
find "$STATE" -type f -exec cat {} + 2>/dev/null
ls "$STATE"
echo $HOME $USER
"#;

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "whoever reads the log must see what was not tested"
)]
async fn a_program_of_another_user_reads_nothing_of_its_worker() {
    let nobody = Command::new("id").args(["-u", "nobody"]).output().unwrap();
    if !rustix::process::geteuid().is_root() || !nobody.status.success() {
        eprintln!("SKIPPED: only root can run programs as another user, `nobody` here");
        return;
    }
    let coordinator = Coordinator::start();
    let bench = Bench::new(&coordinator, 1);
    let open = std::fs::Permissions::from_mode(0o711);
    std::fs::set_permissions(bench.directory.path(), open).unwrap();
    let state = &bench.settings.state_dir;
    std::fs::create_dir_all(state).unwrap();
    for name in ["certificate.json", "token"] {
        let (path, mode) = (state.join(name), std::fs::Permissions::from_mode(0o600));
        std::fs::write(&path, "swath-canary").unwrap();
        std::fs::set_permissions(path, mode).unwrap();
    }
    let script = format!(
        "{{ STATE={}; {SEARCH} }} > $SWATH_OUT/seen; echo $$ > $SWATH_OUT/pid; sleep 1000",
        state.display()
    );
    let spec = command(&["sh", "-c", &script], &json!({}));
    coordinator.submit(&[spec], 1).await;
    let options = ["--run-as", "nobody", "--limit-open-files", "100"];
    let more = ["--limit-file", "1MiB", "--limit-memory", "1GiB"];
    let mut worker = Worker::start(&bench, &[&options[..], &more[..]].concat());
    let mut out = None;
    until("it has looked", async || {
        let outs = std::fs::read_dir(state.join("out")).into_iter().flatten();
        out = outs
            .flatten()
            .map(|it| it.path())
            .find(|it| it.join("pid").exists());
        out.is_some()
    })
    .await;
    let out = out.unwrap();
    let seen = std::fs::read_to_string(out.join("seen")).unwrap();
    let uid = String::from_utf8(nobody.stdout).unwrap();
    assert!(seen.starts_with(&uid), "{seen}");
    let lines: Vec<&str> = seen.lines().collect();
    assert!(!lines[1].split(' ').any(|group| group == "0"), "{seen}");
    assert!(lines[2].ends_with('1'), "{seen}");
    assert_eq!(
        lines[3..7],
        ["100", "2048", "1048576", "spec is there"],
        "{seen}"
    );
    assert!(seen.contains("nobody\n"), "{seen}");
    assert!(
        !seen.contains("canary") && !seen.contains("certificate"),
        "{seen}"
    );
    // What ends with the worker is still what ends with the worker.
    let pid = pid_in(&out.join("pid")).await;
    worker.signal(Signal::KILL);
    worker.code().await;
    until("its program is gone", async || !lives(pid)).await;
}
