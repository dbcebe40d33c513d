//! What programs leave in their directories: listed, fetched, kept and removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use swath_e2e::{Process, Site, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);

/// A sweep over `x` of a script that leaves files; `keep` ends its `[program]`.
fn sweep(name: &str, keep: &str) -> String {
    format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 1\n[program]\ncommand = [\"sh\", \"t.sh\", \"{{x}}\"]\n\
         metric = \"val/acc\"\nread = {{ stdout = 'acc=(.*)' }}\ngoal = \"maximize\"\n{keep}\n\
         [[grid]]\nx = [1, 2, 3]\n"
    )
}

const SCRIPT: &str = "\
cd \"$SWATH_OUT\"
mkdir figures
echo \"loss of $1\" > figures/loss.txt
head -c 3000000 /dev/urandom > model.bin
ln -s /etc/passwd link
ln -s .. up
mkfifo pipe
echo acc=$1
";

fn place() -> Site {
    let site = Site::new();
    site.write("t.sh", SCRIPT);
    site
}

fn worker(site: &Site, name: &str, options: &[&str]) -> Process {
    let mut command = site.worker_command(name, 1);
    command.args(["--allow-command", "sh"]).args(options);
    Process::start(name, &mut command)
}

fn submit(site: &Site, name: &str, keep: &str) {
    let file = format!("{name}.toml");
    site.write(&file, &sweep(name, keep));
    let output = site.run(&["submit", &file, "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// The digests of a sweep's jobs, in the order of `x`.
fn jobs(site: &Site, name: &str) -> Vec<String> {
    let jobs = site.json(&["jobs", name]);
    let jobs = jobs["jobs"].as_array().expect("jobs");
    let mut jobs: Vec<(u64, String)> = jobs
        .iter()
        .map(|job| {
            let x = job["spec"]["params"]["x"].as_u64().expect("x");
            (x, job["digest"].as_str().expect("a digest").to_owned())
        })
        .collect();
    jobs.sort();
    jobs.into_iter().map(|(_, digest)| digest).collect()
}

/// The directory of a job's first attempt.
fn directory(out: &Path, job: &str) -> PathBuf {
    out.join(format!("{}-1", &job[..12]))
}

fn paths(files: &Value) -> Vec<&str> {
    let files = files["files"].as_array().expect("files");
    files.iter().filter_map(|it| it["path"].as_str()).collect()
}

#[test]
fn what_an_attempt_left_is_listed_and_fetched() {
    let mut site = place();
    let _coordinator = site.serve();
    let mut running = worker(&site, "w", &[]);
    submit(&site, "left", "");
    let job = jobs(&site, "left").remove(0);
    let there = directory(&site.path().join("state-w/out"), &job);
    let files = site.json(&["files", &job]);
    let wanted = ["figures/loss.txt", "link", "model.bin", "pipe", "up"];
    assert_eq!(paths(&files), wanted, "{files}");
    assert_eq!(files["files"][1]["kind"], "link");
    assert_eq!(files["directory"], there.to_str().expect("a path"));
    let explained = site.ok(&["explain", &job]);
    assert!(
        explained.contains(there.to_str().expect("a path")),
        "{explained}"
    );

    // Links are told and not followed, also not those of the reader.
    let into = site.path().join("here");
    let fetch = |words: &[&str]| site.run(&[&["files", &job, "-o", "here"], words].concat());
    let output = fetch(&[]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("`link` is a link to `/etc/passwd`"),
        "{}",
        output.stderr
    );
    let model = fs::read(there.join("model.bin")).expect("the file");
    assert_eq!(fs::read(into.join("model.bin")).expect("a copy"), model);
    let text = fs::read_to_string(into.join("figures/loss.txt")).expect("a copy");
    assert_eq!(text, "loss of 1\n");
    let mut names: Vec<_> = fs::read_dir(&into)
        .expect("the copies")
        .map(|it| it.expect("an entry").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["figures", "model.bin"]);
    let output = fetch(&[]);
    assert!(
        output.stderr.contains("2 files there already"),
        "{}",
        output.stderr
    );

    // A file that differs stays, unless it is to be replaced; the beginning of one is
    // gone on with. One that was named wrongly is an error.
    let mine = vec![0; model.len() + 1];
    fs::write(into.join("model.bin"), &mine).expect("another file");
    let output = fetch(&["*.bin"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(
        output.stderr.contains("1 file here differs"),
        "{}",
        output.stderr
    );
    assert_eq!(fs::read(into.join("model.bin")).expect("mine"), mine);
    let begun = &model[..model.len() / 2];
    for (here, words) in [
        (&mine[..], &["*.bin", "--replace"][..]),
        (begun, &["*.bin"]),
    ] {
        fs::write(into.join("model.bin"), here).expect("another file");
        let output = fetch(words);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(
            output.stderr.contains("fetched 1 file"),
            "{}",
            output.stderr
        );
        assert_eq!(fs::read(into.join("model.bin")).expect("a copy"), model);
    }
    assert_eq!(fetch(&["modle.bin"]).code, Some(3));

    // No file is written through a link.
    fs::remove_dir_all(into.join("figures")).expect("the copies");
    std::os::unix::fs::symlink(site.path(), into.join("figures")).expect("a link");
    let output = fetch(&["figures"]);
    assert_eq!(output.code, Some(1), "{}", output.stderr);
    assert!(!site.path().join("loss.txt").exists());

    // The worker may be gone: they are on this host.
    running.kill();
    let copy = site.run(&["files", &job, "-o", "copy", "model.bin"]);
    assert_eq!(copy.code, Some(0), "{}", copy.stderr);
    assert_eq!(
        fs::read(site.path().join("copy/model.bin")).expect("a copy"),
        model
    );
    fs::rename(&there, site.path().join("moved")).expect("moved");
    let output = wait_until("the worker is known to be away", PATIENCE, || {
        let output = site.run(&["files", &job]);
        assert_eq!(output.code, Some(4), "{}", output.stderr);
        output
            .stderr
            .contains("and is away: not seen since")
            .then_some(output)
    });
    assert!(
        output.stderr.contains(there.to_str().expect("a path")),
        "{}",
        output.stderr
    );
}

#[test]
fn what_was_cut_off_goes_on() {
    let mut site = place();
    let _coordinator = site.serve();
    let _worker = worker(&site, "w", &[]);
    submit(&site, "resumed", "");
    let job = jobs(&site, "resumed").remove(0);
    let there = directory(&site.path().join("state-w/out"), &job);
    let model = fs::read(there.join("model.bin")).expect("the file");
    // The name under which a file lies until it is whole: what a first, cut off
    // command leaves.
    let output = site.run(&["files", &job, "-o", "here", "model.bin"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let name = ".swath-part-5817df92307886cd";
    let (whole, part) = (
        site.path().join("here/model.bin"),
        site.path().join("here").join(name),
    );
    for begins_right in [true, false] {
        fs::remove_file(&whole).expect("the copy");
        let mut begun = model[..1_000_000].to_vec();
        begun[7] ^= u8::from(!begins_right);
        fs::write(&part, begun).expect("a part");
        let output = site.run(&["files", &job, "-o", "here", "model.bin"]);
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert_eq!(fs::read(&whole).expect("a copy"), model);
        assert!(!part.exists());
    }
}

#[test]
fn after_run_the_files_are_read_without_a_worker() {
    let site = place();
    site.write("s.toml", &sweep("alone", ""));
    let output = site.run(&["run", "s.toml", "--slots", "1"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let job = jobs(&site, "alone").remove(1);
    let output = site.run(&["files", &job, "-o", "here", "figures/*"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let text = fs::read_to_string(site.path().join("here/figures/loss.txt")).expect("a copy");
    assert_eq!(text, "loss of 2\n");
    // The worker asks once more before it ends.
    site.write(
        "s.toml",
        &sweep("nothing", "keep = \"none\"").replace("[1, 2, 3]", "[4, 5]"),
    );
    let output = site.run(&["run", "s.toml", "--slots", "1"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let out = site.path().join("swath.db.worker/out");
    for job in jobs(&site, "nothing") {
        assert!(!directory(&out, &job).exists(), "{job}");
    }
    assert!(directory(&out, &job).exists());
}

#[test]
fn what_no_sweep_keeps_is_removed_and_told() {
    let mut site = place();
    let _coordinator = site.serve();
    let _worker = worker(&site, "w", &["--out", "shared"]);
    submit(&site, "best", "keep = \"best\"");
    let mut all = fs::read_dir(site.path().join("shared")).expect("the shared place");
    let out = all
        .next()
        .expect("the worker's own")
        .expect("an entry")
        .path();
    let all = jobs(&site, "best");
    wait_until("only the best cell is kept", PATIENCE, || {
        let left = all.iter().filter(|job| directory(&out, job).exists());
        (left.count() == 1).then_some(())
    });
    assert!(directory(&out, &all[2]).join("model.bin").exists());
    let output = site.run(&["files", &all[0]]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stderr.contains("no sweep keeps them"),
        "{}",
        output.stderr
    );
    let files = site.json(&["files", &all[0]]);
    assert_eq!(files["absent"]["by"], "keep", "{files}");
    let output = site.run(&["files", &all[0], "-o", "here"]);
    assert_eq!(output.code, Some(3), "{}", output.stderr);
}

#[test]
fn what_a_deleted_sweep_left_goes_with_it() {
    let mut site = place();
    let _coordinator = site.serve();
    let _worker = worker(&site, "w", &[]);
    submit(&site, "gone", "");
    let out = site.path().join("state-w/out");
    let gone = jobs(&site, "gone");
    assert!(gone.iter().all(|job| directory(&out, job).exists()));
    let output = site.run(&["delete", "gone", "--yes"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    // The worker asks after each outcome.
    site.write(
        "next.toml",
        &sweep("next", "").replace("[1, 2, 3]", "[3, 4]"),
    );
    let output = site.run(&["submit", "next.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let kept = jobs(&site, "next");
    assert_eq!(kept[0], gone[2], "the same job as before");
    wait_until("those of deleted jobs are removed", PATIENCE, || {
        let mut left = gone[..2].iter().filter(|job| directory(&out, job).exists());
        left.next().is_none().then_some(())
    });
    assert!(kept.iter().all(|job| directory(&out, job).exists()));
}

#[test]
fn the_quota_takes_the_oldest() {
    let mut site = place();
    let _coordinator = site.serve();
    // Each attempt leaves 3 MB.
    let _worker = worker(&site, "w", &["--keep-bytes", "4MiB"]);
    submit(&site, "quota", "");
    let all = jobs(&site, "quota");
    let out = site.path().join("state-w/out");
    wait_until("one is left", PATIENCE, || {
        let left = all.iter().filter(|job| directory(&out, job).exists());
        (left.count() == 1).then_some(())
    });
    let gone = all.iter().find(|job| !directory(&out, job).exists());
    let output = site.run(&["files", gone.expect("one that is gone")]);
    assert!(
        output.stderr.contains("by the quota of worker `w`"),
        "{}",
        output.stderr
    );
}
