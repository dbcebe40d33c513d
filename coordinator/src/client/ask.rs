//! Shows what a command would touch, and asks, where that is more than the one
//! thing that was named.

use std::io::{self, BufRead};

use swath_coordinator::api::{ReadQuery, Selection};
use swath_model::view::SweepView;
use swath_report::counted;
use swath_sweep::{Selector, Target};

use super::connection::Connection;
use super::exit::Exit;
use super::failure::{Failure, Outcome};
use super::printer::Printer;
use super::render::sweeps::{names, state_name};
use crate::settings::Context;

/// What a command does to what it touches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deed {
    /// Its verb, such as `cancel`.
    pub(crate) verb: &'static str,
    /// Whether it takes whole sweeps and no single jobs.
    pub(crate) only_sweeps: bool,
    /// Whether it asks even before it touches one named sweep.
    pub(crate) always: bool,
}

/// Resolves a selector, and asks where that is due, unless the answer is `yes`
/// already. Returns one selector for each sweep that may be touched; or the
/// selector itself, if it means jobs or nobody is asked.
pub(crate) async fn confirmed(
    context: &Context,
    connection: &mut Connection,
    deed: Deed,
    selector: Vec<String>,
    yes: bool,
) -> Outcome<Vec<Vec<String>>> {
    if yes {
        return Ok(vec![selector]);
    }
    let query = ReadQuery::Selected {
        selector: selector.clone(),
        only_sweeps: deed.only_sweeps,
    };
    let selection: Selection = connection.read(&query).await?;
    if is_due(deed, &selector, &selection) {
        agree(context, deed.verb, lines(deed, &selection))?;
    }
    if selection.sweeps.is_empty() {
        return Ok(vec![selector]);
    }
    // What was shown is touched, whatever its name means by now.
    let ids = selection
        .sweeps
        .iter()
        .map(|it| vec![it.digest.to_string()]);
    Ok(ids.collect())
}

/// Shows what a verb would do, and asks; an error unless somebody agrees.
pub(crate) fn agree(context: &Context, verb: &str, shown: Vec<String>) -> Outcome<()> {
    if !Printer::can_ask() {
        let refused = Failure::of(Exit::Usage, shown);
        return Err(refused.hint("nothing is changed; `--yes` does it without a question"));
    }
    for line in shown {
        context.printer.say(line);
    }
    if agreed(verb)? {
        return Ok(());
    }
    Err(Failure::error("nothing is changed"))
}

fn agreed(verb: &str) -> Outcome<bool> {
    Printer::ask(&format!("{verb} all of this? [y/N] "))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Whether to ask: before every deletion, for a pattern, and for more than one
/// sweep, also where only jobs of them are meant.
fn is_due(deed: Deed, selector: &[String], selection: &Selection) -> bool {
    let target = Selector::parse(&selector.join(" ")).map(|it| it.target);
    let is_pattern = matches!(target, Ok(Some(Target::Glob(_))));
    deed.always || is_pattern || selection.sweeps.len() > 1 || selection.jobs.len() > 1
}

/// What would be touched, one line for each sweep.
fn lines(deed: Deed, selection: &Selection) -> Vec<String> {
    let jobs: u64 = selection.jobs.iter().map(|it| it.jobs).sum();
    let what = match selection.sweeps.len() {
        0 => counted(jobs, "job"),
        sweeps => counted(sweeps as u64, "sweep"),
    };
    let mut lines = vec![format!("`{}` would touch {what}:", deed.verb)];
    let names = names(&selection.sweeps);
    let width = names.iter().map(|name| name.chars().count()).max();
    let width = width.unwrap_or(0);
    for (name, sweep) in names.iter().zip(&selection.sweeps) {
        lines.push(format!("  {name:<width$}  {}", state(sweep)));
    }
    for part in &selection.jobs {
        lines.push(format!("  {} of {}", counted(part.jobs, "job"), part.sweep));
    }
    lines
}

fn state(sweep: &SweepView) -> String {
    let counts = &sweep.counts;
    let open = counts.total() - counts.done();
    let jobs = counted(counts.total(), "job");
    let owner = match &*sweep.label.owner {
        "" => String::new(),
        owner => format!(", of {owner}"),
    };
    let state = state_name(sweep.state);
    format!("{state}, {jobs}, {open} open{owner}")
}

#[cfg(test)]
mod tests {
    use swath_coordinator::api::SelectedJobs;
    use swath_model::view::SCHEMA_VERSION;

    use super::*;
    use crate::client::render::tests::sweep;

    const CANCEL: Deed = Deed {
        verb: "cancel",
        only_sweeps: false,
        always: false,
    };

    fn selection(sweeps: Vec<SweepView>, jobs: &[(&str, u64)]) -> Selection {
        let jobs = jobs.iter().map(|&(sweep, jobs)| SelectedJobs {
            sweep: sweep.to_owned(),
            jobs,
        });
        Selection {
            schema_version: SCHEMA_VERSION,
            sweeps,
            jobs: jobs.collect(),
        }
    }

    fn asks(deed: Deed, selector: &str, selection: &Selection) -> bool {
        let words: Vec<String> = selector.split(' ').map(str::to_owned).collect();
        is_due(deed, &words, selection)
    }

    #[test]
    fn one_named_thing_needs_no_question() {
        let one = selection(vec![sweep("slow")], &[]);
        assert!(!asks(CANCEL, "slow", &one));
        assert!(!asks(CANCEL, "last", &one));
        assert!(asks(CANCEL, "sl*", &one));
        let delete = Deed {
            always: true,
            ..CANCEL
        };
        assert!(asks(delete, "slow", &one));
        let two = selection(vec![sweep("slow"), sweep("fast")], &[]);
        assert!(asks(CANCEL, "3fa9", &two));
        let jobs = selection(Vec::new(), &[("slow", 3)]);
        assert!(!asks(CANCEL, "slow state=queued", &jobs));
        let of_two = selection(Vec::new(), &[("fast", 1), ("slow", 3)]);
        assert!(asks(CANCEL, "state=queued", &of_two));
    }

    #[test]
    fn what_would_be_touched_is_shown() {
        let mut older = sweep("slow");
        older.label.owner = "alice".to_owned();
        let mut newer = sweep("slow");
        newer.version = 2;
        let sweeps = selection(vec![older, newer, sweep("fast")], &[]);
        insta::assert_snapshot!(lines(CANCEL, &sweeps).join("\n"));
        let jobs = selection(Vec::new(), &[("fast", 1), ("slow", 3)]);
        insta::assert_snapshot!(lines(CANCEL, &jobs).join("\n"));
    }
}
