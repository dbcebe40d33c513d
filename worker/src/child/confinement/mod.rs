//! What the jobs of a coordinator may make this worker do. A coordinator that somebody has
//! stolen sends whatever it likes, so the worker goes by its own settings alone: how programs
//! may be called, where they may be started, which variables they may be given.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use swath_agent::CommandLine;
use swath_model::needs::Lack;

/// How many characters of a program's words a message quotes.
const WORDS_SHOWN: usize = 80;

/// How many of the things that are allowed a message names.
const ALLOWED_SHOWN: usize = 3;

/// How programs may be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// How the words of a program may begin: with all of the words of one of these.
    pub commands: Vec<Vec<String>>,
    /// The directories in which, and below which, programs may be started; none: in any.
    pub directories: Option<Vec<PathBuf>>,
    /// The variables that sweeps may set: names, and beginnings of names before a `*`; none:
    /// all.
    pub variables: Option<Vec<String>>,
    /// Whether files that travel with a sweep may be run.
    pub shipped: bool,
    /// Directories that jobs write to. They are in no directory that is allowed, unless that is
    /// in them itself: what one job has written must not be another's program.
    pub written: Vec<PathBuf>,
}

impl Confinement {
    /// The programs of which some call is allowed, each once.
    pub fn programs(&self) -> Vec<String> {
        let mut programs: Vec<String> = Vec::new();
        for program in self.commands.iter().filter_map(|words| words.first()) {
            if !programs.contains(program) {
                programs.push(program.clone());
            }
        }
        programs
    }

    /// Looks at what is about to be started, and puts the real directory in the place of a name
    /// that leads there, so that it cannot lead elsewhere later.
    ///
    /// # Errors
    ///
    /// What this worker is not allowed, or has not.
    pub(super) fn admit(&self, line: &mut CommandLine) -> Result<(), Lack> {
        self.words(&line.argv)?;
        self.variables(line.asked.iter().map(String::as_str))?;
        if line.shipped.is_some() {
            // They are below the copy: that is checked where it is made.
            return self.travelling().and_then(|()| self.numbers(line, None));
        }
        let Some(allowed) = self.real() else {
            return Ok(());
        };
        let directory = match &line.directory {
            None => std::env::current_dir().unwrap_or_default(),
            Some(directory) => {
                let real = self.directory(Path::new(directory), &allowed)?;
                line.directory = Some(text(&real)?);
                real
            }
        };
        self.inputs(line, &directory, &allowed)?;
        self.numbers(line, Some(&directory))
    }

    /// Where the numbers of a program may be read, once it is known where it is started; none:
    /// anywhere.
    pub(super) fn readable(&self, line: &CommandLine) -> Option<Vec<PathBuf>> {
        let mut roots = self.directories.clone()?;
        roots.push(line.out.clone().into());
        let own = line.directory.clone().map(PathBuf::from);
        roots.extend(own.or_else(|| std::env::current_dir().ok()));
        Some(roots)
    }

    fn words(&self, argv: &[String]) -> Result<(), Lack> {
        let begins = |words: &Vec<String>| !words.is_empty() && argv.starts_with(words);
        if self.commands.iter().any(begins) {
            return Ok(());
        }
        let same = |words: &&Vec<String>| words.first() == argv.first();
        let near = self.commands.iter().filter(same);
        let near = near.map(|words| words.join(" "));
        Err(refusal(
            format!("to run `{}`", clipped(&argv.join(" "))),
            near,
            "no such program",
            "--allow-command",
        ))
    }

    fn variables<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Result<(), Lack> {
        let Some(allowed) = &self.variables else {
            return Ok(());
        };
        let is_allowed = |name: &str| allowed.iter().any(|it| matches(it, name));
        match names.find(|name| !is_allowed(name)) {
            None => Ok(()),
            Some(name) => Err(refusal(
                format!("to set the variable `{}`", clipped(name)),
                allowed.iter(),
                "none",
                "--allow-environment",
            )),
        }
    }

    fn travelling(&self) -> Result<(), Lack> {
        if self.shipped {
            return Ok(());
        }
        let wish = "to run files that travel with a sweep".to_owned();
        let own = "only files that its host has";
        Err(refusal(
            wish,
            std::iter::empty::<&str>(),
            own,
            "--allow-shipped",
        ))
    }

    /// The real places of the directories that are allowed, as far as they are there.
    fn real(&self) -> Option<Vec<PathBuf>> {
        let directories = self.directories.as_ref()?.iter();
        Some(
            directories
                .filter_map(|it| it.canonicalize().ok())
                .collect(),
        )
    }

