//! Programs that change after they were trained: jobs of the changed program are
//! trained on request, and those of the old one can be replayed with the old one.

use std::time::Duration;

use swath_e2e::{Site, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);

/// A sweep over `x` of the script in `code`; `lines` end its `[program]`.
fn sweep(name: &str, lines: &str) -> String {
    format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 1\n[program]\nmetric = \"acc\"\n\
         command = [\"sh\", \"t.sh\", \"{{x}}\"]\ndirectory = \"code\"\n{lines}\n\
         read = {{ stdout = 'acc=(.*)' }}\n[[grid]]\nx = [1, 2]\n[local]\ndata = \"/d\"\n"
    )
}

fn script(value: u32) -> String {
    // Only where its own directory is does it find what it reads.
    format!("[ -e ./t.sh ] || exit 3\necho acc={value}\n")
}

fn all_succeed(site: &Site, sweep: &str) {
    wait_until("all jobs are measured", PATIENCE, || {
        (site.count(sweep, "succeeded") == 2).then_some(())
    });
}

fn median(site: &Site, sweep: &str) -> String {
    let table = site.json(&["table", sweep]);
    table["rows"][0]["median"].to_string()
}

fn a_job(site: &Site, sweep: &str) -> String {
    let jobs = site.json(&["jobs", sweep]);
    let job = jobs["jobs"][0]["digest"].as_str();
    job.expect("a job").to_owned()
}

#[test]
fn a_changed_program_is_trained_again_on_request() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("code/t.sh", &script(1));
    site.write("s.toml", &sweep("edited", ""));
    let _worker = site.worker("w", 2, &["sh"]);
    site.ok(&["submit", "s.toml", "--wait"]);
    let job = a_job(&site, "edited");
    let as_it_was = site.run(&["retry", "edited", "--stale"]);
    assert_eq!(as_it_was.code, Some(0), "{}", as_it_was.stderr);
    assert!(
        as_it_was.stderr.contains("nothing is stale"),
        "{}",
        as_it_was.stderr
    );
    // It is started in its own directory, not in that of this command.
    let replayed = site.run(&["replay", &job]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);
    assert!(replayed.stdout.contains("identical"), "{}", replayed.stdout);

    site.write("code/t.sh", &script(2));
    let replayed = site.run(&["replay", &job]);
    assert_eq!(replayed.code, Some(5), "{}", replayed.stderr);
    assert!(
        replayed.stderr.contains("t.sh is another one than on 20"),
        "{}",
        replayed.stderr
    );
    let again = site.run(&["retry", "edited", "--stale"]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(
        again.stderr.contains("`t.sh` is another one"),
        "{}",
        again.stderr
    );
    assert!(again.stdout.contains("edited@2"), "{}", again.stdout);
    all_succeed(&site, "edited@2");
    assert_eq!(
        [median(&site, "edited@1"), median(&site, "edited@2")],
        ["1.0", "2.0"]
    );
    let replayed = site.run(&["replay", &a_job(&site, "edited@2")]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);

    let other = site.run(&["retry", &job, "--stale"]);
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(
        other.stderr.contains("`coordinator retry --stale edited"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_program_that_travels_is_replayed_as_it_was() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("code/t.sh", &script(1));
    site.write("s.toml", &sweep("travels", "ship = true"));
    let _worker = site.worker("w", 2, &["sh"]);
    site.ok(&["submit", "s.toml", "--wait"]);
    let job = a_job(&site, "travels");
    site.write("code/t.sh", &script(2));
    let replayed = site.run(&["replay", &job]);
    assert_eq!(replayed.code, Some(0), "{}", replayed.stderr);
    assert!(replayed.stdout.contains("identical"), "{}", replayed.stdout);
    site.ok(&["retry", "travels", "--stale"]);
    all_succeed(&site, "travels@2");
    assert_eq!(median(&site, "travels@2"), "2.0");
}

fn git(site: &Site, words: &[&str]) {
    let mut command = std::process::Command::new("git");
    let command = command.current_dir(site.path().join("code")).args(words);
    let command = command.envs([
        ("GIT_AUTHOR_NAME", "a"),
        ("GIT_AUTHOR_EMAIL", "a@b"),
        ("GIT_COMMITTER_NAME", "a"),
        ("GIT_COMMITTER_EMAIL", "a@b"),
    ]);
    let output = command.output().expect("git");
    assert!(output.status.success(), "{words:?}: {output:?}");
}

#[test]
fn a_median_over_two_versions_of_the_code_says_so() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("code/t.sh", ". ./value.sh\n");
    site.write("code/value.sh", "echo acc=1\n");
    git(&site, &["init", "--quiet"]);
    git(&site, &["add", "."]);
    git(&site, &["commit", "--quiet", "-m", "first"]);
    site.write("s.toml", &sweep("mixed", ""));
    let _worker = site.worker("w", 2, &["sh"]);
    site.ok(&["submit", "s.toml", "--wait"]);
    // Its file `value.sh` is not among its inputs, so its name says nothing of it.
    site.write("code/value.sh", "echo acc=3\n");
    site.ok(&["extend", "mixed", "--replicates", "2"]);
    wait_until("all jobs are measured", PATIENCE, || {
        (site.count("mixed", "succeeded") == 4).then_some(())
    });
    let table = site.ok(&["table", "mixed"]);
    let words: Vec<&str> = table.split_whitespace().collect();
    let table = words.join(" ");
    assert!(table.contains("mixes trainer versions (sh t.sh"), "{table}");
    assert!(table.contains("with changes"), "{table}");
    let replayed = site.run(&["replay", &a_job(&site, "mixed")]);
    assert_eq!(replayed.code, Some(10), "{}", replayed.stderr);
    assert!(
        replayed.stdout.contains("another trainer: sh t.sh"),
        "{}",
        replayed.stdout
    );
}
