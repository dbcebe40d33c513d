//! The files that a sweep's program is made of, as they are where the sweep is
//! submitted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use swath_files::Unread;
use swath_model::id::InputDigest;
use swath_model::program::{EXECUTABLES_MAX, INPUTS_BYTES_MAX, INPUTS_MAX, input_digest, is_below};
use swath_model::suggest::nearest;
use swath_sweep::{FileError, Named, SweepFile};

use super::imports;
use super::matching;
use super::ship::Shipment;

/// How a script begins.
const SCRIPT: &[u8] = b"#!";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files by their paths in the program's directory.
    pub(super) inputs: BTreeMap<String, InputDigest>,
    /// Those of them that may be executed.
    pub(super) executable: BTreeSet<String>,
    /// What travels with the sweep, if its file says so.
    pub(super) shipment: Option<Shipment>,
    /// The whole path of that directory, if the sweep file has a program.
    pub(super) directory: Option<String>,
    /// A file of the command that is not where the program will be started, but
    /// beside the sweep file.
    pub(super) misplaced: Option<String>,
    /// What the program most likely needs that is none of its inputs.
    pub(super) missed: Vec<String>,
}

/// A file that was found.
#[derive(Clone, Debug)]
struct Input {
    digest: InputDigest,
    bytes: u64,
    path: PathBuf,
    executable: bool,
}

impl Input {
    fn new(path: PathBuf, content: &[u8], about: &Metadata) -> Self {
        Self {
            digest: input_digest(content),
            bytes: content.len() as u64,
            path,
            executable: about.permissions().mode() & 0o111 != 0,
        }
    }
}

/// Finds and digests the files of a sweep's program. `beside` is the directory
/// of the sweep file.
///
/// Where the file has no `inputs`, they are the command's own file: a script
/// that is named by its path, or else the first argument that is a file.
pub(super) fn find(file: &SweepFile, beside: &Path) -> Result<Found, FileError> {
    let Some(program) = &file.program else {
        return Ok(Found {
            inputs: digests(&own(file, Path::new(""))),
            misplaced: misplaced(file, beside),
            ..Found::default()
        });
    };
    let named = &program.directory;
    let directory = beside.join(&named.path);
    let directory = directory
        .canonicalize()
        .map_err(|error| named.error(format!("{}: {error}", directory.display())))?;
    if !directory.is_dir() {
        return Err(named.error(format!("{} is no directory", directory.display())));
    }
    find_in(file, &directory)
}

/// As [`find`], for a program in this directory.
pub(super) fn find_in(file: &SweepFile, directory: &Path) -> Result<Found, FileError> {
    let patterns = file.program.as_ref().and_then(|it| it.inputs.as_ref());
    let inputs = match patterns {
        None => own(file, directory),
        Some(patterns) => matched(patterns, directory)?,
    };
    let ship = file.program.as_ref().and_then(|it| it.ship.as_ref());
    let shipment = match ship {
        None => None,
        Some(ship) => {
            let place = patterns.and_then(|it| it.first()).unwrap_or(ship);
            check_started(file, &inputs, directory, place)?;
            Some(shipment(ship, &inputs, directory)?)
        }
    };
    let executable = inputs
        .iter()
        .filter(|(_, it)| shipment.is_some() && it.executable);
    Ok(Found {
        executable: executable.map(|(name, _)| name.clone()).collect(),
        inputs: digests(&inputs),
        shipment,
        directory: Some(directory.to_string_lossy().into_owned()),
        misplaced: None,
        missed: missed(file, &inputs, directory),
    })
}

/// Refuses a program that does not travel with its own files: on every worker, it
/// would not be found in the copy where it is started.
fn check_started(
    file: &SweepFile,
    inputs: &BTreeMap<String, Input>,
    directory: &Path,
    place: &Named,
) -> Result<(), FileError> {
    let commands = file.commands();
    let started = commands
        .iter()
        .filter_map(|words| started(words, directory));
    let Some(word) = started.into_iter().find(|word| !has(inputs, word)) else {
        return Ok(());
    };
    Err(place.error(format!(
        "they leave out `{word}`, which the command starts: each attempt runs in a copy of the \
         inputs alone; add \"{}\" to them, or start a program that every worker has",
        plain_path(word)
    )))
}

/// What a command starts of the files below a directory: the program, or else the first
/// argument that is one.
fn started<'a>(words: &'a [String], directory: &Path) -> Option<&'a str> {
    let (program, arguments) = words.split_first()?;
    // Others are looked for on PATH.
    let program = Some(program).filter(|it| it.contains('/'));
    let files = program
        .into_iter()
        .chain(arguments.iter().filter(|word| is_plain(word)));
    let is_here = |word: &&String| is_below(word) && directory.join(word).is_file();
    files.filter(is_here).map(String::as_str).next()
}

