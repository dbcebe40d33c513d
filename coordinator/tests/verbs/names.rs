//! Versions under a name, whose they are, and what touches several of them.

use std::process::Command;

use serde_json::Value;

use crate::support::{Done, SMALL, Serving, Site, json};

/// Two files of one name, which differ in what they compute, and a database.
fn two_files() -> Site {
    let site = Site::new();
    let other = SMALL.replace("[1, 2, 3]", "[3, 4]");
    site.write("other.toml", &other);
    let serving = Serving::start(&site, "sqlite:swath.db");
    assert_eq!(serving.stop(), Some(0));
    site
}

fn of(mut command: Command, user: &str) -> Done {
    let output = command.env("SWATH_USER", user).output().unwrap();
    Done {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn local(site: &Site, user: &str, line: &str) -> Done {
    let line = format!("--database sqlite:swath.db {line}");
    of(site.command(&line), user)
}

/// Name, version and state of every sweep.
fn states(site: &Site) -> Vec<(String, u64, String)> {
    let listed = json(&site.local("sweeps --all -o json").stdout);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let sweeps = listed["sweeps"].as_array().unwrap().iter();
    let state = |it: &Value| {
        let version = it["version"].as_u64().unwrap();
        (text(&it["name"]), version, text(&it["state"]))
    };
    sweeps.map(state).collect()
}

fn expected(states: &[(&str, u64, &str)]) -> Vec<(String, u64, String)> {
    let owned = states.iter();
    owned
        .map(|&(name, version, state)| (name.to_owned(), version, state.to_owned()))
        .collect()
}

#[test]
fn a_changed_file_is_the_next_version() {
    let site = two_files();
    let first = local(&site, "alice", "submit small.toml");
    assert!(!first.stderr.contains("from now on"), "{}", first.stderr);
    let second = local(&site, "bob", "submit other.toml");
    assert_eq!(second.code, 0, "{}", second.stderr);
    for said in [
        "warning: until now small was a sweep of alice, which is small@1 from now on; \
         `coordinator rename small@2 NAME --database sqlite:swath.db` gives yours a name",
        // One of its three cells is in the other file too.
        "small@1 is left with 4 open jobs: `coordinator run small@1",
    ] {
        assert!(second.stderr.contains(said), "{said}: {}", second.stderr);
    }
    assert!(second.stdout.starts_with("small@2 ("), "{}", second.stdout);
    let listed = site.local("sweeps").stdout;
    for (name, owner) in [("small@1", "alice"), ("small@2", "bob")] {
        let line = listed.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.contains(owner), "{line}");
    }
    // The name means the newest, which alone is cancelled.
    assert_eq!(site.local("cancel small").code, 0);
    let after = expected(&[("small", 1, "active"), ("small", 2, "cancelled")]);
    assert_eq!(states(&site), after);
    // Submitted again, the old one is what the name means.
    let again = local(&site, "alice", "submit small.toml");
    assert!(
        again.stderr.contains("until now small was a sweep of bob"),
        "{}",
        again.stderr
    );
    let table = site.local("table small -o json");
    assert_eq!(json(&table.stdout)["rows"].as_array().unwrap().len(), 3);
    let other = site.local("table small@2 -o json");
    assert_eq!(json(&other.stdout)["rows"].as_array().unwrap().len(), 2);
    let missing = site.local("table small@7");
    assert_eq!(missing.code, 3);
    assert!(
        missing.stderr.contains("`small` has the versions 1, 2"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_pattern_shows_what_it_would_touch() {
    let site = two_files();
    local(&site, "alice", "submit small.toml");
    local(&site, "bob", "submit other.toml");
    let before = states(&site);
    for line in ["cancel small@*", "pause *@*", "archive s*"] {
        let refused = site.local(line);
        assert_eq!(refused.code, 2, "{line}: {}", refused.stderr);
        let told = ["small@2", "--yes", "nothing is changed"];
        for said in told {
            assert!(refused.stderr.contains(said), "{line}: {}", refused.stderr);
        }
        assert_eq!(states(&site), before);
    }
    // Jobs of one sweep need no question, those of two do.
    assert_eq!(site.local("cancel small@2 params.x=4").code, 0);
    let done = site.local("cancel small@* --yes");
    assert_eq!(done.code, 0, "{}", done.stderr);
    let both = expected(&[("small", 1, "cancelled"), ("small", 2, "cancelled")]);
    assert_eq!(states(&site), both);
}

/// Whichever of them comes first.
#[test]
fn what_is_refused_of_one_sweep_is_done_to_the_others() {
    for (refusing, other) in [(1, 2), (2, 1)] {
        let site = two_files();
        local(&site, "alice", "submit small.toml");
        local(&site, "bob", "submit other.toml");
        let cancelled = site.local(&format!("cancel small@{refusing}"));
        assert_eq!(cancelled.code, 0, "{}", cancelled.stderr);
        let is = |state| {
            let mut both = [("small", refusing, "cancelled"), ("small", other, state)];
            both.sort_unstable();
            assert_eq!(states(&site), expected(&both));
        };
        for (verb, state) in [("pause", "paused"), ("resume", "active")] {
            let yes = if verb == "pause" { "--yes" } else { "" };
            let done = site.local(&format!("{verb} small@* {yes} -o json"));
            assert_eq!(done.code, 5, "{verb}: {}", done.stderr);
            is(state);
            let why = "is cancelled; submit it again";
            assert!(done.stderr.contains(why), "{verb}: {}", done.stderr);
            let document = json(&done.stdout);
            assert_eq!(document["sweeps"].as_array().unwrap().len(), 1);
            let refused = document["refused"][0].as_str().unwrap();
            assert!(refused.ends_with(why), "{refused}");
        }
        // Both have open jobs: the cancelled one those that the other needs.
        let neither = site.local("delete small@* --yes -o json");
        assert_eq!((neither.code, &*neither.stdout), (5, ""));
        assert_eq!(neither.stderr.matches("open jobs").count(), 2);
        is("active");
        let shared = site.local(&format!("cancel small@{refusing} params.x=3 --yes"));
        assert_eq!(shared.code, 0, "{}", shared.stderr);
        let one = site.local("delete small@* --yes");
        assert_eq!(one.code, 5, "{}", one.stderr);
        assert_eq!(one.stderr.matches("deleted, with").count(), 1);
        assert_eq!(one.stderr.matches("open job").count(), 1);
        assert_eq!(states(&site), expected(&[("small", other, "active")]));
    }
}

#[test]
fn a_sweep_is_renamed_tagged_noted_and_archived() {
    let site = two_files();
    local(&site, "alice", "submit small.toml --tag pilot,iclr");
    local(&site, "bob", "submit other.toml");
    let wrong = site.local("rename small@2 No/Name");
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    let done = site.local("rename small@2 bobs");
    assert_eq!(done.code, 0, "{}", done.stderr);
    let named = expected(&[("small", 1, "active"), ("bobs", 1, "active")]);
    assert_eq!(states(&site), named);
    let taken = site.local("rename bobs small");
    assert_eq!(taken.code, 5, "{}", taken.stderr);
    assert_eq!(site.local("tag bobs later --remove none").code, 0);
    assert_eq!(site.local("note bobs wrong").code, 0);
    let listed = |done: Done| {
        let lines = done.stdout.lines().skip(1);
        let names = lines.map(|line| line.split(',').next().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let found = |line: &str| listed(site.local(&format!("sweeps {line} -o csv")));
    assert_eq!(found("--tag iclr"), ["small"]);
    assert_eq!(found("--tag iclr,later"), [""; 0]);
    assert_eq!(found("--owner bob"), ["bobs"]);
    assert_eq!(
        listed(local(&site, "alice", "sweeps --mine -o csv")),
        ["small"]
    );
    let wide = site.local("sweeps -o wide").stdout;
    assert!(
        wide.contains("wrong") && wide.contains("iclr pilot"),
        "{wide}"
    );
    assert_eq!(site.local("archive bobs").code, 0);
    for verb in ["sweeps", "status"] {
        assert!(!site.local(verb).stdout.contains("bobs"), "{verb}");
        let all = site.local(&format!("{verb} --all")).stdout;
        assert!(all.contains("bobs"), "{verb}: {all}");
    }
    assert_eq!(site.local("table bobs").code, 0);
    assert_eq!(site.local("archive bobs --undo").code, 0);
    assert!(site.local("sweeps").stdout.contains("bobs"));
}

#[test]
fn a_sweep_is_deleted_with_what_is_its_alone() {
    let site = two_files();
    local(&site, "alice", "submit small.toml");
    local(&site, "bob", "submit other.toml");
    let asks = site.local("delete small@2");
    assert_eq!(asks.code, 2, "{}", asks.stderr);
    assert!(asks.stderr.contains("small"), "{}", asks.stderr);
    let open = site.local("delete small@2 --yes");
    assert_eq!(open.code, 5, "{}", open.stderr);
    assert!(
        open.stderr.contains("4 open jobs; `--cancel`"),
        "{}",
        open.stderr
    );
    let done = site.local("delete small@2 --cancel --yes");
    assert_eq!(done.code, 0, "{}", done.stderr);
    let said = "sweep `small@2` deleted, with 2 jobs; other sweeps hold 2 jobs of theirs";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    assert_eq!(states(&site), expected(&[("small", 1, "active")]));
    let jobs = json(&site.local("jobs -o json").stdout);
    assert_eq!(jobs["jobs"].as_array().unwrap().len(), 6);
    let verified = site.run("store verify --database sqlite:swath.db");
    assert_eq!((verified.code, &*verified.stderr), (0, ""));
    assert_eq!(site.local("table small@2").code, 3);
}

#[test]
fn what_a_server_is_told_names_its_user() {
    let site = two_files();
    let serving = Serving::start(&site, "sqlite:served.db");
    let command = site.command(&format!("--coordinator {} submit small.toml", serving.url));
    assert_eq!(of(command, "alice").code, 0);
    let wrong = site.command(&format!("--coordinator {} submit small.toml", serving.url));
    assert_eq!(of(wrong, "a\tb").code, 2);
    let listed = site.run(&format!("--coordinator {} sweeps -o json", serving.url));
    assert_eq!(json(&listed.stdout)["sweeps"][0]["owner"], "alice");
    assert_eq!(serving.stop(), Some(0));
}
