//! The command line as a shell sees it: exit codes, stdout and stderr.

#[path = "verbs/away.rs"]
mod away;
#[path = "verbs/cells.rs"]
mod cells;
#[path = "verbs/crowded.rs"]
mod crowded;
#[path = "verbs/doctor.rs"]
mod doctor;
#[path = "verbs/filters.rs"]
mod filters;
#[path = "verbs/forget.rs"]
mod forget;
#[path = "verbs/import.rs"]
mod import;
#[path = "verbs/lock.rs"]
mod lock;
#[path = "verbs/logged.rs"]
mod logged;
#[path = "verbs/names.rs"]
mod names;
#[path = "verbs/published.rs"]
mod published;
#[path = "verbs/store.rs"]
mod store;
#[path = "verbs/store_file.rs"]
mod store_file;
#[path = "verbs/supervised.rs"]
mod supervised;
mod support;
#[path = "verbs/terminal.rs"]
mod terminal;
#[path = "verbs/unreadable.rs"]
mod unreadable;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use support::{SMALL, Serving, Site, json};

#[test]
fn a_plan_works_offline() {
    let site = Site::new();
    let done = site.local("plan small.toml -o json");
    assert_eq!((done.code, done.stderr.as_str()), (0, ""));
    let plan = json(&done.stdout);
    assert_eq!(plan["sweep"], "small");
    assert_eq!(plan["totals"]["jobs"], 6);
    assert_eq!(plan["cells"][2]["spec"]["params"]["x"], 3);
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let site = Site::new();
    site.write("typo.toml", &SMALL.replace("replicates", "replicate"));
    for verb in ["plan", "submit", "run"] {
        let done = site.local(&format!("{verb} typo.toml"));
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{verb}");
        assert!(
            done.stderr
                .starts_with("error: typo.toml:3:1: `sweep.replicate`: unknown key"),
            "{}",
            done.stderr
        );
        assert!(done.stderr.contains("did you mean `replicates`?"));
    }
    assert!(!site.path().join("swath.db").exists());
}

#[test]
fn every_error_of_every_file_is_told() {
    let site = Site::new();
    site.write("one.toml", &SMALL.replace("[1, 2, 3]", "[]"));
    site.write("two.toml", &SMALL.replace("null = true", "nul = true"));
    let done = site.local("plan small.toml one.toml two.toml");
    assert_eq!((done.code, done.stdout.as_str()), (2, ""));
    assert!(done.stderr.contains("one.toml:"), "{}", done.stderr);
    assert!(done.stderr.contains("two.toml:"), "{}", done.stderr);
}

#[test]
fn an_unreachable_coordinator_is_named() {
    let site = Site::new();
    let done = site.run("sweeps --coordinator http://127.0.0.1:1");
    assert_eq!((done.code, done.stdout.as_str()), (4, ""));
    assert!(
        done.stderr.contains("http://127.0.0.1:1"),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains("coordinator serve"));
    assert!(done.stderr.contains("--coordinator"));
}