    fn directory(&self, named: &Path, allowed: &[PathBuf]) -> Result<PathBuf, Lack> {
        let refused = || self.place_refused("to run a program in", named);
        let Ok(real) = named.canonicalize() else {
            // Whether something is where nothing is allowed is not told.
            let is_allowed =
                is_plain(named) && self.permits(named, self.directories.iter().flatten());
            let path = named.display().to_string();
            return Err(if is_allowed {
                Lack::Directory { path }
            } else {
                refused()
            });
        };
        if !self.permits(&real, allowed.iter()) {
            return Err(refused());
        }
        if real.is_dir() {
            Ok(real)
        } else {
            let path = named.display().to_string();
            Err(Lack::Directory { path })
        }
    }

    /// Whether a real path is in one of these directories, and not in one that jobs write to.
    fn permits<'a>(&self, real: &Path, mut allowed: impl Iterator<Item = &'a PathBuf>) -> bool {
        allowed.any(|allowed| {
            let written = |it: &PathBuf| real.starts_with(it) && !allowed.starts_with(it);
            real.starts_with(allowed) && !self.written.iter().any(written)
        })
    }

    /// The files that the program is made of are read here, and whether they are as they should
    /// be is told.
    fn inputs(
        &self,
        line: &CommandLine,
        directory: &Path,
        allowed: &[PathBuf],
    ) -> Result<(), Lack> {
        let is_outside = |path: &&String| {
            let place = directory.join(path);
            match place.canonicalize() {
                Ok(real) => !real.starts_with(directory) && !self.permits(&real, allowed.iter()),
                Err(_) => !is_plain(&place) || !place.starts_with(directory),
            }
        };
        match line.inputs.keys().find(is_outside) {
            None => Ok(()),
            Some(path) => Err(self.place_refused("to look at", Path::new(path))),
        }
    }

    /// The file of numbers is read by the worker, so its name must not lead elsewhere. Where it
    /// leads when it is there is looked at once it is read.
    fn numbers(&self, line: &CommandLine, directory: Option<&Path>) -> Result<(), Lack> {
        let path = line.read.as_ref().and_then(|read| read.path());
        let (Some(allowed), Some(path)) = (&self.directories, path.map(Path::new)) else {
            return Ok(());
        };
        let mut roots = allowed.iter().map(PathBuf::as_path).chain(directory);
        let place = directory.unwrap_or(Path::new("")).join(path);
        let is_own = place.starts_with(&line.out) || place.is_relative();
        if is_plain(&place) && (is_own || roots.any(|root| place.starts_with(root))) {
            return Ok(());
        }
        Err(self.place_refused("to read numbers in", path))
    }

    fn place_refused(&self, what: &str, path: &Path) -> Lack {
        let allowed = self.directories.iter().flatten();
        let allowed = allowed.map(|it| it.display());
        let wish = format!("{what} `{}`", clipped(&path.display().to_string()));
        refusal(wish, allowed, "only its own directory", "--allow-directory")
    }
}

/// Whether what a path leads to, which is there, lies in one of these directories.
pub(super) fn lies_in(path: &Path, roots: &[PathBuf]) -> bool {
    let Ok(real) = path.canonicalize() else {
        // What is not there is nowhere else; whoever opens it says so.
        return true;
    };
    let mut roots = roots.iter().filter_map(|root| root.canonicalize().ok());
    roots.any(|root| real.starts_with(root))
}

/// Whether the parts of a path all lead down.
fn is_plain(path: &Path) -> bool {
    !path.components().any(|part| part == Component::ParentDir)
}

/// Whether a name of a variable is meant by a pattern.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

fn text(path: &Path) -> Result<String, Lack> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Lack::Directory {
        path: path.display().to_string(),
    })
}

fn refusal(
    wish: String,
    allowed: impl Iterator<Item = impl Display>,
    none: &str,
    option: &str,
) -> Lack {
    let mut shown: Vec<String> = allowed
        .take(ALLOWED_SHOWN + 1)
        .map(|it| format!("`{it}`"))
        .collect();
    if shown.len() > ALLOWED_SHOWN {
        "others".clone_into(&mut shown[ALLOWED_SHOWN]);
    }
    let allows = if shown.is_empty() {
        none.to_owned()
    } else {
        shown.join(", ")
    };
    Lack::Permission {
        wish,
        allows,
        option: option.to_owned(),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(WORDS_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests;