/// What else the program needs, as far as that can be seen: modules beside its script
/// that it imports, and other files that its command names.
fn missed(file: &SweepFile, inputs: &BTreeMap<String, Input>, directory: &Path) -> Vec<String> {
    let program = file.program.as_ref();
    let ships = program.is_some_and(|it| it.ship.is_some());
    let are_named = program.is_some_and(|it| it.inputs.is_some());
    let mut missed = BTreeSet::new();
    for words in file.commands() {
        missed.extend(absent_script(&words, directory, ships));
        let started = started(&words, directory);
        if ships {
            let named = words.iter().skip(1).filter(|word| is_plain(word));
            let is_left = |word: &&String| {
                let is_here = is_below(word) && directory.join(word).is_file();
                is_here && started != Some(word) && !has(inputs, word)
            };
            missed.extend(named.filter(is_left).map(|word| {
                format!(
                    "`{word}` of the command is a file here that does not travel with the sweep; \
                     if the program reads it, add it to `inputs`"
                )
            }));
        }
        let is_python = |it: &&str| Path::new(it).extension().is_some_and(|it| it == "py");
        let Some(script) = started.filter(is_python) else {
            continue;
        };
        let path = directory.join(script);
        let Some((content, _)) = content(&path) else {
            continue;
        };
        let beside = path.parent().unwrap_or(directory);
        let within = plain_path(script);
        let within = within.rsplit_once('/').map_or("", |(within, _)| within);
        for module in imports::beside(&String::from_utf8_lossy(&content), beside) {
            let module = plain_path(&format!("{within}/{module}"))
                + if module.ends_with('/') { "/" } else { "" };
            let is_known = inputs.keys().any(|it| plain_path(it).starts_with(&module));
            if !is_known {
                missed.insert(untold(script, &module, ships, are_named));
            }
        }
    }
    missed.into_iter().collect()
}

/// The endings of scripts, by which a word of a command is known to be one.
const SCRIPT_ENDINGS: [&str; 10] = ["R", "bash", "jl", "js", "lua", "m", "pl", "py", "rb", "sh"];

/// What to say of a script that a command starts and that is not there.
fn absent_script(words: &[String], directory: &Path, ships: bool) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let is_script = |word: &&String| {
        let ending = Path::new(word.as_str()).extension();
        let ending = ending.is_some_and(|it| SCRIPT_ENDINGS.iter().any(|known| it == *known));
        ending && is_plain(word) && !word.contains(char::is_whitespace)
    };
    // What a flag such as `-c` or `-m` brings is no file.
    let takes_text = |word: &String| matches!(&**word, "-c" | "-e" | "-m");
    let first = arguments
        .iter()
        .find(|word| !word.starts_with('-') || takes_text(word));
    // Other programs are looked for on PATH.
    let script = Some(program)
        .filter(|it| it.contains('/'))
        .filter(is_script);
    let word = script.or_else(|| first.filter(is_script))?;
    let path = directory.join(word);
    if path.exists() {
        return None;
    }
    let place = directory.display();
    let what = if ships && is_below(word) {
        format!(
            "there is no file `{word}` in {place}, so none travels with the sweep: no attempt will \
             find it"
        )
    } else {
        format!(
            "there is no file `{word}` in {place}, where the program is started: its content takes \
             no part in the names of jobs, and workers must have it"
        )
    };
    let near = near_file(&path).map(|near| {
        let within = &word[..word.rfind('/').map_or(0, |at| at + 1)];
        format!("; did you mean `{within}{near}`?")
    });
    Some(what + &near.unwrap_or_default())
}

