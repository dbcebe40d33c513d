//! A day in a lab: two hosts, three people's sweeps, and what goes wrong with
//! each of them. Nobody else's work stops, and every number is right.

use std::time::Duration;

use serde_json::Value;
use swath_e2e::{Process, Site, wait_until};

const PATIENCE: Duration = Duration::from_mins(2);
const SEEDS: [u32; 3] = [0, 1, 2];

const ARGUMENTS: &str = "x=$1 seed=$2\n";

/// The first job of each sweep does not end before the coordinator has gone.
const HELD: &str = "\
if [ $x$seed = 10 ]; then
  touch held
  while [ ! -e ../go ]; do sleep 0.02; done
fi
";

/// What each of them trains: whose it is, the sweep's keys, and the program.
const SWEEPS: [(&str, &str, &str); 3] = [
    // One of her cells has no number.
    (
        "anna",
        "metric = \"loss\"\nread = { stdout = 'loss (?<loss>.*)' }",
        "if [ $x = 2 ]; then echo loss nan; else echo loss $((10 * x + seed)); fi\n",
    ),
    // One of his crashes, whatever the host.
    (
        "ben",
        "metric = \"acc\"\nread = { stdout = 'acc (?<acc>.*)' }",
        "if [ $x = 3 ]; then echo 'KeyError: 3' >&2; exit 1; fi\necho acc 0.$x$seed\n",
    ),
    // Hers need a file that only one host has.
    (
        "carla",
        "metric = \"loss\"\nread = { stdout = 'loss (?<loss>.*)' }",
        "if [ ! -e $HOST_DATA/factor ]; then\n  \
         echo '{\"event\": \"failed\", \"fault\": \"invalid\", \"lacks\": \"the file factor\"}'\n  exit 11\nfi\n\
         echo loss $(($(cat $HOST_DATA/factor) * x + seed))\n",
    ),
];

/// The numbers of the cells of each sweep, as its program computes them.
fn expected(user: &str, x: u32) -> Vec<f64> {
    let number = |seed: u32| match user {
        "anna" => f64::from(10 * x + seed),
        "ben" => format!("0.{x}{seed}").parse().expect("a number"),
        _ => f64::from(7 * x + seed),
    };
    match (user, x) {
        ("anna", 2) | ("ben", 3) => Vec::new(),
        _ => SEEDS.map(number).to_vec(),
    }
}

