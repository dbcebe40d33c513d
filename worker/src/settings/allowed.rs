//! What jobs may do here, as the command line says it.

use std::path::{Path, PathBuf};

use swath_proto::address::is_near;

use super::{Settings, SettingsError};
use crate::child::{Confinement, User};

/// The words with which calls of a program may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

pub(super) fn words(text: &str) -> Result<Words, String> {
    let words = shlex::split(text).ok_or("a quote in it is not closed")?;
    if words.first().is_none_or(String::is_empty) {
        return Err("it names no program".to_owned());
    }
    Ok(Words(words))
}

/// What the command line says of what jobs may do.
pub(super) struct Asked {
    pub(super) commands: Vec<Words>,
    pub(super) directories: Option<Vec<PathBuf>>,
    pub(super) variables: Option<Vec<String>>,
    pub(super) shipped: bool,
}

impl Asked {
    /// Whoever has this host's coordinator has this host's account already. One elsewhere may
    /// be somebody else's by now, and gets no more than the command line says.
    pub(super) fn confinement(self, coordinators: &[String], written: [PathBuf; 2]) -> Confinement {
        let are_here = coordinators.iter().all(|url| is_of_this_host(url));
        let directories = self.directories.map(|named| {
            let named = named.into_iter().filter(|it| *it != Path::new(""));
            named
                .map(|it| std::path::absolute(&it).unwrap_or(it))
                .collect()
        });
        let shipped = self.shipped || (are_here && directories.is_none());
        // A place that cannot be resolved yet is made by this worker, without links.
        let written = written.map(|it| it.canonicalize().unwrap_or(it));
        // A service may be started in the root of everything, or where this worker keeps what
        // the coordinator sends.
        let is_fit =
            |it: &PathBuf| it.parent().is_some() && !written.iter().any(|at| it.starts_with(at));
        let own = || std::env::current_dir().into_iter().filter(is_fit).collect();
        let variables = self.variables.map(|mut named| {
            named.retain(|it| !it.is_empty());
            named
        });
        Confinement {
            commands: self.commands.into_iter().map(|words| words.0).collect(),
            directories: directories.or_else(|| (!are_here).then(own)),
            variables: variables.or_else(|| (!are_here).then(Vec::new)),
            shipped,
            written: written.clone().into(),
        }
    }
}

/// The user as whom programs run.
pub(super) fn other_user(name: &str) -> Result<User, SettingsError> {
    if !rustix::process::geteuid().is_root() {
        let why = "only a worker that is root can run programs as somebody else";
        return Err(SettingsError(format!("--run-as {name}: {why}")));
    }
    User::named(name).map_err(|why| SettingsError(format!("--run-as: {why}")))
}

/// Whether a program does anything that its arguments say.
fn runs_anything(program: &str) -> bool {
    const INTERPRETERS: [&str; 17] = [
        "python",
        "pypy",
        "sh",
        "bash",
        "dash",
        "zsh",
        "fish",
        "ksh",
        "perl",
        "ruby",
        "node",
        "julia",
        "env",
        "Rscript",
        "torchrun",
        "accelerate",
        "uv",
    ];
    let name = Path::new(program).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    // As in `python3.12`.
    let name = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    INTERPRETERS.contains(&name)
}

/// Whether a coordinator is on this host, and asks nobody who they are.
fn is_of_this_host(url: &str) -> bool {
    url.starts_with("http://") && is_near(url)
}

impl Settings {
    /// What whoever starts this worker should know of what its jobs may do.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.coordinators.iter().all(|url| is_of_this_host(url)) {
            return doubts;
        }
        if rustix::process::geteuid().is_root()
            && self.rights.user.is_none()
            && !self.confinement.commands.is_empty()
        {
            let root = "programs run as root here, and so does whatever the coordinator can make \
                        them do; name a user without rights by --run-as";
            doubts.push(root.to_owned());
        }
        let open = |words: &&Vec<String>| words.len() == 1 && runs_anything(&words[0]);
        if let Some(program) = self.confinement.commands.iter().find(open) {
            let program = &program[0];
            doubts.push(format!(
                "`--allow-command {program}` runs whatever the coordinator sends, such as \
                 `{program} -c …`; allow `--allow-command \"{program} train.py\"` only, and no more \
                 than that can be run here"
            ));
        }
        if self.confinement.shipped {
            let files = "`--allow-shipped` runs whatever files the coordinator sends";
            doubts.push(files.to_owned());
        }
        doubts
    }
}
