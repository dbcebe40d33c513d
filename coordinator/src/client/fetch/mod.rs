//! `files`: what an attempt left, listed or fetched.

mod receive;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glob::{MatchOptions, Pattern};
use indicatif::{ProgressBar, ProgressStyle};
use swath_coordinator::api::ReadQuery;
use swath_coordinator::files::Files;
use swath_files::Directory;
use swath_model::files::{FileKind, FilePath, FileView, FilesState, Listing};
use swath_model::id::Attempt;
use swath_model::message::Held;
use swath_model::suggest::did_you_mean;
use swath_model::text;
use swath_report::{Format, counted, visible};
use tokio::task::JoinSet;

use self::receive::{Received, Target};
use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::read::{json, print_listing};
use super::render;
use crate::cli;
use crate::settings::Context;

/// How many files are fetched at once.
const AT_ONCE: usize = 4;

/// Progress is shown of what takes longer than this.
const SOON: Duration = Duration::from_secs(1);

/// Time between two states of it.
const TICK: Duration = Duration::from_millis(120);

/// Time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(5);

/// How many lines about files that did not come are printed.
const FAILURES_SHOWN: usize = 20;

/// How many files are named that stay as they are.
const DIFFERING_SHOWN: usize = 5;

pub(crate) async fn files(context: &Context, arguments: cli::Files) -> Outcome {
    let mut connection = Connection::open(context).await?;
    let query = ReadQuery::Files {
        selector: vec![arguments.job],
        attempt: arguments.attempt.map(Attempt),
    };
    let files: Files = connection.read(&query).await?;
    if let Some(attempt) = &files.found
        && let FilesState::Away { connected } = attempt.state
    {
        let lines = render::files::away(&files, attempt, connected);
        return Err(Failure::of(Exit::Unreachable, lines));
    }
    let Some(directory) = arguments.output.file() else {
        connection.close().await?;
        if !arguments.named.is_empty() {
            let message = "to fetch files, say where to: `-o DIR`";
            return Err(Failure::usage(message));
        }
        return list(context, &files);
    };
    let found = files.found.as_ref();
    let listed = found.and_then(|it| Some((it, render::files::found(it)?)));
    let Some((attempt, listing)) = listed else {
        return Err(Failure::new(Exit::NotFound, nothing(&files)));
    };
    let chosen = chosen(listing, &arguments.named)?;
    let held = Held {
        job: files.job.digest,
        attempt: attempt.attempt,
    };
    let is_whole = listing.more == 0 || chosen.by_path;
    let wanted = wanted(context, chosen);
    let fetched = fetch(
        context,
        connection,
        held,
        wanted,
        &directory,
        arguments.replace,
    )
    .await;
    if !is_whole {
        let all = listing.files.len() as u64 + listing.more;
        let all = counted(all, "file");
        let message = format!("the attempt left {all}, and the list ends before the others");
        return fetched.and(Err(Failure::error(message).hint(
            "name the files with their whole paths, let the program pack what belongs together, or \
             copy the directory on its host, which `coordinator explain` names",
        )));
    }
    fetched
}

/// Why there is nothing to list.
fn nothing(files: &Files) -> String {
    match files.found.as_ref().map(|it| (it, &it.state)) {
        None => "no attempt of this job has begun".to_owned(),
        Some((attempt, FilesState::Absent(why))) => render::files::absent(attempt, why),
        Some((attempt, _)) => format!("attempt {} left no files", attempt.attempt),
    }
}

fn list(context: &Context, files: &Files) -> Outcome {
    if context.format == Format::Json {
        let text = json(context, &render::files::whole(files))?.unwrap_or_default();
        context.printer.data(&text)?;
        return Ok(Exit::Ok);
    }
    let attempt = files.found.as_ref();
    let listing = render::files::listing(attempt);
    let is_empty = listing.rows.is_empty();
    print_listing(context, &listing, &nothing(files))?;
    if let Some(attempt) = attempt {
        for note in render::files::notes(files, attempt) {
            context.printer.note(note);
        }
    }
    if !is_empty {
        let (id, asked) = (files.job.digest.short(), &context.asked);
        let hint = format!("`coordinator files {id} -o DIR{asked}` fetches them");
        context.printer.hint(hint);
    }
    Ok(Exit::Ok)
}

