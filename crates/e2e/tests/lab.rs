//! A lab as docs/lab.md describes it, typed from its words: a coordinator on one
//! machine, a worker and a person on another. The machines are two network namespaces,
//! so nothing passes between them but what a network carries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use swath_e2e::{Process, binary};
use tempfile::TempDir;

/// A sweep that nobody has to train, in place of the one that the page submits.
const SWEEP: &str = "\
[sweep]
name = \"quickstart\"
replicates = 2

[fixed]
trainer = { null = true }

[[grid]]
\"params.x\" = [1, 2, 3]
";

/// Copies between the directories that stand for the machines' homes.
const SCP: &str = "\
#!/bin/sh
place() {
    case $1 in
        *:*) host=${1%%:*}; echo \"$LAB/${host%%.*}/${1#*:}\" ;;
        *) echo \"$1\" ;;
    esac
}
exec cp \"$(place \"$1\")\" \"$(place \"$2\")\"
";

/// The id of a token on the page, which is another one whenever one is made.
const EXAMPLE: &str = "3fa9c1d2e0b47a86";

/// Two machines on one network.
struct Lab {
    dir: TempDir,
    /// The namespaces of the coordinator's machine and of the other one.
    names: [String; 2],
}

fn ip(words: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(words.split(' '));
    command.status().is_ok_and(|status| status.success())
}

/// The files that a namespace has in the place of those in `/etc`.
fn etc(name: &str) -> PathBuf {
    Path::new("/etc/netns").join(name)
}

impl Lab {
    /// None where this user may make no networks.
    fn make() -> Option<Self> {
        let names = ["head", "gpu1"].map(|it| format!("swath-{}-{it}", std::process::id()));
        let [head, other] = &names;
        if !ip(&format!("netns add {head}")) {
            return None;
        }
        let lab = Self {
            dir: TempDir::new().expect("a directory"),
            names: names.clone(),
        };
        let ends = [0, 1].map(|end| format!("sw{}-{end}", std::process::id()));
        let mut steps = vec![
            format!("netns add {other}"),
            format!(
                "link add {} netns {head} type veth peer name {} netns {other}",
                ends[0], ends[1]
            ),
        ];
        for (place, name) in names.iter().enumerate() {
            let (end, address) = (&ends[place], place + 1);
            steps.push(format!(
                "-n {name} address add 10.123.45.{address}/24 dev {end}"
            ));
            steps.push(format!("-n {name} link set {end} up"));
            steps.push(format!("-n {name} link set lo up"));
            // `ip netns exec` puts it in the place of /etc/hosts.
            let etc = etc(name);
            fs::create_dir_all(&etc).expect("a directory");
            let hosts = "127.0.0.1 localhost\n10.123.45.1 head.lab\n";
            fs::write(etc.join("hosts"), hosts).expect("hosts");
        }
        for step in &steps {
            assert!(ip(step), "ip {step}");
        }
        for home in ["head", "gpu1", "you/sweeps", "bin"] {
            fs::create_dir_all(lab.path(home)).expect("a home");
        }
        fs::write(lab.path("you/sweeps/quickstart.toml"), SWEEP).expect("a sweep");
        fs::write(lab.path("bin/scp"), SCP).expect("a script");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(lab.path("bin/scp"), executable).expect("a script");
        Some(lab)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What somebody types on a machine, in a shell of its own.
    fn shell(&self, machine: &str, line: &str, settings: &[String]) -> Command {
        let name = &self.names[usize::from(machine != "head")];
        let built = binary("coordinator");
        let built = built.parent().expect("a directory").display().to_string();
        let usual = std::env::var("PATH").unwrap_or_default();
        let home = self.path(machine);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", name, "env", "--ignore-environment"])
            .arg(format!(
                "PATH={}:{built}:{usual}",
                self.path("bin").display()
            ))
            .arg(format!("HOME={}", home.display()))
            .arg(format!("LAB={}", self.dir.path().display()))
            .args([
                "SWATH_USER=anna",
                "SWATH_WORKER_NAME=gpu1",
                "NO_COLOR=1",
                "LANG=C.UTF-8",
            ])
            .args(settings)
            .args(["sh", "-c"])
            .arg(line)
            .current_dir(home);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            ip(&format!("netns delete {name}"));
            // It may be that it was never made.
            let _gone = fs::remove_dir_all(etc(name));
        }
    }
}