#[test]
fn a_typed_database_goes_before_the_coordinator_of_the_environment() {
    let site = Site::new();
    let ask = |line: &str| {
        let mut command = site.command(line);
        command.env("SWATH_COORDINATOR", "http://127.0.0.1:1");
        command.output().unwrap()
    };
    assert_eq!(ask("sweeps").status.code(), Some(4));
    for line in ["sweeps --database no.db", "--database no.db sweeps"] {
        let output = ask(line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{line}: {stderr}");
        assert!(stderr.contains("there is no database `no.db`"), "{stderr}");
    }
    let both = site.run("--coordinator http://127.0.0.1:1 sweeps --database no.db");
    assert_eq!((both.code, both.stdout.as_str()), (2, ""));
    assert!(both.stderr.contains("give one"), "{}", both.stderr);
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let site = Site::new();
    for line in [
        "",
        "tabel",
        "table",
        "submit",
        "sweeps -o yaml",
        "extend small --replicates 0",
    ] {
        let done = site.run(line);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{line}");
    }
    for line in ["--help", "help", "submit --help", "--version"] {
        let done = site.run(line);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{line}");
    }
}

#[test]
fn a_database_is_read_and_written_without_a_server() {
    let site = Site::new();
    assert_eq!(site.local("sweeps").code, 3);
    // Only `serve` or `run` creates a database.
    let database = "sqlite:swath.db";
    assert_eq!(Serving::start(&site, database).stop(), Some(0));
    let submitted = site.local("submit small.toml -o json");
    assert_eq!(submitted.code, 0, "{}", submitted.stderr);
    let receipt = json(&submitted.stdout);
    assert_eq!(
        (&receipt["new_jobs"], &receipt["existed"]),
        (&6.into(), &false.into())
    );
    let again = "--database sqlite:swath.db`";
    assert!(
        submitted
            .stderr
            .contains(&format!("`coordinator run small {again}")),
        "{}",
        submitted.stderr
    );
    let table = site.local("table small");
    assert!(
        table
            .stderr
            .contains(&format!("`coordinator status small {again}")),
        "{}",
        table.stderr
    );
    let again = site.local("submit small.toml");
    assert_eq!(again.code, 0);
    assert!(again.stdout.contains("nothing new"), "{}", again.stdout);

    let jobs = site.local("jobs small params.x=2 -o jsonl");
    assert_eq!(jobs.stdout.lines().count(), 2, "{}", jobs.stderr);
    assert!(jobs.stderr.contains("no coordinator is running"));
    let records = site.local("jobs small -o csv").stdout;
    assert!(
        records.starts_with("job,cell,sweeps,replicate,seed,params.x,state,fault,"),
        "{records}"
    );
    let workers = site.local("workers -o csv").stdout;
    assert!(workers.starts_with("worker,state,slots,"), "{workers}");
    let known = json(&site.local("plan small.toml -o json").stdout);
    assert_eq!(known["cells"][0]["jobs"][0]["known"], true);
    assert_eq!(site.local("table nosuch").code, 3);
    assert_eq!(site.local("jobs no.such.key=1").code, 2);
    assert_eq!(site.local("cordon nobody").code, 3);

    let extended = site.local("extend small --replicates 3 -q -o json");
    assert_eq!(json(&extended.stdout)["jobs"], 3);
    assert_eq!(site.local("extend small --replicates 3").code, 2);
    assert_eq!(site.local("cancel small").code, 0);
    assert_eq!(site.local("pause small").code, 5);
}

#[test]
fn a_submit_without_a_priority_keeps_the_sweeps_own() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let ask = |line: &str| site.run(&format!("--coordinator {} {line}", serving.url));
    for (options, expected) in [("--priority 7", 7), ("", 7), ("--priority 0", 0)] {
        assert_eq!(ask(&format!("submit small.toml {options}")).code, 0);
        let sweeps = json(&ask("sweeps -o json").stdout);
        assert_eq!(sweeps["sweeps"][0]["priority"], expected, "{options}");
    }
}

#[test]
fn a_database_without_a_coordinator_is_not_waited_in() {
    let site = Site::new();
    assert_eq!(Serving::start(&site, "sqlite:swath.db").stop(), Some(0));
    let waited = site.local("submit small.toml --wait");
    assert_eq!((waited.code, waited.stdout.as_str()), (1, ""));
    assert!(
        waited
            .stderr
            .contains("`coordinator run small.toml --database sqlite:swath.db`"),
        "{}",
        waited.stderr
    );
    let nothing = site.local("sweeps -o ids");
    assert_eq!((nothing.code, nothing.stdout.as_str()), (0, ""));
    assert_eq!(site.local("submit small.toml").code, 0);
    let job = site.local("jobs small -o ids --limit 1");
    let follow = format!("logs -f {}", job.stdout.trim());
    for line in ["status --watch", "status small -w", &follow] {
        let done = site.local(line);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{line}");
        assert!(
            done.stderr.contains("coordinator run") && done.stderr.contains("coordinator serve"),
            "{line}: {}",
            done.stderr
        );
    }
}