/// What was asked for.
#[derive(Debug, Default)]
struct Chosen<'a> {
    /// Entries of the list, each once.
    listed: Vec<&'a FileView>,
    /// Files that may be there after the end of the list.
    beyond: Vec<FilePath>,
    /// Whether every one was named by its whole path.
    by_path: bool,
}

/// The files that were asked for.
fn chosen<'a>(listing: &'a Listing, asked: &[String]) -> Outcome<Chosen<'a>> {
    if asked.is_empty() {
        return Ok(Chosen {
            listed: listing.files.iter().collect(),
            ..Chosen::default()
        });
    }
    let options = MatchOptions {
        require_literal_separator: true,
        ..MatchOptions::default()
    };
    let mut found = vec![false; listing.files.len()];
    let mut chosen = Chosen {
        by_path: true,
        ..Chosen::default()
    };
    for word in asked {
        let pattern = Pattern::new(word)
            .map_err(|error| Failure::usage(format!("`{word}` is no pattern: {error}")))?;
        let directory = format!("{}/", word.trim_end_matches('/'));
        let is_meant = |path: &str| {
            path == word || path.starts_with(&directory) || pattern.matches_with(path, options)
        };
        let (mut any, mut is_path) = (false, false);
        for (file, found) in listing.files.iter().zip(&mut found) {
            if is_meant(&file.path) {
                (any, *found) = (true, true);
                is_path |= file.path == *word;
            }
        }
        let is_plain = Pattern::escape(word) == *word;
        if let Ok(path) = word.parse()
            && !any
            && is_plain
            && listing.more > 0
        {
            is_path = true;
            chosen.beyond.push(path);
        } else if !any {
            let names = listing.files.iter().map(|it| &*it.path);
            let there = did_you_mean(word, names, "there are");
            let message = format!("no file `{word}`; {}", visible(&there));
            return Err(Failure::new(Exit::NotFound, message));
        }
        chosen.by_path &= is_path;
    }
    let files = listing.files.iter().zip(found);
    let listed = files.filter(|(_, found)| *found).map(|(it, _)| it);
    chosen.listed = listed.collect();
    Ok(chosen)
}

/// The paths of what can be fetched, with the sizes that are known. What cannot is told.
fn wanted(context: &Context, chosen: Chosen<'_>) -> Vec<(FilePath, u64)> {
    let mut wanted = Vec::new();
    for file in chosen.listed {
        match fetchable(file) {
            Ok(path) => wanted.push((path, file.bytes)),
            Err(why) => context.printer.note(visible(&why)),
        }
    }
    wanted.extend(chosen.beyond.into_iter().map(|path| (path, 0)));
    wanted
}

async fn fetch(
    context: &Context,
    connection: Connection,
    held: Held,
    wanted: Vec<(FilePath, u64)>,
    path: &Path,
    replaces: bool,
) -> Outcome {
    let shown = path.display();
    let made = std::fs::create_dir_all(path).and_then(|()| Directory::open(path));
    let directory =
        made.map_err(|error| Failure::error(format!("cannot write to {shown}: {error}")))?;
    let target = Target::new(connection.fetcher(), directory, held, replaces);
    let target = Arc::new(target);
    let (tally, failures) = all(context, &target, wanted).await;
    drop(target);
    connection.close().await?;
    let same = match tally.same {
        0 => String::new(),
        same => format!("; {} there already", counted(same, "file")),
    };
    let written = counted(tally.written, "file");
    context
        .printer
        .note(format!("fetched {written} into {shown}{same}"));
    let stayed = stayed(tally.differing);
    let mut failures = failures.into_iter();
    match failures.next() {
        None => stayed.map_or(Ok(Exit::Ok), Err),
        Some(mut first) => {
            first.lines.extend(failures.flat_map(|it| it.lines));
            first.lines.truncate(FAILURES_SHOWN);
            first = first.hint("the same command fetches what is missing");
            first
                .lines
                .extend(stayed.into_iter().flat_map(|it| it.lines));
            Err(first)
        }
    }
}

