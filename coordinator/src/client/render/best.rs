//! The best cell of a sweep, for reading.

use std::fmt::Write;

use swath_model::text::counted;
use swath_report::{padded, parameter, visible, width};
use swath_results::summary::{Figure, covers};
use swath_results::table::{ResultRow, Results, label};

use crate::client::best::Document;

/// Everything about the best cell.
pub(crate) fn text(results: &Results, document: &Document<'_>) -> String {
    let best = &document.best;
    let mut out = String::new();
    let (metric, goal) = (label(document.metric), document.goal.superlative());
    let cells = counted(document.cells as u64, "cell");
    let _ = writeln!(
        out,
        "the best of {cells} of {}: the {goal} {} among cells with every run",
        document.sweep,
        visible(&metric)
    );
    if let Some(chosen) = document.chosen {
        let _ = writeln!(out, "{}", visible(chosen));
    }
    out.push('\n');
    let mut facts: Vec<(String, String)> = best
        .cell
        .axes
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(path, value)| (path.clone(), parameter(value)))
        .collect();
    facts.push(("median".to_owned(), median(results, best)));
    facts.push(("cell".to_owned(), best.cell.cell.to_string()));
    if let Some(command) = &document.command {
        facts.push(("command".to_owned(), command.clone()));
    }
    let most = facts.iter().map(|(name, _)| width(&visible(name))).max();
    for (name, value) in &facts {
        let name = padded(&visible(name), most.unwrap_or(0));
        let _ = writeln!(out, "{name}  {}", visible(value));
    }
    out.push('\n');
    for note in notes(results, document) {
        let _ = writeln!(out, "{note}");
    }
    let [write, train] = &document.again;
    let _ = writeln!(
        out,
        "to train it again: `{write}`, then `{train}`; jobs that are known are not trained twice, so \
         raise `replicates` there"
    );
    out
}

/// The best figure, with as many decimals as tell it from the others and from its
/// own range.
pub(crate) fn figure(results: &Results, row: &ResultRow<'_>) -> Figure {
    let figure = row.summary.measured;
    let others = results.cells().filter_map(|(_, it)| it.measured.median());
    let ends = [figure.min(), figure.max()].into_iter().flatten();
    let median = figure.median().unwrap_or_default();
    let pairs = others.chain(ends).map(|it| [it, median]);
    figure.precise(figure.unit().telling_apart(pairs))
}

/// The median with what it is from.
fn median(results: &Results, row: &ResultRow<'_>) -> String {
    let figure = figure(results, row);
    let unit = results.definition().sign();
    let unit = unit.map_or_else(String::new, |unit| format!(" {unit}"));
    let (text, _) = figure.parts();
    let mut said = format!("{text}{unit} (n = {})", figure.n());
    if let Some((min, max)) = figure.min().zip(figure.max()).filter(|_| figure.n() > 1) {
        let covers = covers([figure.n() as usize]).unwrap_or_default();
        let [min, max] = [min, max].map(|it| figure.text(it));
        let _ = write!(said, ", range {min} to {max}, which {covers}");
    }
    said
}

/// What a reader must know beside it: ties, and cells that took no part.
pub(crate) fn notes(results: &Results, document: &Document<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let all: Vec<_> = results.cells().map(|(cell, _)| cell.cell).collect();
    let ties = document.ties.iter().map(|row| {
        let place = all.iter().position(|it| *it == row.cell.cell);
        let at = place.map_or_else(String::new, |it| results.describe(it));
        format!("{} ({})", visible(&at), row.cell.cell.short())
    });
    let ties: Vec<String> = ties.collect();
    if !ties.is_empty() {
        let verb = if ties.len() == 1 { "ties" } else { "tie" };
        let cells = counted(ties.len() as u64, "other cell");
        notes.push(format!("{cells} {verb} with it: {}", ties.join("; ")));
    }
    if document.best.imported() > 0 {
        let mut from = document.best.imported_from();
        from.dedup();
        let from = from.join("; ");
        notes.push(format!(
            "numbers are imported, not trained here: {}",
            visible(&from)
        ));
    }
    notes.extend(document.unfit.words(document.cells));
    notes
}