/// The name of the file beside `path` that is nearest to its own.
fn near_file(path: &Path) -> Option<String> {
    let beside = fs::read_dir(path.parent()?).ok()?;
    let files = beside.flatten().filter(|it| it.path().is_file());
    let names: Vec<String> = files
        .filter_map(|it| it.file_name().into_string().ok())
        .collect();
    let name = path.file_name()?.to_str()?;
    nearest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// What to say of a module that is no input.
fn untold(script: &str, module: &str, ships: bool, are_named: bool) -> String {
    let pattern = if module.ends_with('/') {
        format!("{module}**/*.py")
    } else {
        module.to_owned()
    };
    let why = if ships {
        "does not travel with the sweep"
    } else {
        "is none of its inputs, so an edit of it makes no new jobs"
    };
    let remedy = if are_named {
        format!("add \"{pattern}\" to `inputs`")
    } else {
        let script = plain_path(script);
        format!("add `inputs = [\"{script}\", \"{pattern}\"]`")
    };
    format!("`{script}` imports {module}, which {why}; {remedy} in [program]")
}

/// Whether a file is among the inputs, however its path is written.
fn has(inputs: &BTreeMap<String, Input>, word: &str) -> bool {
    let word = plain_path(word);
    inputs.keys().any(|input| plain_path(input) == word)
}

fn plain_path(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}

/// Whether a word of a command is one that may be a path.
fn is_plain(word: &str) -> bool {
    !word.starts_with('-') && !word.contains(['{', '\n', '\0'])
}

fn digests(inputs: &BTreeMap<String, Input>) -> BTreeMap<String, InputDigest> {
    let inputs = inputs.iter();
    inputs
        .map(|(name, input)| (name.clone(), input.digest))
        .collect()
}

/// What travels with the sweep: these files, which must be in `directory`.
fn shipment(
    ship: &Named,
    inputs: &BTreeMap<String, Input>,
    directory: &Path,
) -> Result<Shipment, FileError> {
    if inputs.is_empty() {
        return Err(ship.error(format!(
            "there is nothing to ship: the command names no file in {}; name the files that the \
             program is made of, like inputs = [\"train.py\", \"model/**/*.py\"]",
            directory.display()
        )));
    }
    for (name, input) in inputs {
        let told = |error: std::io::Error| ship.error(format!("{name}: {error}"));
        let real = input.path.canonicalize().map_err(told)?;
        if !is_below(name) || !real.starts_with(directory) {
            return Err(ship.error(format!(
                "`{name}` is {}, outside of {}; only what lies in that directory travels with a \
                 sweep",
                real.display(),
                directory.display()
            )));
        }
    }
    let executables = inputs.values().filter(|input| input.executable).count();
    if executables > EXECUTABLES_MAX && executables < inputs.len() {
        return Err(ship.error(format!(
            "{executables} of the {} files may be executed, and at most {EXECUTABLES_MAX} can keep \
             that; `chmod -x` those that nobody starts",
            inputs.len()
        )));
    }
    Ok(Shipment {
        files: inputs
            .values()
            .map(|input| (input.digest, input.path.clone()))
            .collect(),
        count: inputs.len() as u64,
        bytes: inputs.values().map(|input| input.bytes).sum(),
    })
}

/// The own files of all commands of a sweep.
fn own(file: &SweepFile, directory: &Path) -> BTreeMap<String, Input> {
    let commands = file.commands();
    let files = commands
        .iter()
        .filter_map(|words| own_file(words, directory));
    files.collect()
}

fn own_file(words: &[String], directory: &Path) -> Option<(String, Input)> {
    let (program, arguments) = words.split_first()?;
    let read = |word: &String| {
        let path = directory.join(word);
        let (content, about) = content(&path)?;
        let input = Input::new(path, &content, &about);
        Some((word.clone(), input, content.starts_with(SCRIPT)))
    };
    // Interpreters are named by their paths too, and differ between hosts.
    let script = read(program).filter(|(path, _, is_script)| path.contains('/') && *is_script);
    let argument = || {
        arguments
            .iter()
            .filter(|word| is_plain(word))
            .find_map(read)
    };
    let (path, input, _) = script.or_else(argument)?;
    Some((path, input))
}

/// A word of a command that is a file only if it is seen from the sweep file.
fn misplaced(file: &SweepFile, beside: &Path) -> Option<String> {
    let words = file.commands().concat();
    let there = |word: &String| !Path::new(word).exists() && beside.join(word).is_file();
    words.into_iter().find(there)
}

/// The content of a regular file that is not too large to be a program.
fn content(path: &Path) -> Option<(Vec<u8>, Metadata)> {
    let file = swath_files::Named::open_within(path, INPUTS_BYTES_MAX).ok()?;
    let about = file.file.metadata().ok()?;
    Some((file.rest(Vec::new()).ok()?, about))
}

fn matched(patterns: &[Named], directory: &Path) -> Result<BTreeMap<String, Input>, FileError> {
    let mut inputs = BTreeMap::new();
    let mut bytes = 0;
    for pattern in patterns {
        let mut any = false;
        let found = matching::files(&pattern.path, directory);
        let found = found.map_err(|why| pattern.error(why))?;
        let is_cache = |path: &Path| path.iter().any(|part| part == "__pycache__");
        for path in found.into_iter().filter(|path| !is_cache(path)) {
            let told = |error: Unread| pattern.error(format!("{}: {error}", path.display()));
            let Ok(name) = path.strip_prefix(directory) else {
                return Err(pattern.error(format!(
                    "{} is not in {}",
                    path.display(),
                    directory.display()
                )));
            };
            any = true;
            let name = name.to_string_lossy().into_owned();
            if inputs.contains_key(&name) {
                continue;
            }
            let file = swath_files::Named::open(&path).map_err(told)?;
            let about = file.file.metadata();
            let about = about.map_err(|error| told(error.into()))?;
            bytes += file.length;
            if bytes > INPUTS_BYTES_MAX || inputs.len() >= INPUTS_MAX {
                return Err(pattern.error(format!(
                    "the files are more than {INPUTS_MAX}, or larger than {} MiB together; name \
                     the code only, and data in [local]",
                    INPUTS_BYTES_MAX >> 20
                )));
            }
            let content = file.rest(Vec::new()).map_err(told)?;
            inputs.insert(name, Input::new(path, &content, &about));
        }
        if !any {
            let message = format!(
                "`{}` matches no file in {}",
                pattern.path,
                directory.display()
            );
            return Err(pattern.error(message));
        }
    }
    Ok(inputs)
}