/// What to say of files here that are others than those of the attempt.
fn stayed(mut differing: Vec<FilePath>) -> Option<Failure> {
    if differing.is_empty() {
        return None;
    }
    differing.sort();
    let count = differing.len() as u64;
    let mut named: Vec<String> = differing.iter().map(|path| format!("`{path}`")).collect();
    if named.len() > DIFFERING_SHOWN {
        named.truncate(DIFFERING_SHOWN);
        named.push("…".to_owned());
    }
    let (files, named) = (
        counted(count, "file"),
        visible(&named.join(", ")).into_owned(),
    );
    let differs = match count {
        1 => "differs from the attempt's and stays as it is",
        _ => "differ from the attempt's and stay as they are",
    };
    let failure = Failure::error(format!("{files} here {differs}: {named}"));
    Some(failure.hint(
        "`--replace` puts the attempt's in their place; `-o DIR` with another one keeps both",
    ))
}

/// The path of a file; or why it is not fetched.
fn fetchable(file: &FileView) -> Result<FilePath, String> {
    let path = &file.path;
    match &file.kind {
        FileKind::File => path.parse().map_err(|error| format!("left out: {error}")),
        FileKind::Link { target } => Err(format!("left out: `{path}` is a link to `{target}`")),
        FileKind::Special => Err(format!("left out: `{path}` is no regular file")),
        FileKind::Unnamed => Err(format!("left out: the name of `{path}` is no text")),
    }
}

/// How many files came.
#[derive(Default)]
struct Tally {
    written: u64,
    same: u64,
    /// Those that stay because others are there.
    differing: Vec<FilePath>,
}

/// Fetches files, several at once.
async fn all(
    context: &Context,
    target: &Arc<Target>,
    wanted: Vec<(FilePath, u64)>,
) -> (Tally, Vec<Failure>) {
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    let total = wanted.iter().map(|(_, bytes)| bytes).sum();
    let mut progress = Progress::new(context, total);
    let mut wanted = wanted.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((path, _)) = wanted.next()
        {
            let target = Arc::clone(target);
            running.spawn(async move { (path.clone(), target.receive(path).await) });
        }
        let ended = tokio::select! {
            ended = running.join_next() => ended,
            () = tokio::time::sleep(TICK) => {
                progress.show(target.done());
                continue;
            }
        };
        match ended {
            None => break,
            Some(Ok((_, Ok(Received::Written)))) => tally.written += 1,
            Some(Ok((_, Ok(Received::Same)))) => tally.same += 1,
            Some(Ok((path, Ok(Received::Differs)))) => tally.differing.push(path),
            Some(Ok((_, Err(failure)))) => failures.push(failure),
            Some(Err(error)) => failures.push(Failure::error(error)),
        }
    }
    progress.end();
    (tally, failures)
}

/// A bar on a terminal, or else a line now and then, for what takes longer than a
/// moment.
struct Progress<'a> {
    context: &'a Context,
    begun: Instant,
    told: Instant,
    total: u64,
    bar: Option<ProgressBar>,
}

impl<'a> Progress<'a> {
    fn new(context: &'a Context, total: u64) -> Self {
        Self {
            context,
            begun: Instant::now(),
            told: Instant::now(),
            total,
            bar: None,
        }
    }

    fn show(&mut self, done: u64) {
        if self.bar.is_none() && self.begun.elapsed() >= SOON {
            self.bar = self.context.printer.progress_style().map(|_| {
                let bar = ProgressBar::new(self.total);
                let template = "{bytes} of {total_bytes} ({binary_bytes_per_sec}, {eta} left)";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar
            });
        }
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None if self.told.elapsed() >= EVERY => {
                self.told = Instant::now();
                let (done, total) = (text::bytes(done), text::bytes(self.total));
                self.context.printer.note(format!("{done} of {total}"));
            }
            None => {}
        }
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use swath_model::time::Timestamp;

    use super::*;

    fn listing(paths: &[&str]) -> Listing {
        let files = paths.iter().map(|path| FileView {
            path: (*path).to_owned(),
            bytes: 1,
            modified_at: Timestamp::default(),
            kind: FileKind::File,
        });
        Listing {
            files: files.collect(),
            ..Listing::default()
        }
    }

