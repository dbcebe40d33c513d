//! Programs of users', as they are: called in every way, read in every way, by
//! workers of which some lack something.

use std::time::Duration;

use swath_e2e::{Site, rows, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);

/// A sweep over `x` of a shell script; `section` ends its `[program]`.
fn sweep(name: &str, section: &str) -> String {
    format!(
        "[sweep]\nname = \"{name}\"\nreplicates = 2\n[program]\nmetric = \"val/acc\"\n{section}\n\
         [[grid]]\nx = {{ log = [1, 100], points = 3 }}\n"
    )
}

/// What the table of a sweep shows, row by row.
fn measured(site: &Site, name: &str) -> Vec<(String, f64)> {
    let table = site.json(&["table", name]);
    let found = rows(&table).into_iter().map(|row| {
        let x = row["axes"]["params.x"].to_string();
        (x, row["median"].as_f64().expect("a median"))
    });
    found.collect()
}

#[test]
fn a_script_is_called_and_read_in_every_way() {
    let site = Site::new();
    site.write(
        "t.sh",
        "#!/bin/sh\n# The last word of the line is the value of x.\nfor word; do :; done\n\
         x=${word##*=}\necho \"epoch 1: acc=0.$x loss=1\" >&2\necho \"acc=0.5\"; echo \"acc=$x\"\n\
         echo \"{\\\"epoch\\\": 1, \\\"val\\\": {\\\"acc\\\": $x}, \\\"seed\\\": $SWATH_SEED}\" > $SWATH_OUT/r.json\n\
         printf 'epoch,val/acc\\n1,0.5\\n2,%s\\n' $x > $SWATH_OUT/r.csv\n",
    );
    let lines = "read = { stdout = 'acc=(?<val/acc>.*)' }";
    let ways = [
        ("template", format!("command = [\"sh\", \"t.sh\", \"{{x}}\"]\n{lines}")),
        ("flags", format!("command = [\"sh\", \"t.sh\"]\narguments = \"flags\"\n{lines}")),
        (
            "overrides",
            "command = [\"sh\", \"t.sh\"]\narguments = \"overrides\"\nread = { json = \"{out}/r.json\" }"
                .to_owned(),
        ),
        (
            "csv",
            "command = [\"sh\", \"t.sh\", \"{x}\"]\nread = { csv = \"{out}/r.csv\" }".to_owned(),
        ),
        (
            "jsonl",
            "command = [\"sh\", \"t.sh\", \"{x}\"]\nread = { jsonl = \"{out}/r.json\" }".to_owned(),
        ),
    ];
    let wanted = [1, 10, 100].map(|x| (x.to_string(), f64::from(x)));
    for (name, section) in ways {
        let file = format!("{name}.toml");
        site.write(&file, &sweep(name, &section));
        let output = site.run(&["run", &file, "--slots", "2"]);
        assert_eq!(output.code, Some(0), "{name}: {}", output.stderr);
        assert_eq!(measured(&site, name), wanted, "{name}");
    }
}

#[test]
fn a_log_acts_on_no_terminal_unless_it_is_asked_for_raw() {
    let site = Site::new();
    site.write(
        "loud.toml",
        "[sweep]\nname = \"loud\"\nreplicates = 1\n[program]\nmetric = \"acc\"\n\
         command = [\"sh\", \"-c\", 'printf \"\\033[31mred\\007\\302\\233\\342\\200\\256\\n\"; echo acc={x}']\n\
         read = { stdout = 'acc=(?<acc>.*)' }\n[[grid]]\nx = [1]\n",
    );
    let output = site.run(&["run", "loud.toml"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let log = site.ok(&["logs", "loud"]);
    assert!(
        log.contains("\\u{1b}[31mred\\u{7}\\u{9b}\\u{202e}\n"),
        "{log:?}"
    );
    let raw = site.ok(&["logs", "--raw", "loud"]);
    assert!(
        raw.contains("\u{1b}[31mred\u{7}\u{9b}\u{202e}\n"),
        "{raw:?}"
    );
}

fn medians(site: &Site) -> Vec<f64> {
    let measured = measured(site, "edited").into_iter();
    measured.map(|(_, value)| value).collect()
}

#[test]
fn an_edited_script_trains_anew_and_no_worker_runs_another_one() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    let script = |value: u32| format!("echo acc={value}\n");
    site.write("t.sh", &script(1));
    let section = "command = [\"sh\", \"t.sh\", \"{x}\"]\nread = { stdout = 'acc=(.*)' }";
    site.write("s.toml", &sweep("edited", section));
    let worker = site.worker("w", 1, &["sh"]);
    let output = site.run(&["submit", "s.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(medians(&site), [1.0; 3]);
    drop(worker);
    site.write("t.sh", &script(2));
    let submitted = site.json(&["submit", "s.toml"]);
    assert_eq!(submitted["new_jobs"], 6, "{submitted}");
    // It changes after it was submitted.
    site.write("t.sh", &script(3));
    let worker = site.worker("w", 1, &["sh"]);
    wait_until("the lack is told", PATIENCE, || {
        let workers = site.ok(&["workers"]);
        workers.contains("has another `t.sh`").then_some(())
    });
    assert_eq!(site.count("edited", "failed"), 0);
    drop(worker);
    site.write("t.sh", &script(2));
    let _worker = site.worker("w", 1, &["sh"]);
    let output = site.run(&["submit", "s.toml", "--wait"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(medians(&site), [2.0; 3]);
}

#[test]
fn a_worker_without_the_program_costs_nobody_a_job() {
    let mut site = Site::new();
    let _coordinator = site.serve();
    site.write("bin/measure", "#!/bin/sh\necho acc=$1\n");
    let section =
        "command = [\"./measure\", \"{x}\"]\ndirectory = \"bin\"\nread = { stdout = 'acc=(.*)' }";
    site.write("s.toml", &sweep("lacking", section));
    let _worker = site.worker("w", 1, &["./measure"]);
    site.ok(&["submit", "s.toml"]);
    // It is there, but not executable.
    wait_until("the lack is told", PATIENCE, || {
        let workers = site.ok(&["workers"]);
        workers.contains("has no program `./measure`").then_some(())
    });
    let job = site.json(&["jobs", "lacking"])["jobs"][0]["digest"].clone();
    let explained = site.ok(&["explain", job.as_str().expect("a job")]);
    assert!(
        explained.contains("no active worker has the program `./measure`"),
        "{explained}"
    );
    assert_eq!(site.count("lacking", "failed"), 0);
    // Another worker has it: by a path of its own.
    let made = std::process::Command::new("chmod")
        .arg("+x")
        .arg(site.path().join("bin/measure"))
        .status();
    assert!(made.expect("chmod").success());
    let _other = site.worker("other", 1, &["./measure"]);
    wait_until("all jobs are measured", PATIENCE, || {
        (site.count("lacking", "succeeded") == 6).then_some(())
    });
}
