//! Programs that travel with their sweeps to workers that have none of their
//! files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use swath_e2e::{Process, Site, wait_until};
use swath_proto::v1::UploadRequest;
use swath_proto::v1::control_client::ControlClient;
use tokio_stream::wrappers::ReceiverStream;

const PATIENCE: Duration = Duration::from_mins(2);

/// What a worker runs: it needs files of its copy, one of them executable, writes
/// there what no other attempt may see, and has a directory outside of it.
const MAIN: &str = "#!/bin/sh
set -e
[ ! -e seen ] || { echo 'somebody was here before' >&2; exit 1; }
touch seen
case \"$SWATH_OUT\" in \"$PWD\"*) echo 'its directory is in the copy' >&2; exit 1;; esac
[ \"$SWATH_OUT\" = \"$2\" ]
echo kept > \"$SWATH_OUT/kept\"
echo \"acc=$(./lib/value.sh)\"
";

/// A sweep over `x` of the program in `code`; it is `value` that it measures.
fn write(site: &Site, name: &str, value: u32) {
    executable(&site.write("project/code/main.sh", MAIN));
    let script = format!("#!/bin/sh\necho {value}\n");
    executable(&site.write("project/code/lib/value.sh", &script));
    site.write(
        &format!("project/{name}.toml"),
        &format!(
            "[sweep]\nname = \"{name}\"\nreplicates = 2\n[program]\nmetric = \"acc\"\n\
             command = [\"./main.sh\", \"{{x}}\", \"{{out}}\"]\ndirectory = \"code\"\n\
             inputs = [\"main.sh\", \"lib/*\"]\nship = true\nread = {{ stdout = 'acc=(.*)' }}\n\
             [[grid]]\nx = [1, 2]\n"
        ),
    );
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// Starts a worker far from all files of the sweep.
fn worker(site: &Site) -> Process {
    let elsewhere = site.path().join("elsewhere");
    fs::create_dir_all(&elsewhere).expect("a directory");
    let mut command = site.worker_command("w", 2);
    command.current_dir(elsewhere);
    Process::start("w", command.args(["--allow-command", "./main.sh"]))
}

fn all_succeed(site: &Site, sweep: &str, jobs: u64) {
    wait_until("all jobs are measured", PATIENCE, || {
        assert_eq!(site.count(sweep, "failed"), 0, "{}", site.ok(&["status"]));
        (site.count(sweep, "succeeded") == jobs).then_some(())
    });
}

fn medians(site: &Site, sweep: &str) -> Vec<f64> {
    let table = site.json(&["table", sweep]);
    let rows = table["rows"].as_array().expect("rows").iter();
    rows.filter_map(|row| row["median"].as_f64()).collect()
}

/// The files that a worker keeps.
fn kept(site: &Site) -> Vec<PathBuf> {
    let kept = fs::read_dir(site.path().join("state-w/inputs")).expect("a directory");
    kept.map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn a_sweep_brings_its_program_along() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    write(&site, "travels", 1);
    let plan = site.run(&["plan", "project/travels.toml"]);
    assert!(plan.stderr.contains("2 files ("), "{}", plan.stderr);
    let submitted = site.json(&["submit", "project/travels.toml"]);
    assert_eq!(submitted["shipped"]["files"], 2, "{submitted}");
    assert_eq!(submitted["shipped"]["sent"], 2, "{submitted}");
    let again = site.json(&["submit", "project/travels.toml"]);
    assert_eq!(again["shipped"]["sent"], 0, "{again}");
    assert_eq!(again["existed"], true, "{again}");
    // Somebody edits one file, and removes the other, before a job begins.
    site.write("project/code/lib/value.sh", "#!/bin/sh\necho 2\n");
    fs::remove_file(site.path().join("project/code/main.sh")).expect("it was there");
    let worker = worker(&site);
    all_succeed(&site, "travels", 4);
    assert_eq!(medians(&site, "travels"), [1.0; 2]);
    let copies = site.path().join("state-w/copies");
    wait_until("the copies are gone", PATIENCE, || {
        (fs::read_dir(&copies).expect("a directory").count() == 0).then_some(())
    });
    // The worker keeps what it has fetched, and looks at it before it uses it.
    assert_eq!(kept(&site).len(), 2);
    for path in kept(&site) {
        fs::write(path, "damaged").expect("a file");
    }
    site.ok(&["extend", "travels", "--replicates", "3"]);
    all_succeed(&site, "travels", 6);
    assert_eq!(medians(&site, "travels"), [1.0; 2]);
    // Edited files are another program, which trains beside the first one.
    write(&site, "travels", 5);
    let output = site.run(&["submit", "project/travels.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(medians(&site, "travels"), [5.0; 2]);
    assert_eq!(medians(&site, "travels@1"), [1.0; 2]);
    drop(worker);
}

#[test]
fn the_room_of_files_is_given_back_with_their_last_sweep() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    write(&site, "first", 1);
    site.write("project/code/lib/large.bin", &"x".repeat(20 << 20));
    site.ok(&["submit", "project/first.toml"]);
    let bytes = || {
        fs::metadata(site.path().join("swath.db"))
            .expect("a file")
            .len()
    };
    let backup = site.path().join("backup.db");
    site.ok(&["store", "backup", backup.to_str().expect("a path")]);
    let verified = site.run(&["store", "verify", "--database", "sqlite:backup.db"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    site.ok(&["delete", "first", "--cancel", "--yes"]);
    assert!(bytes() < 10 << 20, "{}", bytes());
}

#[test]
fn a_coordinator_that_dies_during_an_upload_keeps_nothing_of_the_sweep() {
    let mut site = Site::new();
    let mut coordinator = site.serve();
    write(&site, "travels", 1);
    let content = vec![7; 1 << 20];
    let begin = UploadRequest {
        digest: vec![1; 32],
        bytes: 60 << 20,
        content: content.clone(),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = site.url().to_owned();
    runtime.block_on(async {
        let mut client = ControlClient::connect(url).await.expect("a connection");
        let (pieces, stream) = tokio::sync::mpsc::channel(1);
        let upload = tokio::spawn(async move { client.upload(ReceiverStream::new(stream)).await });
        pieces.send(begin).await.expect("it is taken");
        // More than what any buffer on the way holds: the coordinator has begun.
        for _ in 0..30 {
            let content = content.clone();
            let next = UploadRequest {
                content,
                ..UploadRequest::default()
            };
            pieces.send(next).await.expect("it is taken");
        }
        coordinator.kill();
        let broken = upload.await.expect("it ends");
        broken.expect_err("nobody is there to answer");
    });
    let _coordinator = site.serve();
    let sweeps = site.json(&["sweeps"]);
    assert_eq!(sweeps["sweeps"], Value::Array(Vec::new()));
    let verified = site.run(&["store", "backup", "after.db"]);
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    let submitted = site.json(&["submit", "project/travels.toml"]);
    assert_eq!(submitted["shipped"]["sent"], 2, "{submitted}");
    let _worker = worker(&site);
    all_succeed(&site, "travels", 4);
}