    #[test]
    fn files_are_named_by_paths_patterns_and_directories() {
        let listing = listing(&["a.txt", "fig/1.png", "fig/sub/2.png", "[x]"]);
        let chosen = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
            chosen(&listing, &words).map(|found| {
                let paths = found.listed.iter().map(|it| it.path.clone());
                paths.collect::<Vec<_>>()
            })
        };
        assert_eq!(chosen(&[]).unwrap().len(), 4);
        assert_eq!(chosen(&["a.txt", "*.txt"]).unwrap(), ["a.txt"]);
        assert_eq!(chosen(&["fig/*.png"]).unwrap(), ["fig/1.png"]);
        assert_eq!(
            chosen(&["**/*.png"]).unwrap(),
            ["fig/1.png", "fig/sub/2.png"]
        );
        assert_eq!(chosen(&["fig/"]).unwrap(), ["fig/1.png", "fig/sub/2.png"]);
        assert_eq!(chosen(&["[x]"]).unwrap(), ["[x]"]);
        let missing = chosen(&["a.txd"]).unwrap_err();
        assert_eq!(missing.exit, Exit::NotFound);
        assert!(missing.lines[0].contains("`a.txt`"), "{missing:?}");
    }

    #[test]
    fn of_a_list_that_ends_early_whole_paths_are_files_too() {
        let mut listing = listing(&["a.txt", "fig/1.png"]);
        listing.more = 7;
        let chosen = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
            let chosen = chosen(&listing, &words)?;
            let beyond = chosen.beyond.iter().map(ToString::to_string);
            let beyond: Vec<String> = beyond.collect();
            Ok::<_, Failure>((chosen.listed.len(), beyond.join(" "), chosen.by_path))
        };
        let some = |listed, beyond: &str, by_path| Ok((listed, beyond.to_owned(), by_path));
        assert_eq!(chosen(&["a.txt"]), some(1, "", true));
        assert_eq!(chosen(&["z/z.txt", "a.txt"]), some(1, "z/z.txt", true));
        // What else these mean is not known.
        assert_eq!(chosen(&[]), some(2, "", false));
        assert_eq!(chosen(&["fig"]), some(1, "", false));
        assert_eq!(chosen(&["*.txt"]), some(1, "", false));
        assert_eq!(chosen(&["*.zip"]).unwrap_err().exit, Exit::NotFound);
        assert_eq!(chosen(&["../a"]).unwrap_err().exit, Exit::NotFound);
    }

    #[test]
    fn files_that_differ_are_told() {
        let told = |paths: &[&str]| {
            let paths = paths.iter().map(|path| path.parse().unwrap());
            let stayed = stayed(paths.collect()).unwrap();
            assert_eq!(stayed.exit, Exit::Error);
            stayed.lines.join("\n")
        };
        insta::assert_snapshot!(told(&["b"]), @"
        1 file here differs from the attempt's and stays as it is: `b`
        `--replace` puts the attempt's in their place; `-o DIR` with another one keeps both
        ");
        insta::assert_snapshot!(told(&["g", "f", "e", "d", "c", "b/a"]), @"
        6 files here differ from the attempt's and stay as they are: `b/a`, `c`, `d`, `e`, `f`, …
        `--replace` puts the attempt's in their place; `-o DIR` with another one keeps both
        ");
        assert_eq!(stayed(Vec::new()), None);
    }

    #[test]
    fn what_is_no_file_is_told_and_not_fetched() {
        let file = |path: &str, kind| FileView {
            path: path.to_owned(),
            bytes: 1,
            modified_at: Timestamp::default(),
            kind,
        };
        let target = "/etc".to_owned();
        insta::assert_snapshot!(
            fetchable(&file("a", FileKind::Link { target })).unwrap_err(),
            @"left out: `a` is a link to `/etc`"
        );
        insta::assert_snapshot!(
            fetchable(&file("../a", FileKind::File)).unwrap_err(),
            @"left out: `../a` is no path of a file below a directory"
        );
        assert!(fetchable(&file("a/b", FileKind::File)).is_ok());
    }
}
