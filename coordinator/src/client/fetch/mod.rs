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
use swath_model::files::{AttemptFiles, FileKind, FilePath, FileView, FilesState, Listing};
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
    let fetched = fetch(context, connection, &files, attempt, chosen, &directory).await;
    if listing.more > 0 && arguments.named.is_empty() {
        let all = listing.files.len() as u64 + listing.more;
        let all = counted(all, "file");
        let message = format!("the attempt left {all}, and the list ends before the others");
        return fetched.and(Err(Failure::error(message).hint(
            "let the program pack what belongs together, or copy the directory on its host, which \
             `coordinator explain` names",
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

/// The entries that were asked for, each once.
fn chosen<'a>(listing: &'a Listing, asked: &[String]) -> Outcome<Vec<&'a FileView>> {
    if asked.is_empty() {
        return Ok(listing.files.iter().collect());
    }
    let options = MatchOptions {
        require_literal_separator: true,
        ..MatchOptions::default()
    };
    let mut found = vec![false; listing.files.len()];
    for word in asked {
        let pattern = Pattern::new(word)
            .map_err(|error| Failure::usage(format!("`{word}` is no pattern: {error}")))?;
        let directory = format!("{}/", word.trim_end_matches('/'));
        let is_meant = |path: &str| {
            path == word || path.starts_with(&directory) || pattern.matches_with(path, options)
        };
        let mut any = false;
        for (file, found) in listing.files.iter().zip(&mut found) {
            if is_meant(&file.path) {
                (any, *found) = (true, true);
            }
        }
        if !any {
            let names = listing.files.iter().map(|it| &*it.path);
            let there = did_you_mean(word, names, "there are");
            let message = format!("no file `{word}`; {}", visible(&there));
            return Err(Failure::new(Exit::NotFound, message));
        }
    }
    let files = listing.files.iter().zip(found);
    Ok(files
        .filter(|(_, found)| *found)
        .map(|(it, _)| it)
        .collect())
}

async fn fetch(
    context: &Context,
    connection: Connection,
    files: &Files,
    attempt: &AttemptFiles,
    chosen: Vec<&FileView>,
    path: &Path,
) -> Outcome {
    let shown = path.display();
    let made = std::fs::create_dir_all(path).and_then(|()| Directory::open(path));
    let directory =
        made.map_err(|error| Failure::error(format!("cannot write to {shown}: {error}")))?;
    let mut wanted = Vec::new();
    for file in chosen {
        match fetchable(file) {
            Ok(path) => wanted.push((path, file.bytes)),
            Err(why) => context.printer.note(visible(&why)),
        }
    }
    let total = wanted.iter().map(|(_, bytes)| bytes).sum();
    let held = Held {
        job: files.job.digest,
        attempt: attempt.attempt,
    };
    let target = Arc::new(Target::new(connection.fetcher(), directory, held));
    let (tally, failures) = all(context, &target, wanted, total).await;
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
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(Exit::Ok),
        Some(mut first) => {
            first.lines.extend(failures.flat_map(|it| it.lines));
            first.lines.truncate(FAILURES_SHOWN);
            Err(first.hint("the same command fetches what is missing"))
        }
    }
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
}

/// Fetches files, several at once.
async fn all(
    context: &Context,
    target: &Arc<Target>,
    wanted: Vec<(FilePath, u64)>,
    total: u64,
) -> (Tally, Vec<Failure>) {
    let (mut tally, mut failures) = (Tally::default(), Vec::new());
    let mut progress = Progress::new(context, total);
    let mut wanted = wanted.into_iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((path, bytes)) = wanted.next()
        {
            let target = Arc::clone(target);
            running.spawn(async move { target.receive(path, bytes).await });
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
            Some(Ok(Ok(Received::Written))) => tally.written += 1,
            Some(Ok(Ok(Received::Same))) => tally.same += 1,
            Some(Ok(Err(failure))) => failures.push(failure),
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
                let paths = found.iter().map(|it| it.path.clone());
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
