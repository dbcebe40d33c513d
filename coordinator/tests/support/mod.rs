//! A place to run `coordinator` in, and its output.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const SMALL: &str = "\
[sweep]
name = \"small\"
replicates = 2

[fixed]
trainer.null = true

[[grid]]
params.x = [1, 2, 3]
";

/// A directory of its own, where no database and no variable of the caller is
/// visible.
pub(crate) struct Site {
    directory: TempDir,
}

/// The result of a command.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("small.toml"), SMALL).unwrap();
        Self { directory }
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn command(&self, line: &str) -> Command {
        self.command_of(Path::new(env!("CARGO_BIN_EXE_coordinator")), line)
    }

    pub(crate) fn command_of(&self, program: &Path, line: &str) -> Command {
        let mut command = Command::new(program);
        command
            .args(line.split_whitespace())
            .current_dir(self.path())
            .stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SWATH_") {
                command.env_remove(name);
            }
        }
        command
    }

    pub(crate) fn run(&self, line: &str) -> Done {
        let output = self.command(line).output().unwrap();
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asks the database of this site and no coordinator.
    pub(crate) fn local(&self, line: &str) -> Done {
        self.run(&format!("--database sqlite:swath.db {line}"))
    }
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A coordinator that serves until it is dropped.
pub(crate) struct Serving {
    child: Child,
    pub(crate) url: String,
}

impl Serving {
    pub(crate) fn start(site: &Site, database: &str) -> Self {
        Self::at(site, database, "127.0.0.1:0")
    }

    pub(crate) fn at(site: &Site, database: &str, listen: &str) -> Self {
        Self::with(site, database, &format!("--listen {listen}"))
    }

    pub(crate) fn with(site: &Site, database: &str, options: &str) -> Self {
        Self::of(site.command(""), database, options)
    }

    /// What `command` starts when it is given the arguments of `serve`.
    pub(crate) fn of(mut command: Command, database: &str, options: &str) -> Self {
        let line = format!("serve --database {database} --log off {options}");
        command.args(line.split_whitespace());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        // Keeps reading, so that the process never waits for a reader.
        std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()));
        let url = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{line}"));
        let (url, rest) = url.split_once(", ").unwrap();
        assert_eq!(rest, format!("database {database}"));
        Self {
            url: url.to_owned(),
            child,
        }
    }

    /// Ends it as an operator would; returns its exit code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