/// A line that somebody types on a machine, and what the page shows of the answer.
#[derive(Debug)]
struct Typed {
    machine: String,
    line: String,
    shown: Vec<String>,
}

/// The lines of the page, in order.
fn typed() -> Vec<Typed> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lab.md");
    let page = fs::read_to_string(page).expect("docs/lab.md");
    let section = page.split("\n## ").nth(1).expect("a section");
    let mut typed: Vec<Typed> = Vec::new();
    for block in section.split("```").skip(1).step_by(2) {
        for line in block.lines().skip(1) {
            match line.split_once("$ ") {
                Some((machine @ ("head" | "you" | "gpu1"), line)) => typed.push(Typed {
                    machine: machine.to_owned(),
                    line: line.trim().to_owned(),
                    shown: Vec::new(),
                }),
                _ => typed
                    .last_mut()
                    .expect("a command")
                    .shown
                    .push(line.to_owned()),
            }
        }
    }
    typed
}

fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The id of bob's token.
fn id_of_bob(list: &str) -> String {
    let row = list.lines().find(|line| line.contains(" bob "));
    let id = row.and_then(|row| row.split(' ').next());
    id.unwrap_or_else(|| panic!("no token of bob: {list}"))
        .to_owned()
}

#[test]
#[expect(
    clippy::print_stderr,
    reason = "whoever reads the log must see what was not tested"
)]
fn a_lab_is_set_up_as_the_page_says() {
    let Some(lab) = Lab::make() else {
        eprintln!("SKIPPED: only root can make network namespaces, with `ip` of iproute2");
        return;
    };
    let mut daemons: Vec<(&str, Process)> = Vec::new();
    let mut settings: Vec<String> = Vec::new();
    let mut list = String::new();
    let typed = typed();
    assert!(typed.len() > 12, "{typed:?}");
    for Typed {
        machine,
        line,
        shown,
    } in &typed
    {
        if let Some(setting) = line.strip_prefix("export ") {
            settings.push(setting.to_owned());
            continue;
        }
        let program = line.split(' ').next().unwrap_or_default();
        if line.starts_with("coordinator serve") || program == "worker" {
            let line = format!("exec {line}");
            let mut process = Process::start(program, &mut lab.shell(machine, &line, &[]));
            let marker = if program == "worker" {
                "in session"
            } else {
                "listening on "
            };
            let heard = marker.to_owned() + &process.wait_for_line(marker);
            for shown in shown {
                assert!(heard.contains(shown), "{line}: {heard}\nnot: {shown}");
            }
            daemons.push((program, process));
            continue;
        }
        let line = match line.split_once(EXAMPLE) {
            Some((before, after)) => format!("{before}{}{after}", id_of_bob(&list)),
            None => line.clone(),
        };
        let output = lab
            .shell(machine, &line, &settings)
            .output()
            .expect("a shell");
        let heard = told(&output);
        assert!(output.status.success(), "{machine}$ {line}\n{heard}");
        for shown in shown {
            assert!(heard.contains(shown), "{line}: {heard}\nnot: {shown}");
        }
        if line.ends_with("token list") {
            list = heard;
        }
    }
    let asked = |line: &str| {
        let output = lab.shell("you", line, &settings).output().expect("a shell");
        (output.status.code(), told(&output))
    };
    let (code, table) = asked("coordinator table quickstart -o csv");
    assert_eq!(code, Some(0), "{table}");
    assert_eq!(
        table.lines().filter(|line| line.contains(",2,")).count(),
        3,
        "{table}"
    );
    let (code, refused) = asked("coordinator --token-file bob.token whoami");
    assert_eq!(code, Some(5), "{refused}");
    let worker = daemons.iter_mut().find(|(name, _)| *name == "worker");
    let (_, worker) = worker.expect("a worker");
    assert_eq!(worker.wait(Duration::from_secs(30)), 1);
    let told = worker.stderr();
    assert!(told.contains("was revoked"), "{told}");
    // Without a token nobody is told anything, from either machine.
    let (code, refused) = asked("mv ~/.config/swath/token away; coordinator status");
    assert_ne!(code, Some(0), "{refused}");
    let (code, refused) = asked("coordinator --coordinator http://head.lab:7070 status");
    assert_eq!(code, Some(4), "{refused}");
    assert!(refused.contains("https://HOST:PORT"), "{refused}");
}