fn submit(site: &Site, user: &str) {
    let (_, section, script) = SWEEPS.iter().find(|it| it.0 == user).expect("a user");
    site.write(
        &format!("{user}/train.sh"),
        &format!("{ARGUMENTS}{script}{HELD}"),
    );
    let file = format!("{user}/sweep.toml");
    let text = format!(
        "[sweep]\nname = \"{user}_day\"\nreplicates = 3\n[program]\n\
         command = [\"sh\", \"train.sh\", \"{{x}}\", \"{{seed}}\"]\nseeds = {SEEDS:?}\n{section}\n\
         [[grid]]\nx = [1, 2, 3, 4]\n"
    );
    site.write(&file, &text);
    let output = site.run_as(user, &["submit", &file]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

fn host(site: &Site, name: &str, slots: u32) -> Process {
    let mut command = site.worker_command(name, slots);
    command.env("HOST_DATA", site.path().join(name));
    command.args(["--allow-command", "sh"]);
    Process::start(name, &mut command)
}

fn jobs(site: &Site, user: &str) -> Vec<Value> {
    let jobs = site.json(&["jobs", &format!("{user}_day")]);
    jobs["jobs"].as_array().expect("jobs").clone()
}

#[test]
fn a_lab_day_ends_with_every_number_right() {
    let mut site = Site::new();
    let mut coordinator = site.serve();
    let _poor = host(&site, "poor", 1);
    submit(&site, "carla");
    wait_until("what the host lacks is told", PATIENCE, || {
        site.ok(&["workers"])
            .contains("the file factor")
            .then_some(())
    });
    site.write("rich/factor", "7");
    let _rich = host(&site, "rich", 3);
    submit(&site, "anna");
    submit(&site, "ben");

    let users = SWEEPS.map(|(user, ..)| user);
    wait_until("a job of each sweep is under way", PATIENCE, || {
        let held = |user| site.path().join(user).join("held").exists();
        users.into_iter().all(held).then_some(())
    });
    // With one success, no sweep is taken for broken as a whole.
    wait_until("a job of his is measured", PATIENCE, || {
        (site.count("ben_day", "succeeded") > 0).then_some(())
    });
    coordinator.kill();
    site.write("go", "");
    let _coordinator = site.serve();

    // NaN is a result; a crash is a failure, which the exit code tells.
    for (user, code) in [("anna", 0), ("ben", 10), ("carla", 0)] {
        let output = site.run_as(user, &["wait", &format!("{user}_day")]);
        assert_eq!(output.code, Some(code), "{user}: {}", output.stderr);
        assert_numbers(&site, user);
        let sweeps = site.json(&["sweeps", "--owner", user]);
        assert_eq!(sweeps["sweeps"].as_array().map(Vec::len), Some(1));
        assert_eq!(sweeps["sweeps"][0]["paused"], Value::Null, "{sweeps}");
    }
    assert_charges(&site);
    let workers = site.json(&["workers"]);
    for worker in workers["workers"].as_array().expect("workers") {
        assert_eq!(worker["state"], "active", "{worker}");
    }
}

fn assert_numbers(site: &Site, user: &str) {
    let table = site.json(&["table", &format!("{user}_day")]);
    let rows = table["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4);
    for (x, row) in (1..).zip(rows) {
        assert_eq!(row["axes"]["params.x"], x);
        let numbers = expected(user, x);
        let values = row["values"].as_array().expect("values");
        let mut values: Vec<f64> = values.iter().filter_map(Value::as_f64).collect();
        values.sort_by(f64::total_cmp);
        assert_eq!(values, numbers, "{user} {x}");
        assert_eq!(row["median"].as_f64(), numbers.get(1).copied());
        let lost = |is_here: bool| if is_here { 3 } else { 0 };
        assert_eq!(row["diverged"], lost((user, x) == ("anna", 2)), "{row}");
        assert_eq!(row["failed"], lost((user, x) == ("ben", 3)), "{row}");
    }
}

/// Nothing but a crash is charged, what was under way when the coordinator went
/// was not trained again, and what a host lacks costs nobody anything.
fn assert_charges(site: &Site) {
    for (user, ..) in SWEEPS {
        for job in jobs(site, user) {
            let x = job["spec"]["params"]["x"].as_u64();
            let charged = job["charged"].as_u64().expect("a number");
            let explained = site.json(&["explain", job["digest"].as_str().expect("a job")]);
            let attempts = explained["detail"]["attempts"].as_array();
            let attempts = attempts.expect("attempts").iter();
            let ended = attempts.map(|it| (it["ended"].as_str(), it["worker"].as_str()));
            // One that a worker gave back says nothing of the job.
            let ended: Vec<_> = ended.filter(|(how, _)| *how != Some("released")).collect();
            match (user, x) {
                ("ben", Some(3)) => {
                    let crashes = ended.iter().filter(|(how, _)| *how == Some("crashed"));
                    assert_eq!(crashes.count(), ended.len(), "{ended:?}");
                    assert!(
                        (1..=ended.len() as u64).contains(&charged),
                        "{charged}: {ended:?}"
                    );
                    continue;
                }
                ("anna", Some(2)) => assert!(matches!(ended[..], [(Some("diverged"), _)])),
                ("carla", _) => assert_eq!(ended, [(Some("measured"), Some("rich"))]),
                _ => assert!(matches!(ended[..], [(Some("measured"), _)]), "{ended:?}"),
            }
            assert_eq!(charged, 0, "{job}");
        }
    }
}