#[test]
fn a_run_that_cannot_train_stores_nothing() {
    let site = Site::new();
    let programs = site.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    let alone = programs.join("coordinator");
    std::fs::copy(env!("CARGO_BIN_EXE_coordinator"), &alone).unwrap();
    let run = |line: &str| {
        let line = format!("--database sqlite:swath.db {line}");
        let output = site.command_of(&alone, &line).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}: {stderr}");
        stderr
    };
    let stderr = run("run small.toml");
    assert!(stderr.contains("there is no `worker`"), "{stderr}");
    assert!(!site.path().join("swath.db").exists());

    assert_eq!(Serving::start(&site, "sqlite:swath.db").stop(), Some(0));
    let stored = || site.local("jobs -o ids").stdout.lines().count();
    run("run small.toml");
    assert_eq!(stored(), 0);
    std::fs::write(programs.join("worker"), "").unwrap();
    let stderr = run("run small.toml --state-dir small.toml/worker");
    assert!(stderr.contains("--state-dir DIR"), "{stderr}");
    assert_eq!(stored(), 0);

    std::fs::remove_file(programs.join("worker")).unwrap();
    assert_eq!(site.local("submit small.toml").code, 0);
    assert_eq!(site.local("pause small").code, 0);
    run("extend small --replicates 3 --run");
    assert_eq!(stored(), 6);
    run("run small");
    let sweeps = json(&site.local("sweeps -o json").stdout);
    assert_eq!(sweeps["sweeps"][0]["state"], "paused", "{sweeps}");
}

#[test]
fn a_server_is_asked_and_stops_gracefully() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let ask = |line: &str| site.run(&format!("--coordinator {} {line}", serving.url));
    assert_eq!(ask("submit small.toml").code, 0);
    let table = ask("table last -o json");
    assert_eq!(table.code, 0, "{}", table.stderr);
    assert_eq!(json(&table.stdout)["rows"].as_array().unwrap().len(), 3);
    assert!(table.stderr.contains("6 of 6 jobs are not done yet"));
    let job = ask("jobs small -o ids --limit 1");
    let explained = ask(&format!("explain {}", job.stdout.trim()));
    assert!(
        explained.stdout.contains("no worker has ever connected"),
        "{}",
        explained.stdout
    );
    // A command that names the database finds the coordinator that has it open.
    let found = site.run("--database sqlite:served.db sweeps -o ids");
    assert_eq!(
        (found.code, found.stdout.lines().count()),
        (0, 1),
        "{}",
        found.stderr
    );
    assert!(found.stderr.contains(&serving.url), "{}", found.stderr);
    let second = site.run("run small.toml --database sqlite:served.db");
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("is in use by"), "{}", second.stderr);
    let waited = ask("submit small.toml --wait --timeout 0");
    assert_eq!(waited.code, 12, "{}", waited.stderr);
    assert!(
        waited.stderr.contains("the work goes on"),
        "{}",
        waited.stderr
    );
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn a_store_that_fails_is_no_unreachable_coordinator() {
    let site = Site::new();
    let serving = Serving::start(&site, "sqlite:served.db");
    let ask = |line: &str| site.run(&format!("--coordinator {} {line}", serving.url));
    assert_eq!(ask("submit small.toml").code, 0);
    for name in ["served.db", "served.db-wal"] {
        let path = site.path().join(name);
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        std::fs::write(&path, vec![0x5a; length]).unwrap();
    }
    // Nobody has read the results yet, so no memory has them.
    let done = ask("table small");
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (1, ""),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("cannot reach"), "{}", done.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let site = Site::new();
    site.write(
        "many.toml",
        &SMALL.replace("replicates = 2", "replicates = 5000"),
    );
    let mut plan = site
        .command("--database sqlite:no.db plan many.toml -o ids")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    BufReader::new(plan.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let output = plan.wait_with_output().unwrap();
    assert_eq!(first.trim().len(), 64);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn unknown_databases_and_broken_policies_are_refused() {
    let site = Site::new();
    let done = site.run("serve --database mysql://host/db");
    assert_eq!(done.code, 2);
    assert!(
        done.stderr.contains("is not a database address"),
        "{}",
        done.stderr
    );
    let done = site.run("serve --listen 127.0.0.1:0 --database postgres://127.0.0.1:1/db");
    assert_eq!(done.code, 1);
    assert!(done.stderr.contains("127.0.0.1:1"), "{}", done.stderr);
    site.write("policy.toml", "ttl_ms = 1000\nheartbeet_ms = 5\n");
    let done = site.run("serve --policy policy.toml");
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("policy.toml:2:1"), "{}", done.stderr);
    site.write("policy.toml", "ttl_ms = 1000\n");
    let done = site.run("serve --policy policy.toml");
    assert_eq!(done.code, 2);
    assert!(done.stderr.contains("heartbeats"), "{}", done.stderr);
}

#[test]
fn completions_know_the_verbs() {
    let site = Site::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = site.run(&format!("completions {shell}"));
        assert_eq!(done.code, 0);
        assert!(done.stdout.contains("cordon"), "{shell}");
    }
}
